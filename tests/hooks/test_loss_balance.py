"""Balanced gradients: their norms, the factors that follow, whole runs, and wrong settings."""

import math
from types import SimpleNamespace

import pytest
import torch
from helpers import IMAGE_LOADER, PowerCut, distiller_config, toy_detector
from mmengine.logging import MessageHub

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.algorithms.gradient_norms import Pull
from mmkd.hooks import LossBalanceHook
from mmkd.storage.checkpoint import read_checkpoint
from mmkd.teachers import FrozenTeacher

HOOK = 'mmkd.LossBalanceHook'


def distilling(weight=1.0, source='neck'):
    loss = {'type': 'mmkd.MimicLoss', 'loss_weight': weight}
    config = distiller_config(source, loss=loss)
    return FrozenTeacherDistill(toy_detector(0), FrozenTeacher(toy_detector(1)), config)


def images(count=2):
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(3))


def norms_by_hand(student, teacher, batch):
    """Gradients of both losses at the neck's output, written out."""
    feature = student.extract_feat(batch).detach().requires_grad_()
    (task,) = torch.autograd.grad(student.bbox_head(feature).square().mean(), feature)
    target = teacher.extract_feat(batch).detach()
    (distillation,) = torch.autograd.grad((feature - target).square().mean(), feature)
    return task.norm(), distillation.norm()


def test_norms_equal_those_by_hand_and_leave_the_step_as_it_is():
    model, plain = distilling(), distilling()
    model.measure_gradients = True
    losses = model.loss(images())
    assert plain.gradient_norms == {}
    expected = norms_by_hand(toy_detector(0), toy_detector(1), images())
    torch.testing.assert_close(tuple(model.gradient_norms['loss_feature']), expected)
    for each, found in ((model, losses), (plain, plain.loss(images()))):
        sum(found.values()).backward()
        assert each.architecture.backbone[0].weight.grad is not None
    for one, other in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=0)


def test_half_precision_gives_the_same_ratio():
    whole, half = distilling(1e-6), distilling(1e-6)  # fp16 alone would lose such gradients
    for model in (whole, half):
        model.measure_gradients = True
    whole.loss(images())
    with torch.autocast('cpu', torch.float16):
        half.loss(images())
    ratios = [
        task / loss for task, loss in (m.gradient_norms['loss_feature'] for m in (whole, half))
    ]
    torch.testing.assert_close(ratios[1], ratios[0], rtol=0.02, atol=0)


class FakeRun:
    """A runner whose model reports chosen norms of gradients."""

    def __init__(self, hook, max_iters=1000):
        self.hook, self.warnings = hook, []
        distiller = SimpleNamespace(distill_losses={'loss_a': None, 'loss_b': None})
        self.model = SimpleNamespace(
            distiller=distiller,
            loss_factors={},
            balance_factors={},
            gradient_norms={},
            measure_gradients=False,
        )
        self.runner = SimpleNamespace(
            model=self.model,
            message_hub=MessageHub('balance'),
            max_iters=max_iters,
            logger=SimpleNamespace(warning=self.warnings.append),
        )
        self.runner.message_hub.runtime_info.clear()
        hook.before_train(self.runner)

    def step(self, iteration, **pulls):
        """The factors of an iteration in which these norms are measured."""
        self.runner.iter = iteration
        self.hook.before_train_iter(self.runner, 0)
        factors = dict(self.model.balance_factors)
        self.model.gradient_norms = {
            f'loss_{name}': Pull(*map(torch.tensor, norms)) for name, norms in pulls.items()
        }
        self.hook.after_train_iter(self.runner, 0)
        return factors


def test_factors_hold_the_ratio_of_each_loss():
    run = FakeRun(LossBalanceHook({'a': 0.5, 'loss_b': 2.0}, warmup=0))
    # The first step measures only: it must not learn from the losses' own weights.
    assert run.step(0, a=(3.0, 1.0), b=(3.0, 12.0)) == {'loss_a': 0, 'loss_b': 0}
    assert run.step(1) == pytest.approx({'loss_a': 1.5, 'loss_b': 0.5})


def test_a_loss_without_a_ratio_keeps_its_weight():
    run = FakeRun(LossBalanceHook({'a': 0.5}, warmup=0))
    run.step(0, a=(3.0, 1.0), b=(3.0, 12.0))
    assert run.step(1) == pytest.approx({'loss_a': 1.5})


def test_factors_are_smoothed_in_their_logarithm():
    run = FakeRun(LossBalanceHook(momentum=0.75, warmup=0))
    factors = []
    for iteration, task in enumerate((1.0, 4.0, 2.0, 2.0, 32.0)):
        run.step(iteration, a=(task, 1.0))
        factors.append(run.step(iteration)['loss_a'])
    # Means of 0, 2, 1, 1 (powers of two), then a quarter of the way from 1 to 5.
    assert [math.log2(factor) for factor in factors] == pytest.approx([0, 1, 1, 1, 2])


def test_the_ratio_warms_up():
    run = FakeRun(LossBalanceHook(warmup=0.1), max_iters=50)
    run.step(0, a=(2.0, 1.0))
    factors = [run.step(iteration)['loss_a'] for iteration in (1, 3, 4, 5, 49)]
    assert factors == pytest.approx([2 * 2 / 5, 2 * 4 / 5, 2, 2, 2])


def test_a_learned_loss_does_not_turn_into_noise():
    run = FakeRun(LossBalanceHook(warmup=0, momentum=0, limit=10))
    run.step(0, a=(1.0, 1.0))
    run.step(1, a=(1.0, 1e-9))
    assert run.step(2, a=(1.0, 1e9))['loss_a'] == pytest.approx(10)
    assert run.step(3)['loss_a'] == pytest.approx(0.1)


@pytest.mark.parametrize('norms', [(0.0, 1.0), (1.0, 0.0), (math.inf, 1.0), (1.0, math.nan)])
def test_what_tells_nothing_changes_nothing(norms):
    run = FakeRun(LossBalanceHook(warmup=0))
    run.step(0, a=(3.0, 1.0))
    run.step(1, a=norms)
    assert run.step(2)['loss_a'] == pytest.approx(3)


def test_a_loss_where_the_task_has_no_gradient_keeps_its_weight():
    run = FakeRun(LossBalanceHook(warmup=0))
    run.step(0, a=(0.0, 1.0), b=(1.0, 1.0))
    assert run.step(1) == {'loss_b': 1}
    [warning] = run.warnings
    assert 'loss_a keeps its own weight' in warning


def test_measurements_are_dense_at_first():
    run = FakeRun(LossBalanceHook(interval=10))
    due = []
    for iteration in range(31):
        run.step(iteration)
        due += [iteration] * run.model.measure_gradients
    assert due == [0, 1, 2, 4, 8, 10, 20, 30]


def balanced(toy_runner, weight=1.0, **arguments):
    hook = {'type': HOOK, 'ratio': 0.5, 'interval': 3}
    return toy_runner(
        model=distilling(weight), loader=IMAGE_LOADER, custom_hooks=[hook], **arguments
    )


def test_the_weight_of_the_loss_does_not_matter(toy_runner):
    weights = []
    for weight in (0.01, 1.0, 300.0):
        runner = balanced(toy_runner, weight, param_scheduler=None)
        runner.train()
        weights.append(runner.model.architecture.neck.weight.detach().clone())
    for other in weights[:2]:
        torch.testing.assert_close(other, weights[2], rtol=1e-4, atol=1e-6)


def test_a_resumed_run_continues_the_factors(toy_runner, tmp_path):
    whole = balanced(toy_runner, work_dir='whole')
    whole.train()
    cut = balanced(toy_runner, work_dir='parts')
    cut.register_hook(PowerCut())
    with pytest.raises(KeyboardInterrupt):
        cut.train()
    resumed = balanced(toy_runner, work_dir='parts', resume=True)
    resumed.train()
    expected, got = (
        read_checkpoint(str(tmp_path / run / 'epoch_3.pth')) for run in ('whole', 'parts')
    )
    for name, value in expected['state_dict'].items():
        assert torch.equal(got['state_dict'][name], value)
    key = 'train/balance/loss_feature'
    logs = [run.message_hub.get_scalar(key).data[0].tolist() for run in (whole, resumed)]
    assert logs[0] == logs[1]
    assert len(logs[0]) == 12


def test_all_processes_use_the_same_factor(monkeypatch):
    def all_reduce(norms, op):
        assert op == 'mean'
        norms.copy_((norms + torch.tensor([[3.0, 1.0]])) / 2)  # what another process measured

    monkeypatch.setattr('mmkd.hooks.loss_balance.all_reduce', all_reduce)
    run = FakeRun(LossBalanceHook(warmup=0))
    run.step(0, a=(1.0, 1.0))
    assert run.step(1)['loss_a'] == pytest.approx(2)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'ratio': 0}, 'ratio: expected a finite number > 0'),
        ({'ratio': {'pcka': -1}}, r'ratio\.pcka: expected a finite number > 0'),
        ({'interval': 0}, 'interval: expected'),
        ({'momentum': 1}, r'momentum: expected a number in \[0, 1\), got 1'),
        ({'warmup': -0.1}, r'warmup: expected a number in \[0, 1\), got -0.1'),
        ({'limit': 0.5}, 'limit: expected a number of at least 1, got 0.5'),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        LossBalanceHook(**arguments)


def test_unknown_losses_and_models_are_named():
    with pytest.raises(ValueError, match=r"of \['loss_a', 'loss_b'\], got \['loss_pkca'\]"):
        FakeRun(LossBalanceHook({'pkca': 1.0}))
    with pytest.raises(ValueError, match=r'a model with a distiller .* got ToyDetector'):
        LossBalanceHook().before_train(SimpleNamespace(model=toy_detector()))
