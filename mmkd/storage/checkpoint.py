"""Read checkpoints safely, and load them completely or not at all."""

import hashlib
import logging
import zlib
from collections.abc import Collection, Mapping, Sequence
from os import PathLike
from typing import Any, cast

import torch
from mmengine.logging import print_log
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from mmkd.storage.safe_load import existing_file

MAX_LISTED = 10
EXTRA = 'not in the model'
COUNTER = 'num_batches_tracked'
STUDENT = 'architecture.'  # what the names of a distillation's student start with


class CheckpointMismatchError(ValueError):
    """The checkpoint's tensors do not match the model."""


def read_checkpoint(path: str | PathLike[str]) -> dict:
    """Read a checkpoint from a file or URL onto the CPU. Code in the file never runs.

    Raises:
        TypeError: If ``path`` is no path.
        FileNotFoundError: If the file does not exist, or is a folder.
        OSError: If the file or URL cannot be fetched.
        ValueError: If the file is truncated, damaged, no checkpoint, or holds more than plain data.
    """
    path = checked_path(path)
    if '://' not in path:
        existing_file(path)
    try:
        checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    except FileNotFoundError as error:
        schemes = [name for name in CheckpointLoader._schemes if name.endswith('://')]
        raise FileNotFoundError(f'{error}; expected a file or one of {schemes}') from error
    except OSError as error:
        raise OSError(f'checkpoint: cannot fetch {path}: {error}') from error
    except ValueError:
        raise
    except Exception as error:  # a scheme's loader fails in any way
        raise ValueError(f'checkpoint: cannot read {path}: {error!r}') from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f'checkpoint: expected a dict in {path}, got {type(checkpoint).__name__}')
    return checkpoint


def checked_path(path: Any) -> str:
    """Return the path or URL of a checkpoint as text.

    Raises:
        TypeError: If it is neither.
    """
    if not isinstance(path, str | PathLike):
        raise TypeError(
            f'checkpoint: expected a path or URL (text), got {path!r} ({type(path).__name__})'
        )
    if not str(path).strip():
        raise ValueError('checkpoint: expected a path or URL, got an empty text')
    return str(path)


def read_state_dict(path: str | PathLike[str]) -> dict[str, Tensor]:
    """Read the state dict of a checkpoint (see :func:`read_checkpoint`).

    Raises:
        ValueError: If the checkpoint has no state dict.
    """
    return state_dict_of(read_checkpoint(path), str(path))


def state_dict_of(checkpoint: Mapping[str, Any], source: str) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name, without the prefix of a DDP wrapper.

    Args:
        checkpoint: A checkpoint of MMEngine, or a state dict alone.
        source: Name of the file, for errors.

    Raises:
        ValueError: If there is no state dict, or it is empty or holds something else.
    """
    found = checkpoint.get('state_dict', checkpoint)
    named = isinstance(found, Mapping) and all(isinstance(name, str) for name in found)
    if not named or not all(isinstance(value, Tensor) for value in found.values()):
        inside = [str(name) for name in checkpoint][:5]
        raise ValueError(
            f'checkpoint: expected a state dict of tensors in {source}, got {inside}; if it is '
            "under another key, save it alone: torch.save(torch.load(PATH)['model'], 'new.pth')"
        )
    if not found:
        raise ValueError(f'checkpoint: expected tensors in {source}, its state dict is empty')
    odd = [f'{name}: {_describe(value)}' for name, value in found.items() if not _is_dense(value)]
    if odd:
        raise ValueError(
            f'checkpoint: expected dense tensors in {source}{listed({"of another kind": odd})}'
        )
    versions = getattr(found, '_metadata', {})  # modules read them when they load
    entries = versions.values() if isinstance(versions, Mapping) else [versions]
    if not all(isinstance(entry, Mapping) for entry in entries):
        raise ValueError(
            f'checkpoint: expected dicts in the _metadata of the state dict in {source}, got '
            f'{versions!r:.60}'
        )
    return {name.removeprefix('module.'): value for name, value in found.items()}


def _is_dense(value: Tensor) -> bool:
    is_plain = value.layout is torch.strided and not (value.is_nested or value.is_quantized)
    return is_plain and value.device.type != 'meta'


def _describe(value: Tensor) -> str:
    if value.device.type == 'meta':
        return 'a tensor without values (meta)'
    if value.is_quantized:
        return 'a quantized tensor; give the model before it was quantized'
    return 'a nested tensor' if value.is_nested else f'a tensor of layout {value.layout}'


def class_names(checkpoint: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the names of the classes that a checkpoint was trained on, or None if it has none."""
    meta = checkpoint.get('meta')
    if not isinstance(meta, Mapping):
        return None
    places = [meta.get('dataset_meta'), meta]  # MMEngine's, and that of older releases
    for place in places:
        for key in ('classes', 'CLASSES'):
            names = place.get(key) if isinstance(place, Mapping) else None
            if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
                return tuple(names)
    return None


def load_all(model: nn.Module, state_dict: Mapping[str, Tensor], source: str) -> None:
    """Load ``state_dict`` into ``model``. Every tensor has to fit.

    Args:
        model: The model.
        state_dict: Its tensors. Counters of batch normalization may be missing, as they are in
            files of PyTorch before 1.0.
        source: Name of the file, for errors.

    Raises:
        CheckpointMismatchError: Lists tensors that are missing, unexpected or of another shape.
        ValueError: Lists tensors with NaN, which a diverged run leaves behind.
    """
    assert_numbers(state_dict, source)
    rows = load_fitting(model, state_dict)
    if any(rows.values()):
        raise CheckpointMismatchError(
            f'checkpoint: {source} does not match {type(model).__name__}'
            + listed(rows)
            + hint(state_dict, model)
        )


def load_fitting(model: nn.Module, state_dict: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Load the tensors that fit. Return the others by what is wrong with them."""
    own = model.state_dict()
    different = {
        name: f'{name}: the model has {tuple(own[name].shape)}, the file {tuple(value.shape)}'
        for name, value in state_dict.items()
        if name in own and own[name].shape != value.shape
    }
    # Complex numbers would lose a part; counts and masks are no weights.
    kinds = {
        name: f'{name}: the model has {own[name].dtype}, the file {value.dtype}'
        for name, value in state_dict.items()
        if name in own and name not in different and _loses_values(own[name], value)
    }
    fitting = {k: value for k, value in state_dict.items() if k not in different | kinds}
    shapes = [*different.values()]
    try:
        # The model's loading hooks may rename keys, so only they can tell what is missing.
        missing, unexpected = model.load_state_dict(fitting, strict=False)
    except RuntimeError as error:  # the shape of a renamed tensor
        missing = [name for name in own if name not in fitting]
        unexpected = [name for name in fitting if name not in own]
        shapes += str(error).splitlines()[1:]
    return {
        'missing in the file': [name for name in missing if name not in different | kinds],
        EXTRA: [*unexpected],
        'of another shape': shapes,
        'of another type': [*kinds.values()],
    }


def _loses_values(own: Tensor, saved: Tensor) -> bool:
    return own.is_floating_point() and not saved.is_floating_point()


def assert_some_fit(model: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Check how much of a model a file filled. Warn if it is less than half.

    Raises:
        CheckpointMismatchError: If no tensor fits, which would train or test random weights.
    """
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = cast(nn.Module, model.module)
    if is_sharded(model):
        return
    # PyTorch fills in counters of batch normalization that are missing.
    own = {k: v for k, v in model.state_dict().items() if not k.endswith(COUNTER)}
    fits = sum(
        name in own and own[name].shape == value.shape and not _loses_values(own[name], value)
        for name, value in state_dict.items()
    )
    if 2 * fits >= len(own):
        return
    rows = load_fitting(model, state_dict)  # loading hooks may rename
    fits = len(own) - sum(len(lines) for title, lines in rows.items() if title != EXTRA)
    if fits <= 0:
        raise CheckpointMismatchError(
            f'checkpoint: none of its {len(state_dict)} tensors fits {type(model).__name__}'
            + listed(rows)
            + hint(state_dict, model)
        )
    if 2 * fits < len(own):
        warning = (
            f'checkpoint: only {fits} of the {len(own)} tensors of {type(model).__name__} are in '
            'the file; the others keep their initial values'
        )
        print_log(warning + listed(rows) + hint(state_dict, model), 'current', logging.WARNING)


def is_sharded(model: nn.Module) -> bool:
    """Whether FSDP splits the model, so that no process holds its tensors."""
    return any('FullySharded' in type(module).__name__ for module in model.modules())


def hint(names: Collection[str], model: nn.Module) -> str:
    """Say what a file with tensors of these names may be, if it does not match ``model``."""
    own = model.state_dict().keys()
    distilled = any(name.startswith(STUDENT) for name in names)
    if distilled and not any(name.startswith(STUDENT) for name in own):
        return (
            '\nThis is a distillation checkpoint: export its student first '
            '(mmkd export CHECKPOINT student.pth).'
        )
    if not distilled and any(name.startswith(STUDENT) for name in own):
        return (
            '\nThis is a checkpoint of a plain model. To start the student from it, set '
            "model.architecture.init_cfg=dict(type='Pretrained', checkpoint=PATH)."
        )
    if 2 * len(own & set(names)) < len(own):
        return '\nThis is a checkpoint of another model.'
    return ''


def checksums(model: nn.Module) -> dict[str, int]:
    """Return the CRC-32 of the bytes of each tensor in the model's state dict.

    The value does not depend on the device or the memory format. Tensors on a GPU are copied to
    the CPU one at a time.
    """
    return {
        name: zlib.crc32(value.cpu().reshape(-1).contiguous().view(torch.uint8).numpy())
        for name, value in model.state_dict().items()
    }


def digest(sums: Mapping[str, int]) -> str:
    """Return one short text for the :func:`checksums` of a model."""
    return hashlib.sha256(repr(sorted(sums.items())).encode()).hexdigest()[:16]


def assert_unchanged(model: nn.Module, reference: Mapping[str, int]) -> None:
    """Raise if tensors of ``model`` do not have the :func:`checksums` in ``reference``.

    Raises:
        RuntimeError: Names the tensors.
    """
    changed = [name for name, value in checksums(model).items() if value != reference[name]]
    if changed:
        raise RuntimeError(
            'teacher: its weights changed between loading and the first step'
            + listed({'changed': changed})
        )


def assert_numbers(tensors: Mapping[str, Tensor], source: str) -> None:
    """Raise if there is NaN. Infinity passes: a buffer may be infinite on purpose.

    Raises:
        ValueError: Names the tensors.
    """
    bad = [
        name
        for name, value in tensors.items()
        if value.is_floating_point() and _distinct(value).isnan().any()
    ]
    if bad:
        raise ValueError(
            f'checkpoint: expected numbers in {source}, got NaN; did its training diverge?'
            + listed({'NaN': bad})
        )


def _distinct(value: Tensor) -> Tensor:
    """Return an expanded tensor without its copies, which may not fit into memory."""
    for dim, stride in enumerate(value.stride()):
        value = value.narrow(dim, 0, 1) if stride == 0 and value.shape[dim] > 1 else value
    return value


def listed(rows: Mapping[str, Sequence[str]]) -> str:
    """Return the rows under their titles, each on a line of its own, the first of many."""
    text = ''
    for title, lines in rows.items():
        if lines:
            shown = ''.join(f'\n  {line}' for line in lines[:MAX_LISTED])
            more = len(lines) - MAX_LISTED
            text += f'\n{title} ({len(lines)}):{shown}'
            text += f'\n  ... and {more} more' if more > 0 else ''
    return text
