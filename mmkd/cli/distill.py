"""Distill a student from a teacher without writing a config: it is written for you.

Both models run once on zeros; from what they return follows which levels, features and widths the
method compares. The config, WORK_DIR/{method}_{teacher}_{student}.py, inherits data and schedule
of the student's. Edit it and run it again with tools/train.py.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmkd.cli import train
from mmkd.cli.inspect_pair import build
from mmkd.cli.options import add_config_options, load_config
from mmkd.pairing import default_size, trace
from mmkd.pairing.inspection.head_classes import classes_of
from mmkd.pairing.inspection.model_kind import is_classifier, is_two_stage
from mmkd.pairing.methods.classifier_methods import CLASSIFIER_METHODS
from mmkd.pairing.methods.instance_methods import INSTANCE_METHODS
from mmkd.pairing.methods.logit_methods import LOGIT_METHODS, ONE_STAGE_LOGIT_METHODS
from mmkd.pairing.methods.method import Method, Pair
from mmkd.pairing.methods.pyramid_methods import ONE_STAGE_PYRAMID_METHODS, PYRAMID_METHODS
from mmkd.pairing.writing.draft import Draft, Settings, merge, nested
from mmkd.pairing.writing.own_data import class_overrides, coco_settings, folder_settings
from mmkd.pairing.writing.runtime import runtime_settings
from mmkd.pairing.writing.schedule import epoch_settings, late_hooks
from mmkd.registry import MODELS

DETECTOR_METHODS = {**PYRAMID_METHODS, **INSTANCE_METHODS, **LOGIT_METHODS}
ONE_STAGE_METHODS = {**ONE_STAGE_PYRAMID_METHODS, **INSTANCE_METHODS, **ONE_STAGE_LOGIT_METHODS}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    models = "config file, or that of a package ('mmdet::...')"
    parser.add_argument('--teacher', required=True, metavar='CONFIG', help=models)
    parser.add_argument('--teacher-ckpt', required=True, help='its weights, a file or URL')
    parser.add_argument('--student', required=True, metavar='CONFIG', help=models)
    parser.add_argument(
        '--method',
        required=True,
        help=f'of detectors: {", ".join(DETECTOR_METHODS)}; '
        f'of classifiers: {", ".join(CLASSIFIER_METHODS)}',
    )
    data = parser.add_argument_group("data instead of the student's, whose transforms are kept")
    data.add_argument('--ann', type=Path, metavar='TRAIN.json', help='COCO annotations')
    data.add_argument('--img', type=Path, metavar='DIR', help='their images')
    data.add_argument('--val-ann', type=Path, metavar='VAL.json', help='the same for validation')
    data.add_argument('--val-img', type=Path, metavar='DIR')
    data.add_argument(
        '--data', type=Path, metavar='DIR', help='of classifiers: train/ and val/, a folder a class'
    )
    parser.add_argument('--epochs', type=int, help='the schedule is stretched to them')
    parser.add_argument('--batch-size', type=int, help='images a process')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs'), help='of the config')
    parser.add_argument('--dry-run', action='store_true', help='write the config and check it')
    parser.add_argument('--amp', action='store_true', help='as of tools/train.py')
    parser.add_argument('--auto-scale-lr', action='store_true', help='as of tools/train.py')
    add_config_options(parser)
    parser.add_argument('--launcher', default='none', help='as of tools/train.py')
    args = parser.parse_args(argv)
    for first, second in (('ann', 'img'), ('val_ann', 'val_img')):
        if (getattr(args, first) is None) != (getattr(args, second) is None):
            names = ' and '.join(f'--{name.replace("_", "-")}' for name in (first, second))
            parser.error(f'expected both or none of {names}')
    if args.val_ann and not args.ann:
        parser.error('--val-ann: expected --ann beside it')
    if args.ann and args.data:
        parser.error('expected --ann (detectors) or --data (classifiers), not both')
    return args


def draft_of(args: argparse.Namespace) -> Draft:
    """The config that the options describe.

    Raises:
        FileNotFoundError: If a file or folder is missing.
        ValueError: If an option does not fit the models, or the models do not fit each other.
    """
    student, teacher = _plain_config(args, 'student'), _plain_config(args, 'teacher')
    method = _method(args.method, student, teacher)
    data, classes = _data(student, args)
    settings = dict(model=_models(student, args, classes))
    options = nested(args.cfg_options or {})
    distiller_options = options.get('model', {}).pop('distiller', {})
    for part in (_schedule(student, args), data, runtime_settings(student), options):
        merge(settings, part)
    fitted = method.fit(method.load(), _run(student, settings['model']))
    draft = Draft(_absolute(args.student), settings, _title(args))
    draft.take(method, fitted, distiller_options)
    if classes:
        draft.decisions += [('data', f'{len(classes)} classes: {", ".join(classes)}')]
    if late := late_hooks(student, args.epochs):
        draft.decisions += [('schedule', f'never reached in {args.epochs} epochs: {late}')]
    return draft


def _plain_config(args: argparse.Namespace, who: str) -> Config:
    """The config of the student or teacher, a plain model."""
    path = getattr(args, who)
    cfg = load_config(path)
    if 'model' not in cfg or 'architecture' in cfg.model:
        raise ValueError(f'--{who}: expected the config of a plain model, got {path}')
    return cfg


def _method(name: str, student: Config, teacher: Config) -> Method:
    """The method for models of this kind."""
    kinds = [is_classifier(cfg) for cfg in (student, teacher)]
    if kinds[0] != kinds[1]:
        kind = {True: 'a classifier', False: 'a detector'}
        raise ValueError(
            f'--teacher: expected {kind[kinds[0]]} as the student is, got {kind[kinds[1]]}'
        )
    if kinds[0]:
        methods = CLASSIFIER_METHODS
    elif is_two_stage(student) or is_two_stage(teacher):
        methods = DETECTOR_METHODS
    else:
        methods = ONE_STAGE_METHODS
    if name not in methods:
        raise ValueError(f'--method: expected one of {[*methods]}, got {name!r}')
    return methods[name]


def _data(student: Config, args: argparse.Namespace) -> tuple[Settings, list[str]]:
    """Settings of the data, and its classes; none of both if it is the student's."""
    given = args.ann or args.data
    if given and is_classifier(student) != bool(args.data):
        raise ValueError('expected --ann and --img for detectors, --data for classifiers')
    if args.data:
        return folder_settings(student, args.data)
    if args.ann:
        val = (args.val_ann, args.val_img) if args.val_ann else None
        return coco_settings(student, (args.ann, args.img), val)
    return {}, []


def _models(student: Config, args: argparse.Namespace, classes: Sequence[str]) -> Settings:
    """The algorithm with teacher and student."""
    checkpoint = args.teacher_ckpt
    if '://' not in checkpoint:
        if not Path(checkpoint).is_file():
            raise FileNotFoundError(f'--teacher-ckpt: no such file: {checkpoint}')
        checkpoint = str(Path(checkpoint).resolve())
    architecture: Settings = dict(cfg_path=_absolute(args.student))
    if student.get('load_from'):
        architecture['init_cfg'] = dict(type='Pretrained', checkpoint=student.load_from)
    if classes:
        architecture |= class_overrides(student.model, len(classes))
    return dict(
        _delete_=True,
        type='mmkd.FrozenTeacherDistill',
        architecture=architecture,
        teacher=dict(cfg_path=_absolute(args.teacher), checkpoint=checkpoint),
    )


def _schedule(student: Config, args: argparse.Namespace) -> Settings:
    """Where it runs and how long."""
    settings: Settings = dict(work_dir=str(args.work_dir / _name(args)))
    if student.get('load_from'):
        settings['load_from'] = None  # the student's weights, not the distillation's
    if args.epochs is not None:
        settings |= epoch_settings(student, args.epochs)
    if args.batch_size is not None:
        settings['train_dataloader'] = dict(batch_size=args.batch_size)
    return settings


def _run(student: Config, model: Settings) -> Pair:
    """Run both models once."""
    built = [build(model[who]) for who in ('architecture', 'teacher')]
    size = default_size(student)
    calls = [trace(each, size) for each in built]
    return Pair(calls[0], calls[1], (classes_of(built[0]), classes_of(built[1])))


def _absolute(config: str) -> str:
    return config if '::' in config else str(Path(config).resolve())


def _name(args: argparse.Namespace) -> str:
    teacher, student = (Path(config).stem for config in (args.teacher, args.student))
    return f'{args.method}_{teacher}_{student}'


def _title(args: argparse.Namespace) -> str:
    teacher, student = (Path(config).stem for config in (args.teacher, args.student))
    return f'{args.method}: {teacher} teaches {student}.'


def write(text: str, path: Path) -> None:
    """Write the config, unless another one is there.

    Raises:
        FileExistsError: If one is there that somebody edited, or of other options.
    """
    if path.exists() and path.read_text() != text:
        raise FileExistsError(
            f'{path}: is there, and these options would write another one; run it with '
            'tools/train.py, remove it, or choose another --work-dir'
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    # Each of several processes writes the same; none reads half of it.
    temporary = path.with_name(f'{path.name}.{os.getpid()}')
    temporary.write_text(text)
    temporary.replace(path)


def check(path: Path) -> None:
    """Build what the config describes, the teacher with its weights.

    Raises:
        ValueError: If something does not fit.
    """
    cfg = Config.fromfile(path)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        MODELS.build(cfg.model)


def _is_first_process() -> bool:
    ranks = (os.environ.get(name, '0') for name in ('RANK', 'SLURM_PROCID'))
    return all(rank == '0' for rank in ranks)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the config, and train."""
    args = parse_args(argv)
    draft = draft_of(args)
    path = args.work_dir / f'{_name(args)}.py'
    write(draft.text(), path)
    if _is_first_process():
        for topic, text in [*draft.decisions, ('config', str(path))]:
            print(f'{topic:<10} {text}')
    if args.dry_run:
        check(path)
        print(f'{"next":<10} python tools/train.py {path}')
        return
    flags = [flag for flag in ('amp', 'auto_scale_lr') if getattr(args, flag)]
    options = [f'--{flag.replace("_", "-")}' for flag in flags]
    train.main([str(path), '--launcher', args.launcher, *options])


if __name__ == '__main__':
    main()
