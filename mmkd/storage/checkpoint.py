"""Read checkpoints safely, and load them completely or not at all."""

import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

MAX_LISTED = 10


class CheckpointMismatchError(ValueError):
    """The checkpoint's tensors do not match the model."""


def read_checkpoint(path: str) -> dict:
    """Read a checkpoint from a file or URL onto the CPU. Code in the file never runs.

    Raises:
        FileNotFoundError: If the file does not exist.
        OSError: If the file or URL cannot be fetched.
        ValueError: If the file is truncated, is no checkpoint, or holds more than plain data.
    """
    local = Path(path).expanduser()
    if '://' not in path and not local.is_file():
        raise FileNotFoundError(f'checkpoint: no such file: {path}')
    try:
        checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    except OSError as error:
        raise OSError(f'checkpoint: cannot fetch {path}: {error}') from error
    except Exception as error:  # a file that is no checkpoint fails in any way
        kept = f'its download is kept in {torch.hub.get_dir()}/checkpoints'
        file = f'{local.stat().st_size} bytes' if local.is_file() else kept
        raise ValueError(
            f'checkpoint: cannot read {path} ({file}); it is truncated, not a PyTorch checkpoint, '
            f'or holds more than weights and a training log: {error}'
        ) from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f'checkpoint: expected a dict in {path}, got {type(checkpoint).__name__}')
    return checkpoint


def read_state_dict(path: str) -> dict[str, Tensor]:
    """Read the state dict of a checkpoint (see :func:`read_checkpoint`).

    Raises:
        ValueError: If the checkpoint has no state dict.
    """
    checkpoint = read_checkpoint(path)
    state_dict = checkpoint.get('state_dict', checkpoint)
    is_mapping = isinstance(state_dict, Mapping)
    if not is_mapping or not all(isinstance(value, Tensor) for value in state_dict.values()):
        raise ValueError(f'checkpoint: expected a state dict of tensors in {path}')
    return {name.removeprefix('module.'): value for name, value in state_dict.items()}


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
    _check_numbers(state_dict, source)
    own = model.state_dict()
    different = {
        name: f'{name}: the model has {tuple(own[name].shape)}, the file {tuple(value.shape)}'
        for name, value in state_dict.items()
        if name in own and own[name].shape != value.shape
    }
    fitting = {name: value for name, value in state_dict.items() if name not in different}
    mismatch = f'checkpoint: {source} does not match {type(model).__name__}'
    try:
        # The model's loading hooks may rename keys, so only they can tell what is missing.
        missing, unexpected = model.load_state_dict(fitting, strict=False)
    except RuntimeError as error:  # the shape of a renamed tensor
        raise CheckpointMismatchError(f'{mismatch}\n{error}') from error
    missing = [name for name in missing if name not in different]
    if missing or unexpected or different:
        hint = ''
        if any(name.startswith('architecture.') for name in unexpected):
            hint = '\nThis is a distillation checkpoint: export its student first.'
        raise CheckpointMismatchError(
            mismatch
            + _listed('missing in the file', missing)
            + _listed('not in the model', unexpected)
            + _listed('of another shape', [*different.values()])
            + hint
        )


def checksums(model: nn.Module) -> dict[str, int]:
    """Return the CRC-32 of the bytes of each tensor in the model's state dict.

    The value does not depend on the device or the memory format. Tensors on a GPU are copied to
    the CPU one at a time.
    """
    return {
        name: zlib.crc32(value.cpu().reshape(-1).contiguous().view(torch.uint8).numpy())
        for name, value in model.state_dict().items()
    }


def assert_unchanged(model: nn.Module, reference: Mapping[str, int]) -> None:
    """Raise if tensors of ``model`` do not have the :func:`checksums` in ``reference``.

    Raises:
        RuntimeError: Names the tensors.
    """
    changed = [name for name, value in checksums(model).items() if value != reference[name]]
    if changed:
        raise RuntimeError(
            'teacher: its weights changed between loading and the first step'
            + _listed('changed', changed)
        )


def _check_numbers(state_dict: Mapping[str, Tensor], source: str) -> None:
    # Infinity passes: a buffer may be infinite on purpose.
    bad = [
        name
        for name, value in state_dict.items()
        if value.is_floating_point() and value.isnan().any()
    ]
    if bad:
        raise ValueError(
            f'checkpoint: expected numbers in {source}, got NaN; did its training diverge?'
            + _listed('NaN', bad)
        )


def _listed(title: str, rows: list[str]) -> str:
    shown = [f'\n  {row}' for row in rows[:MAX_LISTED]]
    more = f'\n  ... and {len(rows) - MAX_LISTED} more' if len(rows) > MAX_LISTED else ''
    return f'\n{title} ({len(rows)}):' + ''.join(shown) + more if rows else ''
