"""Export the student of a distillation checkpoint as a plain checkpoint of MMDetection."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import mmkd.registry  # noqa: F401
from mmkd.cli.options import load_config
from mmkd.exporting import has_student, student_config, student_state_dict
from mmkd.storage.atomic_write import save_atomically
from mmkd.storage.checkpoint import read_checkpoint

# The training log and the distillation config are of no use to a plain model.
KEPT_META = ('dataset_meta', 'epoch', 'iter', 'mmengine_version', 'seed', 'time')


def export(checkpoint: str, out: str | Path) -> int:
    """Write the student alone, and return the number of its tensors.

    Raises:
        ValueError: If the checkpoint has no student.
        OSError: If ``out`` cannot be written; an earlier file of that name stays whole.
    """
    loaded = read_checkpoint(checkpoint)
    state_dict = loaded.get('state_dict', loaded)
    if not has_student(state_dict):
        raise ValueError(
            f'checkpoint: {checkpoint} has no student (no name starts with architecture.); '
            'is it exported already?'
        )
    state_dict = student_state_dict(state_dict)
    meta = {k: v for k, v in loaded.get('meta', {}).items() if k in KEPT_META}
    save_atomically(dict(meta=meta, state_dict=state_dict), out)
    return len(state_dict)


def main(argv: Sequence[str] | None = None) -> None:
    """Export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', help='of a distillation run')
    parser.add_argument('out', help='file to write, e.g. student.pth')
    parser.add_argument(
        '--config', help="the run's config: also write the student's plain config beside `out`"
    )
    args = parser.parse_args(argv)
    count = export(args.checkpoint, args.out)
    print(f'{args.out}: {count} tensors')
    if args.config is not None:
        config = Path(args.out).with_suffix('.py')
        student_config(load_config(args.config)).dump(config)
        print(config)


if __name__ == '__main__':
    main()
