"""Find the checkpoint that a run resumes from, in the run's own folder."""

import logging
import zipfile
from pathlib import Path

from mmengine.logging import print_log

POINTER = 'last_checkpoint'


def latest_checkpoint(work_dir: str | Path) -> str | None:
    """Return the latest whole checkpoint of a run, or None if there is none.

    This is the file that ``last_checkpoint`` names. In a folder that was moved or copied, it is
    the file of the same name in this folder. If that file is missing or cut short, or there is no
    ``last_checkpoint``, it is the whole ``epoch_*.pth`` or ``iter_*.pth`` with the highest number.
    All but the first case are logged.

    Args:
        work_dir: Work directory of the run.

    Raises:
        FileNotFoundError: If ``last_checkpoint`` names a file elsewhere, and none is here.
    """
    folder = Path(work_dir)
    named = _named(folder)
    if named is not None:
        here = _here(named, folder)
        if here is not None:
            return str(here)
    for path in _numbered(folder):
        if is_whole(path):
            reason = f'names {named}, which is missing or cut short' if named else 'is missing'
            _say(f'{folder / POINTER} {reason}: resuming from the latest whole file, {path}')
            return str(path)
    if named is None:
        _say(f'No checkpoint in {folder}: training starts from the beginning')
        return None
    raise FileNotFoundError(
        f'{folder / POINTER}: expected a whole checkpoint in this folder, got {named}; name the '
        'file to resume from (mmkd train CONFIG --resume FILE), or remove last_checkpoint to start '
        'from the beginning'
    )


def named_checkpoint(work_dir: str | Path) -> Path | None:
    """Return the whole file that ``last_checkpoint`` names, in this folder if it was moved."""
    named = _named(Path(work_dir))
    return None if named is None else _here(named, Path(work_dir))


def is_whole(path: Path) -> bool:
    """Whether a checkpoint is there and not cut short. Its content is not checked."""
    if path.is_dir():  # DeepSpeed saves folders
        return any(path.iterdir())
    if not path.is_file():
        return False
    with path.open('rb') as file:
        is_old = file.read(1) == b'\x80'  # a pickle, as torch wrote before version 1.6
    return is_old or zipfile.is_zipfile(path)


def _named(folder: Path) -> Path | None:
    """Return the path in ``last_checkpoint``, or None if it names nothing."""
    pointer = folder / POINTER
    if not pointer.is_file():
        return None
    text = pointer.read_bytes()[:3000].decode(errors='replace').strip('\0 \r\n\t')
    path = Path(text)
    is_path = text.isprintable() and all(len(part.encode()) < 256 for part in path.parts)
    if not is_path or path.name in ('', '..'):  # a power cut leaves anything in the file
        return Path(ascii(text)[:60]) if text else None
    return path


def _here(named: Path, folder: Path) -> Path | None:
    """Return the whole file of this name in the folder, or where the run keeps its checkpoints."""
    here = folder / named.name
    is_elsewhere = named.parent.resolve() != folder.resolve()
    if is_whole(here):
        if is_elsewhere:
            _say(f'{folder / POINTER} names {named} in another folder: taking {here}')
        return here
    # `CheckpointHook(out_dir=...)` keeps a run's checkpoints outside its work directory. The work
    # directory that this one was copied from has a pointer of its own.
    is_out_dir = is_elsewhere and not (named.parent / POINTER).exists()
    return named if is_out_dir and is_whole(named) else None


def _numbered(folder: Path) -> list[Path]:
    """Return the checkpoints of epochs and iterations, the latest first."""
    kinds = []
    for kind in ('epoch', 'iter'):
        files = [path for path in folder.glob(f'{kind}_*.pth') if _number(path) is not None]
        kinds.append(sorted(files, key=lambda path: _number(path) or 0, reverse=True))
    # Epochs and iterations do not compare: the kind that was written last comes first.
    kinds.sort(key=lambda files: files[0].stat().st_mtime if files else 0, reverse=True)
    return [*kinds[0], *kinds[1]]


def _number(path: Path) -> int | None:
    number = path.stem.rpartition('_')[2]
    return int(number) if number.isdecimal() else None


def _say(text: str) -> None:
    print_log(text, logger='current', level=logging.WARNING)
