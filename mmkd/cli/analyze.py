"""Compare students with their teacher: pictures and numbers of their layers, logits and samples.

Each study writes a picture, all numbers go to analysis.json, and a line a study is printed. The
samples are the images of classifiers, and the true objects of detectors.
"""

from collections.abc import Sequence

from mmkd.cli.command import CommandParser, run_command
from mmkd.cli.options import add_config_options

STUDY_NAMES = (
    'cka', 'logits', 'classes', 'samples', 'embedding', 'calibration', 'entropy', 'agreement',
    'head', 'mmd', 'knowledge',
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Analyze, and print the results."""
    parser = CommandParser(description=__doc__)
    parser.add_argument('config', help='config of a distillation, or of a plain student')
    parser.add_argument(
        'checkpoints', nargs='+', metavar='CHECKPOINT', help='of the student; several are compared'
    )
    parser.add_argument(
        '--study',
        nargs='+',
        metavar='NAME',
        help=f'some of {", ".join(STUDY_NAMES)} (default: all that suit the networks, '
        'but not knowledge, which takes long)',
    )
    parser.add_argument(
        '--split', default='val', help='images: val, train or test (default: %(default)s)'
    )
    parser.add_argument(
        '--out', default='analysis', metavar='DIR', help='folder to write (default: %(default)s)'
    )
    parser.add_argument('--teacher', metavar='CONFIG', help="default: the distillation's")
    parser.add_argument(
        '--teacher-checkpoint', metavar='FILE', help='default: the one that the config names'
    )
    parser.add_argument(
        '--layers',
        nargs='+',
        metavar='MODULE',
        help="of the student, for cka (default: the backbone's blocks and the neck)",
    )
    parser.add_argument('--teacher-layers', nargs='+', metavar='MODULE', help='of the teacher')
    parser.add_argument(
        '--images', type=int, metavar='N', help='use so many, evenly spaced (default: all)'
    )
    parser.add_argument(
        '--samples',
        type=int,
        default=1000,
        metavar='N',
        help='most samples of a heat map or a layout (default: %(default)s)',
    )
    parser.add_argument(
        '--layout', default='tsne', help='of embedding: tsne or umap (default: %(default)s)'
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='of random draws (default: %(default)s)'
    )
    add_config_options(parser)
    args = parser.parse_args(argv)
    # Late, so that --help is fast.
    import json

    from mmkd.studies import analyze

    path = analyze(
        args.config,
        *args.checkpoints,
        studies=args.study,
        split=args.split,
        out=args.out,
        teacher=args.teacher,
        teacher_checkpoint=args.teacher_checkpoint,
        layers=args.layers,
        teacher_layers=args.teacher_layers,
        images=args.images,
        samples=args.samples,
        layout=args.layout,
        seed=args.seed,
        options=args.cfg_options,
    )
    found = json.loads(path.read_bytes())
    for name, each in found['studies'].items():
        print(f'{name}: {each["line"]}; {", ".join(each["pictures"])}')
    for name, reason in found['left_out'].items():
        print(f'{name}: left out: {reason}')
    print(path)


if __name__ == '__main__':
    run_command(main)
