"""A config without anything of mmkd."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

# What mmkd replaces, and the class it stands for.
_HOOKS = {'AtomicCheckpointHook': 'CheckpointHook'}
_LOOPS = {'UnlabeledTrainLoop': ('EpochBasedTrainLoop', 'unlabeled_dataloader')}
_SETTINGS = {*inspect.signature(Runner).parameters} | {'custom_imports'}
# The keys of a config whose texts name a class, a package or a config; others may be paths.
_NAMES = ('type', '_scope_', 'default_scope', 'cfg_path')
_PREFIX = 'architecture.'  # what a run's config calls the student's parameters


def without_mmkd(cfg: Config) -> tuple[Config, list[str]]:
    """Return a plain model's config that MMEngine can read without mmkd.

    Hooks and seeds of workers go. Checkpoint hook, samplers and training loop become MMEngine's.
    So do variables that only mmkd's parts used.

    Args:
        cfg: Config of a plain model: the student in place of the distillation.

    Returns:
        The new config, and what still needs mmkd because nothing else replaces it, such as
        ``'model.backbone: mmkd.CIFARResNet'``. The config imports mmkd if there is any.
    """
    plain = cfg._cfg_dict.to_dict()
    hooks = plain.get('default_hooks') or {}
    plain['default_hooks'] = {
        key: _renamed(hook) for key, hook in hooks.items() if not _is_ours(_renamed(hook))
    }
    plain['custom_hooks'] = [hook for hook in plain.get('custom_hooks') or () if not _is_ours(hook)]
    loop = plain.get('train_cfg') or {}
    if _short(loop.get('type')) in _LOOPS:
        loop['type'], *extra = _LOOPS[_short(loop['type'])]
        for key in extra:
            loop.pop(key, None)
    for loader in _loaders(plain):
        _clean_loader(loader)
    _rename_parameters(plain.get('optim_wrapper') or {})
    imports = plain.pop('custom_imports', None) or {}
    names = imports.get('imports') or []
    names = [names] if isinstance(names, str) else [*names]
    kept = [name for name in names if name.split('.')[0] != 'mmkd']
    for key in [key for key in plain if key not in _SETTINGS]:
        if any(_traces(plain[key], key, key)):
            del plain[key]  # a variable of the config, which the settings have taken over
    for key in ('default_hooks', 'custom_hooks'):
        if not plain[key]:
            del plain[key]
    needed = [trace for key, value in plain.items() for trace in _traces(value, key, key)]
    if needed:
        kept.append('mmkd.registry')
    if kept:
        plain['custom_imports'] = {**imports, 'imports': kept}
    return Config(plain), needed


def _traces(value: Any, place: str, key: str = '') -> Iterator[str]:
    """Yield each place, with its text, that needs mmkd to be read or built."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _traces(item, f'{place}.{name}' if name not in _NAMES else place, name)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _traces(item, f'{place}[{index}]')
    elif _names_mmkd(value) and (key in _NAMES or not isinstance(value, str)):
        yield f'{place}: {value if isinstance(value, str) else value.__name__}'


def _names_mmkd(value: Any) -> bool:
    if isinstance(value, str):
        return value == 'mmkd' or value.startswith(('mmkd.', 'mmkd::', 'mmkd_'))
    return (getattr(value, '__module__', None) or '').split('.')[0] == 'mmkd'


def _is_ours(component: Any) -> bool:
    return isinstance(component, Mapping) and (
        _names_mmkd(component.get('type')) or component.get('_scope_') == 'mmkd'
    )


def _short(name: Any) -> str:
    """A type's name without its scope, or '' if it is not one of mmkd's."""
    if not _names_mmkd(name):
        return ''
    return name.rpartition('.')[2] if isinstance(name, str) else name.__name__


def _renamed(hook: Any) -> Any:
    if isinstance(hook, Mapping) and _short(hook.get('type')) in _HOOKS:
        return {**hook, 'type': _HOOKS[_short(hook['type'])]}
    return hook


def _loaders(plain: Mapping[str, Any]) -> list[dict]:
    loaders = [
        value
        for key, value in plain.items()
        if key.endswith('dataloader')
        for value in (value if isinstance(value, list) else [value])
    ]
    return [loader for loader in loaders if isinstance(loader, dict)]


def _clean_loader(loader: dict) -> None:
    sampler = loader.get('sampler')
    if _is_ours(sampler):
        loader['sampler'] = dict(type='DefaultSampler', shuffle=True)
    for key in ('batch_sampler', 'worker_init_fn', 'collate_fn'):
        if _is_ours(loader.get(key)):
            del loader[key]


def _rename_parameters(optim_wrapper: Mapping[str, Any]) -> None:
    """Let settings of single parameters name those of the plain model."""
    keys = (optim_wrapper.get('paramwise_cfg') or {}).get('custom_keys') or {}
    for key in [*keys]:
        setting = keys.pop(key)
        if not key.startswith('distiller.'):
            keys[key.removeprefix(_PREFIX)] = setting
