"""Stand-ins for code that cannot work on the installed versions: importable, not usable."""

from types import ModuleType


class UnavailableError(ImportError):
    """Raised when code uses a stand-in."""


def unavailable(name: str, reason: str) -> type:
    """Return a class called ``name`` that raises :class:`UnavailableError` when instantiated.

    Example:
        >>> unavailable('QATLoop', 'quantization needs PyTorch 1.13')()
        Traceback (most recent call last):
        mmkd.compat.unavailable.UnavailableError: QATLoop: quantization needs PyTorch 1.13
    """

    def refuse(self: object, *args: object, **kwargs: object) -> None:
        raise UnavailableError(f'{name}: {reason}')

    return type(name, (), {'__init__': refuse, '__doc__': f'Not available: {reason}.'})


def unavailable_module(module_name: str, names: tuple[str, ...], reason: str) -> ModuleType:
    """Return a module whose ``names`` are stand-ins that raise when used."""
    module = ModuleType(module_name, f'Not available: {reason}.')
    for name in names:
        setattr(module, name, unavailable(name, reason))
    module.__all__ = list(names)  # type: ignore[attr-defined]
    return module
