"""The packages of the extra ``onnx``."""

import importlib.util

PACKAGES = ('onnx', 'onnxscript', 'onnxruntime')


def check_packages() -> None:
    """Check that the packages of the extra are installed.

    Raises:
        ImportError: Names those that are missing, and the extra.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f'ONNX: expected the packages {", ".join(PACKAGES)}, got no {", ".join(missing)}; '
            "install them with pip install 'mmkd[onnx]'"
        )
