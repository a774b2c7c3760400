"""Run the last checkpoint of a run on its validation images."""

import contextlib
import copy
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch.utils.data import DataLoader, SequentialSampler
from torch.utils.flop_counter import FlopCounterMode

from mmkd.exporting import student_state_dict
from mmkd.models.building import build_model
from mmkd.pairing.inspection.teacher_labels import teacher_labels
from mmkd.registry import DATASETS
from mmkd.reporting.predictions import (
    FILE,
    TEACHER_FILE,
    Classifications,
    Detections,
    Predictions,
    digest_of,
    load,
    save,
)
from mmkd.reporting.run_folder import RunFolder
from mmkd.storage.checkpoint import load_all, read_state_dict
from mmkd.teachers import FrozenTeacher

Classes = tuple[str, ...]
Predict = Callable[[Any], Sequence[Any]]
Build = Callable[[Classes], tuple[BaseModel, Predict]]


def student_predictions(run: RunFolder) -> Predictions:
    """Return the predictions of a run's last checkpoint, from its folder if they lie there.

    Raises:
        ValueError: If there is no validation data or no checkpoint, or the model is neither a
            detector nor a classifier.
    """
    config, checkpoint = _student_config(run), run.checkpoint
    if checkpoint is None:
        raise ValueError('there is no checkpoint')

    def model(_: Classes) -> tuple[BaseModel, Predict]:
        built = build_model(config.model)
        load_all(built, student_state_dict(read_state_dict(checkpoint)), str(checkpoint))
        return built, built.test_step

    return _kept(run, config, FILE, config.model, [checkpoint], model)


def teacher_predictions(run: RunFolder) -> Predictions:
    """Return the predictions of a distillation's teacher on the student's validation images.

    A teacher of more classes than the data is asked for those of the data, by their names.

    Raises:
        ValueError: As :func:`student_predictions`, or if the teacher has not the data's classes.
    """
    config, settings = _student_config(run), run.teacher
    if settings is None:
        raise ValueError('there are several teachers')
    checkpoint = settings.get('checkpoint')
    if not isinstance(checkpoint, str):
        raise ValueError("the run's config names no checkpoint of the teacher")

    def model(classes: Classes) -> tuple[BaseModel, Predict]:
        teacher = FrozenTeacher.from_config(settings)
        return teacher.model, _in_classes(classes, teacher, settings)

    return _kept(run, config, TEACHER_FILE, settings, [checkpoint], model)


def _student_config(run: RunFolder) -> Config:
    config = run.student
    if config is None:
        raise ValueError('there is no config of a model')
    if not (config.get('val_dataloader') or {}).get('dataset'):
        raise ValueError('the config has no validation data')
    return config


def _kept(
    run: RunFolder,
    config: Config,
    file: str,
    model: Mapping[str, Any],
    files: Sequence[str | Path],
    build: Build,
) -> Predictions:
    """Read predictions from the run's folder, or make them and keep them there."""
    plain = Config(dict(model=dict(model), data=config.val_dataloader))._cfg_dict.to_dict()
    made_of = digest_of(plain, files)
    path = run.path / file
    found = load(path, made_of)
    if found is None:
        print(f'{"report":<10} predicts the validation images for {path}', flush=True)
        scope = DefaultScope.overwrite_default_scope(config.get('default_scope'))
        with scope, contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
            found = _predict(config, build)
        with contextlib.suppress(OSError):  # a folder that cannot be written: made again next time
            save(found, path, made_of)
    return found


@torch.no_grad()
def _predict(config: Config, build: Build) -> Predictions:
    dataset = DATASETS.build(copy.deepcopy(config.val_dataloader.dataset))
    classes = tuple(map(str, dataset.metainfo['classes']))
    model, predict = build(classes)
    model.eval().to('cuda' if torch.cuda.is_available() else 'cpu')
    costs: dict[str, Any] = dict(parameters=sum(p.numel() for p in model.parameters()))
    samples: list[dict] = []
    for batch in _loader(config, dataset):
        if not samples:
            found, costs['flops'] = _counted(predict, batch)
        else:
            found = predict(batch)
        samples += [_arrays(sample) for sample in found]
    if 'boxes' in samples[0]:
        return _detections(samples, dataset, classes, costs)
    return _classifications(samples, classes, costs)


def _loader(config: Config, dataset: Any) -> DataLoader:
    """The validation loader, all images in their order on this process."""
    loader = copy.deepcopy(config.val_dataloader)
    settings = {name: value for name, value in loader.items() if name != 'dataset'}
    if settings.get('num_workers'):
        settings['persistent_workers'] = False
    settings.pop('batch_sampler', None)
    return Runner.build_dataloader({
        **settings, 'dataset': dataset, 'sampler': SequentialSampler(dataset)
    })  # fmt: skip


def _counted(predict: Predict, batch: Any) -> tuple[Sequence[Any], float | None]:
    """Predictions, and the FLOPs of convolutions and matrix products for one image.

    They are None if an operator does not work below the counter's dispatch mode.
    """
    try:
        with FlopCounterMode(display=False) as counter:
            found = predict(batch)
    except (RuntimeError, TypeError, NotImplementedError):
        return predict(batch), None
    return found, counter.get_total_flops() / len(found)


def _arrays(sample: Any) -> dict[str, Any]:
    """The prediction of an image as arrays."""
    if 'pred_instances' in sample:
        found = sample.pred_instances.cpu()
        values = dict(boxes=found.bboxes, scores=found.scores, labels=found.labels)
        return {name: _tensor(value).float().numpy() for name, value in values.items()}
    if 'pred_score' not in sample or 'gt_label' not in sample:
        raise ValueError('the model predicts neither boxes nor classes')
    scores, label = sample.pred_score.float().cpu(), sample.gt_label.flatten()
    if len(label) != 1:
        raise ValueError('images have several labels')
    return dict(score=float(scores.max()), answer=int(scores.argmax()), truth=int(label))


def _tensor(value: Any) -> torch.Tensor:
    return getattr(value, 'tensor', value)  # boxes may be wrapped


def _classifications(
    samples: Sequence[dict], classes: tuple[str, ...], costs: dict[str, Any]
) -> Classifications:
    return Classifications(
        classes=classes,
        truth=np.array([sample['truth'] for sample in samples]),
        answers=np.array([sample['answer'] for sample in samples]),
        scores=np.array([sample['score'] for sample in samples], np.float32),
        costs=costs,
    )


def _detections(
    samples: Sequence[dict], dataset: Any, classes: tuple[str, ...], costs: dict[str, Any]
) -> Detections:
    infos = [dataset.get_data_info(index) for index in range(len(samples))]
    truth = [each for info in infos for each in info['instances']]
    return Detections(
        classes=classes,
        truth=np.array([each['bbox_label'] for each in truth], int),
        answers=np.concatenate([sample['labels'] for sample in samples]).astype(int),
        scores=np.concatenate([sample['scores'] for sample in samples]),
        costs=costs,
        truth_boxes=np.array([each['bbox'] for each in truth], np.float32).reshape(-1, 4),
        truth_counts=np.array([len(info['instances']) for info in infos], int),
        truth_ignored=np.array([bool(each.get('ignore_flag')) for each in truth], bool),
        boxes=np.concatenate([sample['boxes'] for sample in samples]).reshape(-1, 4),
        counts=np.array([len(sample['labels']) for sample in samples], int),
        paths=np.array([str(info.get('img_path', '')) for info in infos]),
    )


def _in_classes(data: Classes, teacher: FrozenTeacher, settings: Mapping[str, Any]) -> Predict:
    """The teacher's predictions with the labels of the data's classes."""
    labels = teacher_labels(data, teacher.model, settings, teacher.classes or ())
    if labels is None:
        return teacher.predict
    known = torch.tensor(labels)

    def predict(batch: Any) -> list[Any]:
        samples = teacher.predict(batch)
        for sample in samples:
            if 'pred_instances' in sample:
                found = sample.pred_instances
                same = found.labels[:, None] == known.to(found.labels.device)
                found.labels = same.long().argmax(1)
                sample.pred_instances = found[same.any(1)]
            elif 'pred_score' in sample:
                sample.pred_score = sample.pred_score[labels]
        return samples

    return predict
