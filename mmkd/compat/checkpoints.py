"""MMEngine's checkpoints with PyTorch's safe loading (``weights_only=True``).

MMEngine's checkpoints hold a training log beside the weights, so the safe loader refuses them. This
module allow-lists the harmless types of the log. Any other type still stops the load. Every loader
of OpenMMLab goes through :mod:`mmkd.storage.safe_load`, whatever the environment says.
"""

import functools
import pickle
from collections.abc import Callable
from types import ModuleType
from typing import Any

from mmkd.compat.import_hooks import after_import, rebind

KINDS = ('f2', 'f4', 'f8', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', 'b1')
# Modules outside MMEngine that call `torch.load` on a file of the user.
LOADERS = (
    'mmpretrain.apis.image_retrieval',
    'mmpretrain.apis.multimodal_retrieval',
    'mmpretrain.engine.hooks.swav_hook',
    'mmpretrain.models.retrievers.image2image',
    'mmpretrain.models.utils.vector_quantizer',
    'mmrazor.models.task_modules.predictor.handler.mlp_handler',
)


def _statistic(cls: type, name: str) -> Callable:
    """Stand in for ``getattr``, with which a buffer pickles its methods."""
    from mmengine.logging.history_buffer import HistoryBuffer

    if cls is not HistoryBuffer or name not in ('min', 'max', 'current', 'mean'):
        raise pickle.UnpicklingError(f'refused: getattr of {name!r}')
    return getattr(cls, name)


def _plain_dtype(kind: str, *_: Any) -> Any:
    """Stand in for ``numpy.dtype``: only numbers, and never a copy.

    A file can set the flags of a copy, and so make NumPy follow numbers as pointers. NumPy ignores
    such a state for its own dtypes.
    """
    import numpy as np

    if kind not in KINDS:
        raise pickle.UnpicklingError(f'refused: an array of dtype {kind!r}')
    return np.dtype(kind)


def _empty_array(*_: Any) -> Any:
    """Stand in for ``numpy._core.multiarray._reconstruct``, which makes an array to be filled."""
    import numpy as np

    return np.empty(0, 'b')


def _no_constructor(*_: Any) -> None:
    """Stand in for ``numpy.ndarray``, which a pickle names but need not call."""
    raise pickle.UnpicklingError('refused: a call of numpy.ndarray')


def safe_types() -> list:
    """Return the types in the ``message_hub`` and ``meta`` of an MMEngine checkpoint."""
    import numpy as np
    from mmengine.config import ConfigDict
    from mmengine.logging.history_buffer import HistoryBuffer

    try:
        from numpy._core import multiarray
    except ImportError:  # NumPy 1
        from numpy.core import multiarray  # type: ignore[no-redef]

    # The loader fills an object only if its type is listed. Names without a dot make the types of
    # NumPy known to it without letting a file call them: in a file, each name has its module.
    filled: set[type] = {np.ndarray, *(type(np.dtype(kind)) for kind in KINDS)}
    return [
        HistoryBuffer,
        ConfigDict,
        (_statistic, 'builtins.getattr'),
        (_plain_dtype, 'numpy.dtype'),
        (_no_constructor, 'numpy.ndarray'),
        *((cls, cls.__name__) for cls in filled),
        # NumPy 1 and NumPy 2 have different names for the same functions.
        (_empty_array, 'numpy.core.multiarray._reconstruct'),
        (_empty_array, 'numpy._core.multiarray._reconstruct'),
        (multiarray.scalar, 'numpy.core.multiarray.scalar'),
        (multiarray.scalar, 'numpy._core.multiarray.scalar'),
    ]


class _SafeTorch(ModuleType):
    """``torch``, with a ``load`` that loads safely in any environment."""

    def __getattr__(self, name: str) -> Any:
        import torch

        if name == 'load':
            from mmkd.storage.safe_load import safe_load

            return safe_load
        return getattr(torch, name)


def _load_safely(module: ModuleType) -> None:
    module.torch = _SafeTorch('torch')  # type: ignore[attr-defined]


def _allow_training_log(_: ModuleType) -> None:
    import torch

    torch.serialization.add_safe_globals(safe_types())


def _check_downloads(checkpoint: ModuleType) -> None:
    def load_url(*args: Any, **kwargs: Any) -> Any:
        from mmkd.storage import downloads

        return downloads.load_url(*args, **kwargs)

    checkpoint.load_url = load_url  # type: ignore[attr-defined]


def _name_the_file(checkpoint: ModuleType) -> None:
    """Check the path before a loader is chosen, and the file before it is opened."""
    loader = checkpoint.CheckpointLoader
    load = loader.load_checkpoint.__func__

    @functools.wraps(load)
    def load_checkpoint(cls, filename, map_location=None, logger='current'):
        from mmkd.storage.checkpoint import checked_path

        return load(cls, checked_path(filename), map_location, logger)

    def load_from_local(filename, map_location=None):
        from mmkd.storage.safe_load import safe_load

        return safe_load(filename, map_location)

    loader.load_checkpoint = classmethod(load_checkpoint)
    loader.register_scheme(prefixes='', loader=load_from_local, force=True)
    checkpoint.load_from_local = load_from_local  # type: ignore[attr-defined]


def _notice_mismatch(checkpoint: ModuleType) -> None:
    """Stop if no tensor of a file fits the model, and warn if few do."""
    stock, stock_load = checkpoint.load_state_dict, checkpoint.load_checkpoint
    stock_fill = checkpoint._load_checkpoint_to_model

    @functools.wraps(stock)
    def load_state_dict(module, state_dict, strict=False, logger=None):
        from mmkd.storage.checkpoint import assert_some_fit

        stock(module, state_dict, strict, logger)
        assert_some_fit(module, state_dict)

    @functools.wraps(stock_load)
    def load_checkpoint(model, filename, *args, **kwargs):
        from mmkd.storage.checkpoint import CheckpointMismatchError

        try:
            return stock_load(model, filename, *args, **kwargs)
        except CheckpointMismatchError as error:
            raise CheckpointMismatchError(f'{filename}: {error}') from error

    @functools.wraps(stock_fill)
    def load_checkpoint_to_model(model, checkpoint, *args, **kwargs):
        from mmkd.storage.checkpoint import state_dict_of

        state_dict_of(checkpoint, 'the checkpoint')  # raises if there is none
        return stock_fill(model, checkpoint, *args, **kwargs)

    rebind(checkpoint, '_load_checkpoint_to_model', load_checkpoint_to_model)
    rebind(checkpoint, 'load_state_dict', load_state_dict)
    rebind(checkpoint, 'load_checkpoint', load_checkpoint)


def apply() -> None:
    """Patch the loaders of MMEngine and of the packages above it."""
    for patch in (
        _allow_training_log,
        _load_safely,
        _check_downloads,
        _name_the_file,
        _notice_mismatch,
    ):
        after_import('mmengine.runner.checkpoint', patch)
    for name in LOADERS:
        after_import(name, _load_safely)
