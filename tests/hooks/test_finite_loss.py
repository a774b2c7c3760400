from types import SimpleNamespace

import pytest
import torch
from helpers import distiller_config, toy_detector
from mmengine.structures import BaseDataElement

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.hooks import FiniteLossHook
from mmkd.teachers import FrozenTeacher, TeacherEnsemble

RUNNER = SimpleNamespace(epoch=1, iter=6)


def check(outputs, data_batch=None, interval=1, runner=RUNNER):
    FiniteLossHook(interval).after_train_iter(
        runner, batch_idx=runner.iter, data_batch=data_batch, outputs=outputs
    )


def test_finite_outputs_pass():
    check({'loss': torch.tensor(1.0), 'acc': torch.tensor([50]), 'lr': 0.1, 'note': 'nan'})
    check(None)
    check({})


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize('kind', [float, torch.tensor, lambda x: torch.tensor([[1.0, x]])])
def test_names_every_non_finite_loss_and_no_other(value, kind):
    outputs = {'loss_cls': kind(value), 'loss_bbox': torch.tensor(2.0), 'loss_kd': kind(value)}
    with pytest.raises(FloatingPointError) as error:
        check(outputs)
    message = str(error.value)
    assert 'loss_cls=' in message
    assert 'loss_kd=' in message
    assert 'loss_bbox' not in message
    assert 'epoch 2, iteration 7' in message


def test_one_tensor_reaches_the_host(monkeypatch):
    calls = []
    for name in ('tolist', 'item', '__bool__', '__float__'):
        stock = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor, name, lambda self, stock=stock: calls.append(1) or stock(self)
        )
    check({f'loss_{i}': torch.tensor(float(i)) for i in range(5)})
    assert len(calls) == 1


def samples(**metainfo):
    return [BaseDataElement(metainfo={key: v[i] for key, v in metainfo.items()}) for i in (0, 1)]


@pytest.mark.parametrize(
    ('batch', 'expected'),
    [
        ({'data_samples': samples(img_path=['a.jpg', 'b.jpg'])}, "img_path ['a.jpg', 'b.jpg']"),
        ({'data_samples': samples(img_id=[3, 4], ori_shape=[1, 2])}, 'img_id [3, 4]'),
        ({'data_samples': [{'img_path': 'a.jpg'}, {}]}, "img_path ['a.jpg']"),
        ({'img_path': ['a.jpg', 'b.jpg'], 'img': torch.ones(2)}, "img_path ['a.jpg', 'b.jpg']"),
        (samples(sample_idx=[7, 8]), 'sample_idx [7, 8]'),
        ({'inputs': torch.ones(2), 'data_samples': None}, 'sample indices unknown'),
        ((torch.ones(2), torch.ones(2)), 'sample indices unknown'),
        (None, 'sample indices unknown'),
    ],
)
def test_says_where_the_batch_came_from(batch, expected):
    with pytest.raises(FloatingPointError) as error:
        check({'loss': float('nan')}, batch)
    assert f'batch: {expected}' in str(error.value)


def test_interval_counts_iterations_of_the_run():
    bad = {'loss': float('nan')}
    check(bad, interval=4)  # iteration 7
    with pytest.raises(FloatingPointError):
        check(bad, interval=4, runner=SimpleNamespace(epoch=1, iter=7))  # iteration 8
    with pytest.raises(ValueError, match='interval: expected at least 1 iteration, got 0'):
        FiniteLossHook(0)


def test_a_run_stops_at_the_first_bad_loss_and_keeps_only_good_checkpoints(toy_runner, tmp_path):
    runner = toy_runner(
        spoil=lambda loss, iteration: loss * float('nan') if iteration == 5 else loss,
        default_hooks={'checkpoint': {'type': 'CheckpointHook', 'interval': 1, 'by_epoch': False}},
        custom_hooks=[{'type': 'mmkd.FiniteLossHook'}],
    )
    with pytest.raises(
        FloatingPointError, match=r"epoch 2, iteration 6; batch: img_path \['\d.jpg"
    ):
        runner.train()
    names = {path.name for path in (tmp_path / 'run').glob('*.pth')}
    assert names == {f'iter_{i}.pth' for i in range(1, 6)}


class InfiniteGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, loss):
        return loss.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * float('inf')


def test_a_finite_loss_with_an_infinite_gradient_is_not_saved(toy_runner, tmp_path):
    runner = toy_runner(
        spoil=lambda loss, iteration: InfiniteGradient.apply(loss) if iteration == 3 else loss,
        default_hooks={'checkpoint': {'type': 'CheckpointHook', 'interval': 1, 'by_epoch': False}},
        custom_hooks=[{'type': 'mmkd.FiniteLossHook'}],
    )
    with pytest.raises(FloatingPointError, match=r'linear\.weight.*iteration 4; it was not saved'):
        runner.train()
    assert not (tmp_path / 'run/iter_4.pth').exists()
    assert (tmp_path / 'run/iter_3.pth').exists()


def test_an_infinite_buffer_may_be_saved():
    model = torch.nn.Linear(2, 2)
    model.register_buffer('mask', torch.tensor([0.0, -float('inf')]))
    runner = SimpleNamespace(model=model, epoch=0, iter=0)
    FiniteLossHook().before_save_checkpoint(runner, {'state_dict': model.state_dict()})
    model.weight.data[0, 0] = float('nan')
    with pytest.raises(FloatingPointError, match=r'in 1 of 2 parameters \(first: weight\)'):
        FiniteLossHook().before_save_checkpoint(runner, {'state_dict': model.state_dict()})


def step_with(teacher):
    """The losses of a step with this teacher, and the runner and the batch that the hook gets."""
    distiller = distiller_config()
    if isinstance(teacher, TeacherEnsemble):
        distiller['teacher_recorders'] = {
            'feature': {'type': 'ModuleOutputs', 'source': 'second.neck'}
        }
    model = FrozenTeacherDistill(toy_detector(0), teacher, distiller)
    batch = {'inputs': torch.rand(2, 3, 8, 8), 'data_samples': None}
    losses = model.loss(batch['inputs'])
    return losses, SimpleNamespace(epoch=1, iter=6, model=model), batch


def spoiled(value):
    detector = toy_detector(1)
    name, parameter = next(iter(detector.backbone.named_parameters()))
    parameter.data.fill_(value)
    return detector, f'backbone.{name.rpartition(".")[0]}'.rstrip('.')


@pytest.mark.parametrize('value', [3e38, float('nan')])
@pytest.mark.parametrize('several', [False, True])
def test_a_teacher_that_returns_nan_is_named_with_its_module(value, several):
    model, module = spoiled(value)
    teacher = FrozenTeacher(model)
    teacher.checkpoint = 'teacher.pth'
    if several:
        teacher = TeacherEnsemble({'first': FrozenTeacher(toy_detector(2)), 'second': teacher})
        module = f'second.{module}'
    losses, runner, batch = step_with(teacher)
    with pytest.raises(FloatingPointError) as error:
        check({'loss': sum(losses.values()), **losses}, batch, runner=runner)
    assert str(error.value).startswith(
        f'teacher: expected finite features, got NaN or infinity from its module {module} '
        '(checkpoint: teacher.pth'
    )
    assert 'epoch 2, iteration 7' in str(error.value)


def test_other_losses_are_not_the_teachers_fault():
    losses, runner, batch = step_with(FrozenTeacher(toy_detector(1)))
    with pytest.raises(FloatingPointError, match='training loss: expected finite values'):
        check({**losses, 'distill.loss_feature': float('nan')}, batch, runner=runner)
