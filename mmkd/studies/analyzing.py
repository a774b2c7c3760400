"""``mmkd.analyze``: run studies of a teacher and its students, and write what they find."""

import copy
import datetime
import io
import json
import math
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args

from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmkd.checking.close_names import did_you_mean
from mmkd.checking.config_file import read_config
from mmkd.checking.setting_names import check_options
from mmkd.datasets.explained_errors import explain_empty_datasets, explain_unreadable_images
from mmkd.exporting import student_config
from mmkd.functional.checks import check_choice, check_positive_int
from mmkd.storage.atomic_write import write_atomically
from mmkd.studies.image_data import SPLITS, ImageData, image_labels
from mmkd.studies.kinds import STUDIES
from mmkd.studies.networks import Network
from mmkd.studies.pair_networks import (
    Paths,
    build_students,
    build_teacher_network,
    teacher_settings,
)
from mmkd.studies.study import TEACHER, Batch, Findings, Setup, Study
from mmkd.version import __version__

Layout = Literal['tsne', 'umap']
NUMBERS = 'analysis.json'
MARK = 'made_by'


def analyze(
    config: str | PathLike[str] | Config,
    *checkpoints: str | PathLike[str],
    studies: Sequence[str] | None = None,
    split: str = 'val',
    out: str | PathLike[str] = 'analysis',
    teacher: str | None = None,
    teacher_checkpoint: str | PathLike[str] | None = None,
    layers: Sequence[str] | None = None,
    teacher_layers: Sequence[str] | None = None,
    images: int | None = None,
    samples: int = 1000,
    layout: Layout = 'tsne',
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
) -> Path:
    """Compare a student, or several checkpoints of it, with its teacher.

    Writes a picture for each study, and all numbers as JSON. The samples are the images of
    classifiers, and the true objects of detectors. Networks may differ in architecture and widths.

    Args:
        config: Config of a distillation, or of a plain student, then with ``teacher``.
        checkpoints: Checkpoints of the student: of a distillation, of a plain training, or
            exported.
        studies: Names of studies. Default: all that suit the networks.
        split: Images to use: ``'val'``, ``'train'`` (without augmentation) or ``'test'``.
        out: Folder to write. An earlier analysis in it is replaced.
        teacher: Config of the teacher. Default: that of the distillation.
        teacher_checkpoint: Its weights. Default: those that the config names.
        layers: Modules of the student for ``cka``. Default: the backbone's blocks, the
            neck, and a classifier's logits.
        teacher_layers: Those of the teacher.
        images: Number of images, evenly spaced. Default: all.
        samples: Most samples for matrices of samples and layouts.
        layout: ``'tsne'`` or ``'umap'`` for ``embedding``.
        seed: Of all random draws.
        options: Settings of the config by dotted key.

    Returns:
        The JSON file.

    Raises:
        FileExistsError: If ``out`` is a file, or a folder with other content.
        FileNotFoundError: If a config or a checkpoint is missing.
        ValueError: If an argument is out of range, a study that was asked for does not suit the
            networks, or the config has no such data.

    Example:
        >>> mmkd.analyze('run.py', 'epoch_12.pth', studies=['cka'])  # doctest: +SKIP
        PosixPath('analysis/analysis.json')
    """
    check_choice('split', split, SPLITS)
    check_choice('layout', layout, get_args(Layout))
    check_positive_int('samples', samples)
    if images is not None:
        check_positive_int('images', images)
    folder = _checked_folder(Path(out))
    cfg = copy.deepcopy(config) if isinstance(config, Config) else read_config(str(config))
    asked = _checked_studies(studies)  # the config's custom imports may add some
    if options:
        check_options(cfg, dict(options))
        cfg.merge_from_dict(dict(options))
    settings = teacher_settings(cfg, teacher, teacher_checkpoint)
    student = student_config(cfg)
    with (
        DefaultScope.overwrite_default_scope(student.get('default_scope') or 'mmengine'),
        explain_empty_datasets(),
        explain_unreadable_images(),
    ):
        data = ImageData(student, split, images)
        networks, epochs, no_logits = _networks(
            cfg, checkpoints, settings, data.classes, layers, teacher_layers
        )
        setup = Setup(
            students=[name for name in networks if name != TEACHER],
            classes=data.classes,
            kind='classifier' if networks[TEACHER].is_classifier else 'detector',
            epochs=epochs,
            samples=samples,
            seed=seed,
            networks=networks,
            layout=layout,
        )
        has_training = bool((student.get('train_dataloader') or {}).get('dataset'))
        chosen, left_out = _choose(asked, setup, no_logits, has_training)
        if trained := max(study.training_images for study in chosen.values()):
            _run(chosen, networks, ImageData(student, 'train', trained), learn=True)
        if not _run(chosen, networks, data):
            raise ValueError(f'split: expected objects in the images of {split}, got none')
        found = {name: study.finish() for name, study in chosen.items()}
    facts = dict(
        config=str(config) if not isinstance(config, Config) else config.filename,
        teacher=settings.get('checkpoint'),
        checkpoints=dict(zip(setup.students, map(str, checkpoints), strict=True)),
        kind=setup.kind,
        split=split,
        images=len(data.indices),
        seed=seed,
        left_out=left_out,
    )
    return _write(folder, facts, found)


def _checked_studies(studies: Sequence[str] | None) -> list[str] | None:
    if studies is None:
        return None
    names = [studies] if isinstance(studies, str) else [*studies]
    for name in names:
        if name not in STUDIES:
            raise ValueError(
                f'study: expected some of {", ".join(STUDIES)}, got {name!r}'
                f'{did_you_mean(name, [*STUDIES])}'
            )
    if not names:
        raise ValueError(f'study: expected some of {", ".join(STUDIES)}, got none')
    return [*dict.fromkeys(names)]


def _checked_folder(folder: Path) -> Path:
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f'out: expected a folder, got the file {folder}')
    if folder.is_dir() and any(folder.iterdir()) and not _is_analysis(folder / NUMBERS):
        raise FileExistsError(
            f'out: {folder} is not empty and holds no earlier analysis; choose another folder'
        )
    return folder


def _is_analysis(path: Path) -> bool:
    try:
        return MARK in json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False


def _networks(
    cfg: Config,
    checkpoints: Paths,
    settings: Mapping[str, Any],
    classes: Sequence[str],
    layers: Sequence[str] | None,
    teacher_layers: Sequence[str] | None,
) -> tuple[dict[str, Network], list[int | None], str | None]:
    """All networks, the students' epochs, and why there are no logits to compare, if so."""
    students = build_students(cfg, checkpoints)
    teacher, no_logits = build_teacher_network(settings, teacher_layers, classes)
    networks = {TEACHER: teacher}
    for each in students:
        networks[each.name] = Network(each.name, each.model, layers)
        if networks[each.name].is_classifier != teacher.is_classifier:
            raise ValueError('teacher: expected two classifiers, or two detectors, got one of each')
        if not networks[each.name].has_logits:
            no_logits = 'the student has no logits of an object'
    return networks, [each.epoch for each in students], no_logits


def _choose(
    asked: Sequence[str] | None, setup: Setup, no_logits: str | None, has_training: bool
) -> tuple[dict[str, Study], dict[str, str]]:
    """The studies that suit the networks, and why others do not.

    Raises:
        ValueError: If one that was asked for does not.
    """
    chosen, left_out = {}, {}
    for name in asked or STUDIES:
        try:
            study = STUDIES[name](setup)
            if study.needs == 'logits' and no_logits is not None:
                raise ValueError(f'expected logits of the same classes: {no_logits}')
            if study.training_images and not has_training:
                raise ValueError('expected train_dataloader.dataset in the config, got none')
            if study.costly and not asked:
                raise ValueError(f'it takes long; name it: --study {name} --images 32')
            chosen[name] = study
        except ValueError as error:
            if asked:
                raise ValueError(f'{name}: {error}') from error
            left_out[name] = str(error)
    if not chosen:
        raise ValueError(f'study: none suits the networks: {left_out}')
    return chosen, left_out


def _run(
    studies: Mapping[str, Study],
    networks: Mapping[str, Network],
    data: ImageData,
    learn: bool = False,
) -> int:
    """Show all batches to the studies, and return the number of samples."""
    samples = 0
    layers = not learn and any(study.needs == 'layers' for study in studies.values())
    for indices, raw in data:
        objects = None
        if networks[TEACHER].is_classifier:
            labels = image_labels(raw['data_samples'])
        else:
            objects = data.objects(indices, raw['data_samples'])
            labels = objects.labels
        if not len(labels):
            continue
        samples += len(labels)
        teacher, *students = (
            network.outputs(raw, objects, layers=layers) for network in networks.values()
        )
        names = [name for name in networks if name != TEACHER]
        batch = Batch(labels, teacher, dict(zip(names, students, strict=True)), raw)
        for study in studies.values():
            if not learn:
                study.add(batch)
            elif study.training_images:
                study.learn(batch)
    return samples


def _write(folder: Path, facts: dict[str, Any], found: Mapping[str, Findings]) -> Path:
    """Write pictures, then the numbers."""
    pictures: dict[str, list[str]] = {}
    for name, each in found.items():
        pictures[name] = []
        for end, figure in each.figures.items():
            file = io.BytesIO()
            figure.savefig(file, format='png', dpi=110)
            path = folder / f'{name}{"_" if end else ""}{end}.png'
            write_atomically(file.getvalue(), path)
            pictures[name].append(path.name)
    content = {
        MARK: f'mmkd {__version__}',
        'made_at': datetime.datetime.now().isoformat(timespec='seconds'),
        **facts,
        'studies': {
            name: dict(line=each.line, pictures=pictures[name], **each.numbers)
            for name, each in found.items()
        },
    }
    text = json.dumps(_finite(content), indent=1, allow_nan=False) + '\n'
    write_atomically(text.encode(), folder / NUMBERS)
    return folder / NUMBERS


def _finite(value: Any) -> Any:
    """The same with None for NaN and infinity, and six digits of other numbers."""
    if isinstance(value, Mapping):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if isinstance(value, float):
        return float(f'{value:.6g}') if math.isfinite(value) else None
    return value
