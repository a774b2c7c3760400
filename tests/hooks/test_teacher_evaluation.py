"""The teacher's metrics are those of a test of its own, and measuring them changes nothing."""

import copy
import json
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import run_in_processes
from mmengine.hooks import Hook
from mmengine.structures import BaseDataElement
from torch.utils.data import ConcatDataset, Dataset

from mmkd.api.running import build_runner, load_config
from mmkd.cli import test as test_tool
from mmkd.datasets.digits import DigitsDataset
from mmkd.exporting import student_state_dict
from mmkd.hooks import TeacherEvaluationHook
from mmkd.models.building import build_model
from mmkd.storage.checkpoint import read_checkpoint
from mmkd.teachers import FrozenTeacher, TeacherEnsemble

HOOKS = [{'type': 'mmkd.TeacherEvaluationHook'}]


class Draws(Dataset):
    """Eight vectors that draw from Python's, NumPy's and torch's generators."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        noise = random.random() + np.random.rand() + torch.rand(4)
        return {'inputs': noise, 'data_samples': BaseDataElement()}


def taught(toy_runner, *, hooks=HOOKS, scores, loader=None, **arguments):
    """A run of three epochs whose teacher is a copy of the student."""
    if scores is not None:
        loader = {
            'dataset': Draws(),
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
            'batch_size': 8,
            **(loader or {}),
        }
        arguments['val_dataloader'] = loader
    runner = toy_runner(scores=scores, custom_hooks=hooks, **arguments)
    runner.model.teacher = FrozenTeacher(copy.deepcopy(runner.model))
    return runner


def scores(*values):
    return [{'score': value, 'table': [value]} for value in values]


def student_scalars(runner):
    """What the message hub holds of the student, without times."""
    scalars = runner.message_hub.log_scalars
    return {name: buffer.data[0].tolist() for name, buffer in scalars.items() if 'time' not in name}


@pytest.mark.parametrize(
    'loader', [{'num_workers': 0}, {'num_workers': 1, 'persistent_workers': True}]
)
def test_training_is_the_same_with_the_hook(toy_runner, loader):
    """A shuffled loader, noisy samples and dropout draw from every generator."""
    alone = taught(toy_runner, hooks=[], scores=scores(0.1, 0.2, 0.3), loader=loader)
    alone.train()
    runner = taught(toy_runner, scores=scores(0.9, 0.1, 0.2, 0.3), loader=loader)
    runner.train()
    expected = alone.model.state_dict()
    assert all(
        torch.equal(value, expected[name]) for name, value in runner.model.state_dict().items()
    )
    assert student_scalars(runner) == student_scalars(alone)
    assert student_scalars(runner)['val/score'] == [0.1, 0.2, 0.3]


def test_logged_at_step_zero_and_beside_the_student(toy_runner, tmp_path, monkeypatch):
    lines = []
    runner = taught(toy_runner, scores=scores(0.9, 0.1, 0.2, 0.3))
    monkeypatch.setattr(runner.logger, 'info', lambda line, *_: lines.append(line))
    runner.train()
    assert [line for line in lines if 'score' in line and 'Epoch' not in line] == [
        'teacher/score: 0.9000',
        *[f'score: student {score:.4f}, teacher 0.9000' for score in (0.1, 0.2, 0.3)],
    ]
    (file,) = tmp_path.glob('run/*/vis_data/scalars.json')
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row for row in rows if 'teacher/score' in row] == [{'teacher/score': 0.9, 'step': 0}]


def test_the_teacher_predicts_in_eval_mode_and_the_student_keeps_its_own(toy_runner):
    runner = taught(toy_runner, scores=scores(0.9, 0.1, 0.2, 0.3))
    seen = []
    runner.model.teacher.model.register_forward_hook(
        lambda model, *_: seen.append((model.training, torch.is_grad_enabled(), runner.iter))
    )
    runner.model.eval()
    modes = []
    runner.register_hook(ModeAfterEvaluation(modes))
    runner.train()
    assert seen == [(False, False, 0)]
    assert modes == [False]


class ModeAfterEvaluation(Hook):
    """Keeps the student's mode right after the teacher was evaluated."""

    priority = 'LOWEST'

    def __init__(self, modes):
        self.modes = modes

    def before_train(self, runner):
        self.modes.append(runner.model.training)


class PowerCut(Hook):
    """Stops a run in its second epoch."""

    def before_train_epoch(self, runner):
        if runner.epoch == 1:
            raise KeyboardInterrupt


def test_a_resumed_run_takes_the_metrics_of_its_checkpoint(toy_runner):
    cut = taught(toy_runner, scores=scores(0.9, 0.1))
    cut.register_hook(PowerCut())
    with pytest.raises(KeyboardInterrupt):
        cut.train()
    hook = TeacherEvaluationHook()
    resumed = taught(toy_runner, hooks=[hook], scores=scores(0.2, 0.3), resume=True)
    resumed.train()
    assert hook.metrics == {'teacher': {'score': 0.9}}
    assert student_scalars(resumed)['val/score'] == [0.2, 0.3]


def test_model_without_teacher(toy_runner):
    runner = toy_runner(scores=scores(0.9), custom_hooks=HOOKS)
    with pytest.raises(ValueError, match='expected a model with a teacher, got Regressor'):
        runner.train()


def test_run_without_validation(toy_runner):
    with pytest.raises(ValueError, match='expected a run with validation, got none'):
        taught(toy_runner, scores=None).train()


def test_teacher_of_other_classes():
    path = 'mmkd::digits/resnet14_digits.py'
    members = {
        'ten': FrozenTeacher(build_model({'cfg_path': path})),
        'hundred': FrozenTeacher(build_model({'cfg_path': path, 'head': {'num_classes': 100}})),
    }
    runner = SimpleNamespace(
        model=SimpleNamespace(teacher=TeacherEnsemble(members)),
        val_loop=object(),
        val_dataloader=SimpleNamespace(dataset=ConcatDataset([digits()])),
    )
    message = (
        r'with the 10 classes .* got teacher\.hundred\.head \(LinearClsHead\) with num_classes=100'
    )
    with pytest.raises(ValueError, match=message):
        TeacherEvaluationHook().before_train(runner)


def digits():
    return DigitsDataset(split='val', device='cpu')


# Mean and standard deviation by which the images of each teacher are normalized.
NORMALIZATIONS = {'first': (77.9, 82.6), 'second': (128.0, 20.0)}


def features(model, mean, std):
    with torch.no_grad():
        return model.extract_feat((digits().images.float() - mean) / std)[-1]


def classifier(seed, mean, std):
    """A random network that takes each image for the class with the nearest mean feature."""
    torch.manual_seed(seed)
    model = build_model({'cfg_path': 'mmkd::digits/resnet14_digits.py'})
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    features(model.train(), mean, std)
    found, labels = features(model.eval(), mean, std), digits().labels
    means = torch.stack([found[labels == label].mean(0) for label in range(10)])
    model.head.fc.weight.data = means
    model.head.fc.bias.data = -means.square().sum(1) / 2
    return model


def accuracy(model, mean, std):
    """Top-1 accuracy in per cent, without preprocessor, loader and metric."""
    predicted = model.head.fc(features(model, mean, std)).argmax(1)
    return 100 * (predicted == digits().labels).double().mean().item()


def evaluate_classifiers(rank, folder):
    """The metrics that the hook measures of two teachers of the digits."""
    torch.set_num_threads(1)
    cfg = load_config('mmkd::baselines/kd/kd_resnet14_resnet8_digits.py')
    members = {
        name: {
            'cfg_path': 'mmkd::digits/resnet14_digits.py',
            'checkpoint': f'{folder}/{name}.pth',
            'data_preprocessor': {'mean': [mean] * 3, 'std': [std] * 3},
        }
        for name, (mean, std) in NORMALIZATIONS.items()
    }
    cfg.model.teacher = {'members': members}
    cfg.model.distiller.losses.kd.on = {'student': 'head.fc', 'teacher': 'first.head.fc'}
    cfg.work_dir = f'{folder}/work'
    return measure(build_runner(cfg))


def measure(runner):
    hook = TeacherEvaluationHook()
    hook.before_train(runner)
    return hook.metrics


@pytest.fixture
def classifiers(tmp_path):
    """Folder with the weights of two teachers, and the accuracy of each."""
    expected = {}
    for seed, (name, normalization) in enumerate(NORMALIZATIONS.items()):
        model = classifier(seed, *normalization)
        torch.save({'state_dict': model.state_dict()}, tmp_path / f'{name}.pth')
        expected[f'teacher/{name}'] = accuracy(model, *normalization)
        assert expected[f'teacher/{name}'] > accuracy(model, 0, 255) + 20
    return str(tmp_path), expected


def test_two_classifiers_each_with_its_own_normalization(classifiers):
    folder, expected = classifiers
    measured = evaluate_classifiers(0, folder)
    top1 = {who: metrics['accuracy/top1'] for who, metrics in measured.items()}
    assert top1 == pytest.approx(expected, abs=1e-4)


def test_two_processes_measure_what_one_does(classifiers):
    """599 images: the sampler repeats one, which is not counted."""
    folder, expected = classifiers
    for measured in run_in_processes(evaluate_classifiers, folder):
        top1 = {who: metrics['accuracy/top1'] for who, metrics in measured.items()}
        assert top1 == pytest.approx(expected, abs=1e-4)


@pytest.fixture
def detecting(tiny_digits, trained, tmp_path, repo):
    """Function: a short run whose teacher is the student of the run ``trained``."""
    student = student_state_dict(read_checkpoint(str(trained / 'epoch_12.pth'))['state_dict'])
    torch.save({'state_dict': student}, tmp_path / 'teacher.pth')

    def build(**teacher):
        cfg = load_config(str(tiny_digits))
        cfg.work_dir = str(tmp_path / 'work')
        cfg.train_cfg.max_epochs = 1
        cfg.model.teacher = {
            'cfg_path': str(repo / 'configs/digits/gfl_r18w16_fpn_digits.py'),
            'checkpoint': str(tmp_path / 'teacher.pth'),
            'test_cfg': {'score_thr': 0.0},
            **teacher,
        }
        return build_runner(cfg)

    return build


def test_a_detector_measures_as_the_test_tool_does(detecting, tiny_digits, trained, tmp_path):
    runner, hook = detecting(), TeacherEvaluationHook()
    runner.register_hook(hook)
    runner.train()
    checkpoint, work_dir = trained / 'epoch_12.pth', tmp_path / 'test'
    expected = test_tool.main([str(tiny_digits), str(checkpoint), '--work-dir', str(work_dir)])
    assert hook.metrics == {'teacher': expected}
    assert expected['coco/bbox_mAP_50'] > 0


def test_a_detector_in_bfloat16(detecting):
    runner, dtypes = detecting(precision='bf16'), set()
    runner.model.teacher.model.neck.register_forward_hook(
        lambda *call: dtypes.update(level.dtype for level in call[-1])
    )
    (measured,) = measure(runner).values()
    (exact,) = measure(detecting()).values()
    assert dtypes == {torch.bfloat16}
    assert measured == pytest.approx(exact, abs=0.02)


def test_a_detector_of_more_classes_is_measured_on_those_of_the_data(detecting, tmp_path):
    """The same detector with two more classes in front, which it finds nowhere."""
    state = torch.load(tmp_path / 'teacher.pth')['state_dict']
    for name, fill in (('weight', 0.0), ('bias', -20.0)):
        own = state[f'bbox_head.gfl_cls.{name}']
        state[f'bbox_head.gfl_cls.{name}'] = torch.cat([torch.full_like(own[:2], fill), own])
    torch.save({'state_dict': state}, tmp_path / 'more.pth')
    more = {'checkpoint': str(tmp_path / 'more.pth'), 'bbox_head': {'num_classes': 12}}
    labels = {label + 2: label for label in range(10)}
    runner, hook = detecting(**more), TeacherEvaluationHook(labels)
    hook.before_train(runner)
    (expected,) = measure(detecting()).values()
    assert expected['coco/bbox_mAP_50'] > 0
    assert hook.metrics['teacher'] == pytest.approx(expected, abs=1e-3)
    with pytest.raises(ValueError, match=r'labels: expected labels from 0 to 9 of the data, got'):
        TeacherEvaluationHook({2: 10}).before_train(runner)
    with pytest.raises(ValueError, match=r'labels: expected labels from 0 to 11 of teacher\.bbox'):
        TeacherEvaluationHook({12: 0}).before_train(runner)
