"""What is logged is unbiased PCKA, or the measures asked for, and measuring changes nothing."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import ToyDetector, distiller_config, toy_detector
from scipy import stats

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.functional import pcka
from mmkd.hooks import FeatureSimilarityHook
from mmkd.teachers import FrozenTeacher


def batches(count=3):
    generator = torch.Generator().manual_seed(5)
    return [
        {'inputs': torch.randn(2, 3, 16, 16, generator=generator), 'data_samples': [None, None]}
        for _ in range(count)
    ]


class Logged(SimpleNamespace):
    """A runner as far as the hook needs one; keeps what is logged."""

    def __init__(self, model, epoch=0):
        logged = []
        super().__init__(
            model=model,
            epoch=epoch,
            val_dataloader=batches(),
            logged=logged,
            logger=logging.getLogger('test'),
            visualizer=SimpleNamespace(
                add_scalars=lambda values, step: logged.append((step, values['similarity']))
            ),
        )


def distilling(student, teacher):
    return FrozenTeacherDistill(student, FrozenTeacher(teacher), distiller_config())


def measure(runner, **arguments):
    hook = FeatureSimilarityHook(patch_size=4, **arguments)
    hook.before_train(runner)
    hook.after_train_epoch(runner)
    return runner.logged


def test_value_is_the_mean_of_unbiased_pcka_over_the_first_batches():
    student, teacher = toy_detector(0), toy_detector(1)
    ((epoch, value),) = measure(Logged(distilling(student, teacher)), num_batches=2)
    expected = [
        pcka(
            student.eval().extract_feat(b['inputs']),
            teacher.eval().extract_feat(b['inputs']),
            4,
            unbiased=True,
        )
        for b in batches()[:2]
    ]
    assert epoch == 1
    assert value == pytest.approx(torch.stack(expected).mean().item(), abs=1e-6)
    assert value < 0.99


def test_equal_models_read_one():
    ((_, value),) = measure(Logged(distilling(toy_detector(0), toy_detector(0))))
    assert value == pytest.approx(1, abs=1e-6)


def test_plain_student_is_compared_with_a_configured_teacher(monkeypatch):
    expected = measure(Logged(distilling(toy_detector(0), toy_detector(1))))
    monkeypatch.setattr(
        'mmkd.teachers.frozen_teacher.build_model', lambda config: toy_detector(config['seed'])
    )
    assert measure(Logged(toy_detector(0)), teacher={'seed': 1}) == expected


def test_measuring_keeps_random_state_mode_and_weights():
    student = toy_detector(0, dropout=torch.nn.Dropout(0.5)).train()
    runner = Logged(distilling(student, toy_detector(1)))
    runner.val_dataloader = torch.utils.data.DataLoader(
        batches(), batch_size=None, shuffle=True, num_workers=0
    )
    before = {name: value.clone() for name, value in student.state_dict().items()}
    state = torch.get_rng_state()
    measure(runner)
    assert torch.equal(torch.get_rng_state(), state)
    assert student.training
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())


def test_interval():
    runner = Logged(distilling(toy_detector(0), toy_detector(1)))
    hook = FeatureSimilarityHook(patch_size=4, interval=2)
    hook.before_train(runner)
    for epoch in range(4):
        runner.epoch = epoch
        hook.after_train_epoch(runner)
    assert [epoch for epoch, _ in runner.logged] == [2, 4]


def test_model_without_teacher_needs_one():
    with pytest.raises(ValueError, match='expected `teacher`, since the model has none'):
        FeatureSimilarityHook().before_train(Logged(toy_detector(0)))


class Pyramid(ToyDetector):
    """A detector of another width, whose head's logits are (B, 5)."""

    def __init__(self, width):
        super().__init__(width)
        self.neck = torch.nn.Conv2d(width, width, 1)
        self.bbox_head = torch.nn.Sequential(
            torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(width, 5)
        )


@pytest.fixture(scope='module')
def unlike():
    torch.manual_seed(0)
    return Pyramid(4), Pyramid(6)


def logged(runner, **arguments):
    kept = {}
    runner.visualizer.add_scalars = lambda values, step: kept.update(values)
    hook = FeatureSimilarityHook(**arguments)
    hook.before_train(runner)
    hook.after_train_epoch(runner)
    return kept


def test_measures_of_any_pair_agree_with_numpy_and_scipy(unlike):
    student, teacher = unlike
    runner = Logged(distilling_nothing(student, teacher))
    measures = ['cka', 'cosine', 'pearson', 'spearman']
    pairs = {
        'maps': 'neck',
        'logits': {'student': 'bbox_head', 'teacher': 'bbox_head.2', 'measures': measures},
    }
    values = logged(runner, pairs=pairs, num_batches=3)
    with torch.no_grad():
        images = torch.cat([batch['inputs'] for batch in batches(3)])
        maps = [model.eval().extract_feat(images).double() for model in (student, teacher)]
        logits = [model.eval()(images).double().numpy() for model in (student, teacher)]
    assert values.keys() == {
        'similarity/maps/cka',
        *(f'similarity/logits/{measure}' for measure in measures),
    }
    rows = [m.permute(0, 2, 3, 1).flatten(0, 2).numpy() for m in maps]
    assert values['similarity/maps/cka'] == pytest.approx(unbiased_cka(*rows), abs=1e-4)
    assert values['similarity/logits/cka'] == pytest.approx(unbiased_cka(*logits), abs=1e-4)
    for name, function in (
        ('pearson', lambda s, t: stats.pearsonr(s, t)[0]),
        ('spearman', lambda s, t: stats.spearmanr(s, t)[0]),
        ('cosine', lambda s, t: s @ t / np.linalg.norm(s) / np.linalg.norm(t)),
    ):
        expected = np.mean([function(s, t) for s, t in zip(*logits, strict=True)])
        assert values[f'similarity/logits/{name}'] == pytest.approx(expected, abs=1e-5)


def unbiased_cka(x, y):
    """Song et al. 2012, eq. 5, term by term on whole Gram matrices."""

    def hsic(k, l):  # noqa: E741
        n = len(k)
        k, l = (m - np.diag(np.diag(m)) for m in (k, l))  # noqa: E741
        one = np.ones(n)
        last = 2 / (n - 2) * (one @ k @ l @ one)
        return np.trace(k @ l) + (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2)) - last

    k, l = x @ x.T, y @ y.T  # noqa: E741
    return hsic(k, l) / np.sqrt(hsic(k, k) * hsic(l, l))


def test_maps_of_two_sizes_are_averaged_to_the_smaller(unlike):
    student, teacher = unlike
    teacher.neck.stride = (2, 2)
    try:
        value = logged(Logged(distilling_nothing(student, teacher)), pairs={'a': 'neck'})
    finally:
        teacher.neck.stride = (1, 1)
    assert -1 <= value['similarity/a/cka'] <= 1


def distilling_nothing(student, teacher):
    """A model with a teacher, whose shapes nothing compares."""
    student.teacher = FrozenTeacher(teacher)
    return student


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'pairs': {'a': {'student': 'neck'}}}, r'pairs\.a: expected a module, or a dict'),
        ({'pairs': {'a': {'student': 'neck', 'teacher': 'neck', 'measures': ['rbf']}}}, 'measures'),
        ({'pairs': {}}, 'pairs: expected at least one'),
        ({'pairs': {'a': 'neck'}, 'source': 'neck'}, 'source: expected `source` or `pairs`'),
        ({'num_batches': 0}, 'num_batches'),
        ({'interval': 0}, 'interval'),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        FeatureSimilarityHook(**arguments)


@pytest.mark.parametrize(
    ('pair', 'message'),
    [
        ('necks', r'a\.student: no module .necks.; close names: neck'),
        (
            {'student': 'neck', 'teacher': 'neck', 'measures': 'cosine'},
            r"a: 'cosine' compares outputs of one shape, got \(2, 4, 16, 16\) and \(2, 6, 16, 16\)",
        ),
        (
            {'student': 'bbox_head', 'teacher': 'bbox_head', 'measures': 'pcka'},
            r"a: 'pcka' compares maps .*use 'cka'",
        ),
    ],
)
def test_what_cannot_be_compared_stops_before_training(unlike, pair, message):
    hook = FeatureSimilarityHook(pairs={'a': pair})
    with pytest.raises(ValueError, match=message):
        hook.before_train(Logged(distilling_nothing(*unlike)))


def test_a_run_without_validation_stops_before_training(unlike):
    runner = Logged(distilling_nothing(*unlike))
    runner.val_dataloader = None
    with pytest.raises(ValueError, match='expected a run with validation'):
        FeatureSimilarityHook().before_train(runner)
