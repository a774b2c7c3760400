"""Settings of a run that also learns from images without annotations."""

import filecmp
import json
import math
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from mmkd.checking.close_names import did_you_mean
from mmkd.datasets.annotations.coco_file import read_coco
from mmkd.datasets.unlabeled_images import EXTENSIONS, image_files
from mmkd.functional.checks import check_non_negative, check_positive_int, is_score
from mmkd.pairing.inspection.class_names_of import same_classes
from mmkd.pairing.inspection.image_size import pipelines_of
from mmkd.pairing.inspection.model_kind import has_masks, is_classifier
from mmkd.pairing.writing.config_text import Expression
from mmkd.pairing.writing.settings import Settings, without_scope

# A folder of images, or dict(images=FOLDER, score=..., weight=..., batch_size=..., classes=...).
Unlabeled = str | os.PathLike | Mapping[str, Any]
DETECTOR_KEYS = ('images', 'batch_size', 'score', 'weight', 'classes')
CLASSIFIER_KEYS = ('images', 'batch_size')
LIST = 'unlabeled_images.txt'
# Settings of the labeled loader that the unlabeled one shares.
SHARED = ('num_workers', 'collate_fn', 'pin_memory')


class UnlabeledData(NamedTuple):
    """Images without annotations for a run.

    Attributes:
        settings: Settings of the loader and the loop.
        decisions: Topic and text of each decision.
        files: The list of the images, by its path.
    """

    settings: Settings
    decisions: list[tuple[str, str]]
    files: dict[Path, str]


def read_unlabeled(cfg: Config, given: Unlabeled) -> dict[str, Any]:
    """Return the options of unlabeled images, checked.

    Args:
        cfg: Config of the student's training.
        given: What the caller gives.

    Raises:
        FileNotFoundError: If there is no such folder.
        TypeError: If it is neither a path nor a dict of options.
        ValueError: If an option is unknown or out of its range, or the student predicts masks or
            trains by iterations.
    """
    keys = CLASSIFIER_KEYS if is_classifier(cfg) else DETECTOR_KEYS
    options: dict[str, Any] = dict(given) if isinstance(given, Mapping) else dict(images=given)
    images = options.get('images')
    if unknown := [key for key in options if key not in keys]:
        kind = 'classifiers' if is_classifier(cfg) else 'detectors'
        raise ValueError(
            f'unlabeled: expected some of {[*keys]} for {kind}, got {unknown}'
            f'{did_you_mean(str(unknown[0]), keys)}'
        )
    if not isinstance(images, str | os.PathLike) or not os.fspath(images):
        raise TypeError(f'unlabeled: expected a folder, or dict(images=FOLDER, ...), got {given!r}')
    if not Path(images).is_dir():
        raise FileNotFoundError(f'unlabeled: no such folder: {images}')
    if 'batch_size' in options:
        check_positive_int('unlabeled.batch_size', options['batch_size'])
    if 'weight' in options:
        check_non_negative('unlabeled.weight', options['weight'])
    if 'score' in options and not is_score(options['score']):
        raise ValueError(f'unlabeled.score: expected a score in (0, 1), got {options["score"]!r}')
    if not isinstance(options.get('classes', {}), Mapping):
        raise TypeError(
            "unlabeled.classes: expected dict(TEACHER_NAME='student name'), got "
            f'{options["classes"]!r}'
        )
    if has_masks(cfg):
        raise ValueError('unlabeled: expected a student without masks, as boxes are its labels')
    loop = cfg.get('train_cfg') or {}
    if loop.get('max_epochs') is None or loop.get('type', 'EpochBasedTrainLoop') not in (
        'EpochBasedTrainLoop',
        'mmengine.EpochBasedTrainLoop',
    ):
        raise ValueError(
            "unlabeled: expected a student's config that trains by epochs, got train_cfg="
            f'{dict(loop)}'
        )
    return options


def unlabeled_data(
    cfg: Config,
    settings: Settings,
    options: Mapping[str, Any],
    folder: Path,
    written: Mapping[Path, Any],
    processes: int = 1,
) -> UnlabeledData:
    """Return the settings of a second loader with the images of a folder.

    Images of the training and validation data are left out, copies under the same name as well.

    Args:
        cfg: Config of the student's training.
        settings: What the run changes in it.
        options: Of :func:`read_unlabeled`.
        folder: Folder of the run, for the list of images.
        written: Files that the settings name and that are not there yet, with their text.
        processes: Number of processes, which share the images.

    Raises:
        ValueError: If no image is left, or the config's transforms do not read files.
    """
    root = Path(options['images']).resolve()
    found, others = image_files(root)
    if broken := [file for file in found if '\n' in file]:
        raise ValueError(f'unlabeled: expected names without line breaks, got {broken[0]!r}')
    known = [*_labeled_files(cfg, settings, written)]
    kept = [*_without(found, root, known)]
    if not kept:
        reason = ' that are not in the training or validation data' if found else ''
        raise ValueError(
            f'unlabeled: expected images ({", ".join(sorted(EXTENSIONS))}) in {root}{reason}, got '
            f'{_counts(others) or "none"}'
        )
    text = f'{len(kept)} images of {root}'
    if len(found) > len(kept):
        known_too = len(found) - len(kept)
        text += f'; left out, as the training or validation data has them: {known_too}'
    if others:
        text += f'; no images: {_counts(others)}'
    size = options.get('batch_size') or _train_loader(cfg, settings)['batch_size']
    batch = min(size, math.ceil(len(kept) / processes))
    decisions = [('unlabeled', text), ('unlabeled', f'{batch} of them in each step')]
    path = folder.resolve() / LIST
    dataset = dict(
        type='mmkd.UnlabeledImages',
        ann_file=str(path),
        data_prefix=dict(img_path=str(root)),
        pipeline=_pipeline(cfg, settings),
    )
    shared = {k: v for k, v in _train_loader(cfg, settings).items() if k in SHARED}
    loader = dict(
        **without_scope(shared, cfg.get('default_scope')),
        batch_size=batch,
        drop_last=True,
        persistent_workers=False,
        worker_init_fn=dict(type='mmkd_epoch_worker_init'),
        sampler=dict(type='DefaultSampler', shuffle=True),
        dataset=dataset,
    )
    loop = {**cfg.train_cfg, **settings.get('train_cfg', {})}
    loop = {k: v for k, v in loop.items() if k not in ('by_epoch', 'type', '_scope_')}
    loop = dict(
        _delete_=True,
        type='mmkd.UnlabeledTrainLoop',
        unlabeled_dataloader=Expression('unlabeled_dataloader'),
        **loop,
    )
    files = {path: ''.join(f'{file}\n' for file in kept)}
    return UnlabeledData(dict(unlabeled_dataloader=loader, train_cfg=loop), decisions, files)


def label_settings(
    options: Mapping[str, Any],
    student: Sequence[str],
    teacher: Sequence[str],
    counts: tuple[int | None, int | None],
) -> tuple[Settings, str]:
    """Return what the algorithm does with a detector's predictions, and that as text.

    Args:
        options: Of :func:`read_unlabeled`.
        student: Names of the student's classes; none if they are not known.
        teacher: Names of the teacher's classes; none if they are not known.
        counts: Number of the student's and of the teacher's classes.

    Raises:
        ValueError: If the teacher does not know a class of the student.
    """
    settings = {key: options[key] for key in ('score', 'weight') if key in options}
    if options.get('weight') == 0:
        return settings, 'for features alone, as the weight of the labels is 0'
    if not student or not teacher:
        if counts[0] == counts[1] and not options.get('classes'):
            return settings, f"the teacher's boxes of its {counts[1]} classes"
        who = 'student' if teacher else 'teacher'
        raise ValueError(
            f'unlabeled: expected the names of the classes in the config of the {who}, as they '
            f'decide which of the {counts[1]} classes of the teacher are the {counts[0]} of the '
            'student; set metainfo=dict(classes=...) of its training data, or weight=0 to compare '
            'features alone'
        )
    given = options.get('classes', {})
    labels = same_classes(student, teacher, given)
    if missing := [name for label, name in enumerate(student) if label not in labels.values()]:
        raise ValueError(
            f'unlabeled: expected a teacher that knows the classes {missing} of the data, whose '
            f'objects would be background otherwise, got one of {len(teacher)} other classes'
            f'{did_you_mean(missing[0], teacher)}; name those that are the same: '
            "classes=dict(TEACHER_NAME='student name'), or set weight=0 to compare features alone"
        )
    settings['labels'] = labels
    pairs = [(teacher[first], student[second]) for first, second in labels.items()]
    shown = ', '.join(a if a == b else f'{a} -> {b}' for a, b in pairs[:5])
    text = f"the teacher's boxes of {shown}" + (', ...' if len(pairs) > 5 else '')
    rest = len(teacher) - len(pairs)
    return settings, text + (f'; left out, other classes of the teacher: {rest}' if rest else '')


def _counts(kinds: Mapping[str, int]) -> str:
    most = sorted(kinds.items(), key=lambda item: -item[1])[:5]
    return ', '.join(f'{count} {kind}' for kind, count in most)


def _train_loader(cfg: Config, settings: Settings) -> dict[str, Any]:
    return {**cfg.train_dataloader, **settings.get('train_dataloader', {})}


def _labeled_files(cfg: Config, settings: Settings, written: Mapping[Path, Any]) -> Iterator[Path]:
    """The images of the training and validation data, as far as they can be listed."""
    for stage in ('train', 'val'):
        name = f'{stage}_dataloader'
        dataset: Any = settings.get(name) if _has_dataset(settings.get(name)) else cfg.get(name)
        while isinstance((dataset or {}).get('dataset'), Mapping):
            dataset = dataset['dataset']
        if not dataset:
            continue
        prefix = dataset.get('data_prefix') or {}
        folder = prefix if isinstance(prefix, str) else prefix.get('img', '')
        folder = Path(dataset.get('data_root') or '', folder)
        ann_file = dataset.get('ann_file') or ''
        path = Path(dataset.get('data_root') or '', ann_file)
        if ann_file.endswith('.json') and (path in written or path.is_file()):
            content = json.loads(written[path]) if path in written else read_coco(path)
            yield from (folder / image['file_name'] for image in content['images'])
        elif ann_file and path in written:  # a list of files and labels
            yield from (folder / line.rpartition(' ')[0] for line in written[path].splitlines())
        elif not ann_file and prefix and folder.is_dir():
            yield from (folder / file for file in image_files(folder)[0])


def _has_dataset(loader: Any) -> bool:
    return isinstance(loader, Mapping) and 'dataset' in loader


def _without(files: Sequence[str], root: Path, known: Sequence[Path]) -> Iterator[str]:
    """The files that are none of the known ones, and no copies of them."""
    by_name = defaultdict(list)
    for path in known:
        by_name[path.name].append(path)
    for file in files:
        path = root / file
        if not any(_same(path, other) for other in by_name.get(path.name, ())):
            yield file


def _same(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second) or filecmp.cmp(first, second, shallow=False)
    except OSError:  # one of them is missing
        return False


def _pipeline(cfg: Config, settings: Settings) -> list[dict[str, Any]]:
    """The transforms of the unlabeled images, without any that needs annotations.

    Detectors take those of validation, because training crops by boxes and drops images without
    them, and flip as the training does.
    """
    classifier = is_classifier(cfg)
    stages = ('train',) if classifier else ('val', 'test')
    pipeline = next((each for stage in stages if (each := _reading(cfg, settings, stage))), [])
    if not pipeline or not _kind(pipeline[0]).startswith('LoadImage'):
        raise ValueError(
            f'unlabeled: expected a {stages[0]}_dataloader whose data set reads image files in its '
            'pipeline; use a config that reads image files'
        )
    if classifier:
        return pipeline
    if not any(_kind(each) == 'LoadAnnotations' for each in pipeline):
        pipeline.insert(1, dict(type='LoadAnnotations', with_bbox=True))
    training = [each for _, of in pipelines_of(cfg.get('train_dataloader') or {}) for each in of]
    flips = [each for each in training if _kind(each) == 'RandomFlip'][:1]
    packing = next(
        (i for i, t in enumerate(pipeline) if _kind(t).startswith('Pack')), len(pipeline)
    )
    return [*pipeline[:packing], *_plain(flips, cfg), *pipeline[packing:]]


def _reading(cfg: Config, settings: Settings, stage: str) -> list[dict[str, Any]]:
    """A copy of the transforms that read the images of a stage, resized if the run does so."""
    own = [of for _, of in pipelines_of(cfg.get(f'{stage}_dataloader') or {})][-1:]
    resized = [
        settings[name] for name in (f'{stage}_images', f'{stage}_pipeline') if name in settings
    ]
    return _plain([*(resized or own)[0]], cfg) if own else []


def _plain(transforms: list[dict[str, Any]], cfg: Config) -> list[dict[str, Any]]:
    return without_scope(transforms, cfg.get('default_scope'))


def _kind(transform: Mapping[str, Any]) -> str:
    return str(transform['type']).split('.')[-1]
