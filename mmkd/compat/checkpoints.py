"""MMEngine's checkpoints with PyTorch's safe loading (``weights_only=True``).

MMEngine's checkpoints hold a training log beside the weights, so the safe loader refuses them. This
module allow-lists the harmless types of the log. Any other type still stops the load. Downloads
are loaded safely, too, which is not PyTorch's default.
"""

import functools
import pickle
from types import ModuleType

from mmkd.compat.import_hooks import after_import


def _safe_types() -> list:
    """Return the types in the ``message_hub`` and ``meta`` of an MMEngine checkpoint."""
    import numpy as np
    from mmengine.config import ConfigDict
    from mmengine.logging.history_buffer import HistoryBuffer

    try:
        from numpy._core import multiarray
    except ImportError:  # NumPy 1
        from numpy.core import multiarray  # type: ignore[no-redef]

    def statistic(cls: type, name: str):
        # A buffer pickles its methods as `getattr(HistoryBuffer, 'min')`. Allow only these.
        if cls is not HistoryBuffer or name not in ('min', 'max', 'current', 'mean'):
            raise pickle.UnpicklingError(f'refused: getattr of {name!r} in a checkpoint')
        return getattr(cls, name)

    kinds = ('f2', 'f4', 'f8', 'i1', 'i2', 'i4', 'i8', 'u1', '?')
    return [
        HistoryBuffer,
        (statistic, 'builtins.getattr'),
        ConfigDict,
        np.ndarray,
        np.dtype,
        *{type(np.dtype(kind)) for kind in kinds},
        # NumPy 1 and NumPy 2 have different names for the same functions.
        (multiarray._reconstruct, 'numpy.core.multiarray._reconstruct'),
        (multiarray._reconstruct, 'numpy._core.multiarray._reconstruct'),
        (multiarray.scalar, 'numpy.core.multiarray.scalar'),
        (multiarray.scalar, 'numpy._core.multiarray.scalar'),
    ]


def _allow_training_log(_: ModuleType) -> None:
    import torch

    torch.serialization.add_safe_globals(_safe_types())


def _load_downloads_safely(checkpoint: ModuleType) -> None:
    checkpoint.load_url = functools.partial(  # type: ignore[attr-defined]
        checkpoint.load_url, weights_only=True
    )


def apply() -> None:
    """Patch MMEngine's checkpoint module."""
    after_import('mmengine.runner.checkpoint', _allow_training_log)
    after_import('mmengine.runner.checkpoint', _load_downloads_safely)
