"""FrozenTeacherDistill on toy models: losses, gradients, what it saves, copies and optimizes."""

import copy
import gc
import weakref
from types import SimpleNamespace

import pytest
import torch
from helpers import ToyDetector, distiller_config, toy_detector
from mmcv.cnn.bricks import DropPath
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from mmengine.runner.checkpoint import load_state_dict
from mmrazor.engine import StopDistillHook
from torch import nn
from torch.nn import functional as F

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.registry import MODELS
from mmkd.storage.checkpoint import CheckpointMismatchError
from mmkd.teachers import FrozenTeacher

CONVOLUTION = {
    'type': 'mmkd.LevelwiseConv',
    'in_channels': 4,
    'out_channels': 4,
    'num_levels': 1,
}


@pytest.fixture
def images():
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def algorithm_of(distiller=None, *, student=None, teacher=None, save_teacher=False):
    """Student of seed 0 and teacher of seed 1, compared after the neck."""
    return FrozenTeacherDistill(
        student or toy_detector(0),
        teacher or FrozenTeacher(toy_detector(1)),
        distiller or distiller_config(),
        save_teacher=save_teacher,
    )


def distillation_loss(algorithm, images):
    return algorithm(images, mode='loss')['distill.loss_feature']


def test_losses_are_the_students_and_the_distillers(images):
    losses = algorithm_of()(images, mode='loss')
    student, teacher = toy_detector(0), toy_detector(1)
    assert losses.keys() == {'student.loss_task', 'distill.loss_feature'}
    assert torch.equal(losses['student.loss_task'], student(images, mode='loss')['loss_task'])
    expected = F.mse_loss(student.extract_feat(images), teacher.extract_feat(images))
    torch.testing.assert_close(losses['distill.loss_feature'], expected)


def test_gradient_is_the_tasks_plus_that_of_the_mean_squared_error():
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    algorithm = algorithm_of(
        student=toy_detector(0).double(), teacher=FrozenTeacher(toy_detector(1).double())
    )
    sum(algorithm(images, mode='loss').values()).backward()

    alone, teacher = toy_detector(0).double(), toy_detector(1).double()
    alone(images, mode='loss')['loss_task'].backward()
    # neck(h) = W h + b, hence d mse / d W = 2 / N sum (W h + b - t) h^T
    with torch.no_grad():
        hidden = alone.backbone(images)
        error = 2 * (alone.neck(hidden) - teacher.extract_feat(images)) / (2 * 4 * 8 * 8)
        by_weight = torch.einsum('bohw,bihw->oi', error, hidden)[..., None, None]
    neck = algorithm.student.neck
    torch.testing.assert_close(neck.weight.grad, alone.neck.weight.grad + by_weight)
    torch.testing.assert_close(neck.bias.grad, alone.neck.bias.grad + error.sum((0, 2, 3)))


def test_teacher_gets_no_gradient_and_stays_as_it_was(images):
    algorithm = algorithm_of()
    optimizer = torch.optim.SGD(algorithm.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        sum(algorithm(images, mode='loss').values()).backward()
        optimizer.step()
    assert not torch.equal(algorithm.student.neck.weight, toy_detector(0).neck.weight)
    for name, parameter in algorithm.teacher.model.named_parameters():
        assert parameter.grad is None
        assert torch.equal(parameter, toy_detector(1).get_parameter(name))


@pytest.mark.parametrize('noise', [nn.Dropout(0.5), DropPath(0.5), nn.BatchNorm2d(4)])
def test_teacher_stays_in_eval_mode_when_the_student_trains(images, noise):
    teacher = FrozenTeacher(toy_detector(1, dropout=noise))
    before = teacher(images)
    algorithm = algorithm_of(teacher=teacher)
    for mode in (True, False, True):
        algorithm.train(mode)
        assert algorithm.student.training == mode
        assert distillation_loss(algorithm, images) == distillation_loss(algorithm, images)
        assert torch.equal(teacher(images), teacher(images))
    teacher.mode = 'tensor'
    assert torch.equal(teacher(images), before)


def test_init_weights_does_not_touch_the_teacher(images):
    student = toy_detector(0)
    student.init_cfg = [{'type': 'Constant', 'val': 0.5, 'layer': 'Conv2d'}]
    algorithm = algorithm_of(student=student)
    algorithm.init_weights()
    assert (algorithm.student.neck.weight == 0.5).all()
    distillation_loss(algorithm, images)  # verifies the teacher's weights
    assert torch.equal(algorithm.teacher.model.neck.weight, toy_detector(1).neck.weight)


def test_teacher_weights_that_moved_stop_the_first_step(images):
    algorithm = algorithm_of()
    algorithm.teacher.model.bbox_head.bias.data.zero_()
    with pytest.raises(RuntimeError, match=r'teacher: its weights changed(.|\n)*bbox_head\.bias'):
        algorithm(images, mode='loss')


def method_recorder():
    recorder = {'type': 'MethodOutputs', 'source': 'helpers.ToyDetector.extract_feat'}
    recorders = {'student_recorders': {'feature': recorder}}
    return distiller_config(**recorders, teacher_recorders={'feature': recorder})


@pytest.mark.parametrize(
    ('distiller', 'mode', 'head_calls'),
    [
        (distiller_config('backbone.0'), 'features', 0),
        (distiller_config('neck'), 'features', 0),
        (distiller_config('bbox_head'), 'tensor', 1),
        (method_recorder(), 'loss', 1),
    ],
)
def test_teacher_runs_no_further_than_what_is_recorded(images, distiller, mode, head_calls):
    algorithm = algorithm_of(distiller)
    assert algorithm.teacher.mode == mode
    algorithm.teacher.model.head_calls = algorithm.student.head_calls = 0
    assert distillation_loss(algorithm, images) > 0
    assert algorithm.teacher.model.head_calls == head_calls
    assert algorithm.student.head_calls == 1


def test_mode_of_the_config_stays(images):
    teacher = FrozenTeacher(toy_detector(1), mode='tensor')
    expected = distillation_loss(algorithm_of(), images)
    assert distillation_loss(algorithm_of(teacher=teacher), images) == expected
    assert teacher.model.head_calls == 1


@pytest.mark.parametrize('who', ['student', 'teacher'])
def test_unknown_recorder_lists_close_names(who):
    wrong = {'feature': {'type': 'ModuleOutputs', 'source': 'neck.fpn'}}
    message = rf"{who}_recorders\.feature: the {who} \(ToyDetector\).*'neck\.fpn'; close.*: neck"
    with pytest.raises(ValueError, match=message):
        algorithm_of(distiller_config(**{f'{who}_recorders': wrong}))


def test_records_are_released_after_the_loss(images):
    algorithm, features = algorithm_of(), []
    for model in (algorithm.student, algorithm.teacher.model):
        model.neck.register_forward_hook(lambda *args: features.append(weakref.ref(args[2])))
    losses = algorithm(images, mode='loss')
    student, teacher = features[1], features[0]
    gc.collect()
    assert student() is not None  # the loss still needs it
    del losses
    gc.collect()
    assert student() is None
    assert teacher() is None


def test_precision_of_the_teacher_is_not_the_students(images):
    dtypes = []
    teacher = FrozenTeacher(toy_detector(1), precision='bf16')
    algorithm = algorithm_of(teacher=teacher)
    for model in (teacher.model, algorithm.student):
        model.neck.register_forward_hook(lambda *args: dtypes.append(args[2].dtype))
    loss = distillation_loss(algorithm, images)
    assert dtypes == [torch.bfloat16, torch.float32]
    assert loss.dtype == torch.float32
    exact = distillation_loss(algorithm_of(), images)
    torch.testing.assert_close(loss, exact, rtol=0.02, atol=0)


def test_stop_distill_hook_skips_the_teacher(images):
    algorithm = algorithm_of()
    calls = []
    algorithm.teacher.model.backbone.register_forward_hook(lambda *args: calls.append(args))
    hook = StopDistillHook(stop_epoch=3)
    logger = MMLogger.get_current_instance()
    for epoch, names in ((2, 2), (3, 1)):
        hook.before_train_epoch(SimpleNamespace(epoch=epoch, model=algorithm, logger=logger))
        losses = algorithm(images, mode='loss')
        assert len(losses) == names
        assert len(calls) == 1
    assert torch.equal(
        losses['student.loss_task'], toy_detector(0)(images, mode='loss')['loss_task']
    )


def draw_noise(shape):
    return torch.randn(shape)


class NoisyDetector(ToyDetector):
    def extract_feat(self, inputs):
        return super().extract_feat(inputs + draw_noise(inputs.shape))


def noisy_detector():
    torch.manual_seed(0)
    return NoisyDetector()


@pytest.mark.parametrize('delivered', [False, True])
def test_deliveries_carry_the_teachers_draw_to_the_student(images, delivered):
    delivery = {
        'type': 'FunctionOutputs',
        'max_keep_data': 1,
        'func_path': f'{__name__}.draw_noise',
    }
    config = distiller_config(distill_deliveries={'noise': delivery} if delivered else None)
    algorithm = algorithm_of(
        config, student=noisy_detector(), teacher=FrozenTeacher(noisy_detector())
    )
    for _ in range(2):
        loss = distillation_loss(algorithm, images)
        assert (loss == 0) == delivered
    assert algorithm.teacher.mode == ('loss' if delivered else 'features')


def test_modules_and_parameters_are_those_of_student_and_distiller():
    algorithm = algorithm_of(distiller_config(connectors={'to_teacher': CONVOLUTION}))
    own = [*algorithm.student.parameters(), *algorithm.distiller.parameters()]
    assert [id(p) for p in algorithm.parameters()] == [id(p) for p in own]
    assert not any(module is algorithm.teacher.model for module in algorithm.modules())
    assert not any(name.startswith('teacher') for name in algorithm.state_dict())


def test_optimizer_of_mmengine_has_no_teacher_parameter():
    algorithm = algorithm_of(distiller_config(connectors={'to_teacher': CONVOLUTION}))
    config = {
        'type': 'OptimWrapper',
        'optimizer': {'type': 'SGD', 'lr': 0.1},
        'paramwise_cfg': {'bias_lr_mult': 2.0},
    }
    groups = build_optim_wrapper(algorithm, config).optimizer.param_groups
    optimized = {id(p) for group in groups for p in group['params']}
    own = [*algorithm.student.parameters(), *algorithm.distiller.parameters()]
    assert optimized == {id(p) for p in own}


@pytest.mark.parametrize('loader', [nn.Module.load_state_dict, load_state_dict])
def test_saved_teacher_comes_back(images, loader):
    saved = algorithm_of(save_teacher=True)
    state = saved.state_dict()
    names = {f'teacher.{name}' for name in saved.teacher.model.state_dict()}
    assert {name for name in state if name.startswith('teacher.')} == names

    resumed = algorithm_of(teacher=FrozenTeacher(toy_detector(2)), save_teacher=True)
    assert distillation_loss(resumed, images) != distillation_loss(saved, images)
    loader(resumed, state, strict=True)
    assert distillation_loss(resumed, images) == distillation_loss(saved, images)
    assert names < state.keys()  # the caller's dict is left alone


def test_saved_teacher_that_does_not_match_is_named():
    state = algorithm_of(teacher=FrozenTeacher(toy_detector(1, width=6)), save_teacher=True)
    with pytest.raises(CheckpointMismatchError, match='the resumed checkpoint does not match'):
        algorithm_of(save_teacher=True).load_state_dict(state.state_dict())


def test_saved_teacher_is_ignored_unless_asked_for(images):
    state = algorithm_of(save_teacher=True).state_dict()
    plain = algorithm_of(teacher=FrozenTeacher(toy_detector(2)))
    expected = distillation_loss(plain, images)
    plain.load_state_dict(state, strict=True)
    assert distillation_loss(plain, images) == expected


def test_checkpoint_without_teacher_keeps_the_loaded_one(images):
    algorithm = algorithm_of(save_teacher=True)
    expected = distillation_loss(algorithm, images)
    algorithm.load_state_dict(algorithm_of().state_dict(), strict=True)
    assert distillation_loss(algorithm, images) == expected


def test_deepcopy_shares_the_teacher_and_distils_on_its_own(images):
    algorithm = algorithm_of(save_teacher=True)
    copied = copy.deepcopy(algorithm)
    assert copied.teacher is algorithm.teacher
    assert copied.student is not algorithm.student
    expected = distillation_loss(algorithm, images)
    assert distillation_loss(copied, images) == expected
    with torch.no_grad():
        copied.student.neck.weight.zero_()
    assert distillation_loss(copied, images) != expected
    assert distillation_loss(algorithm, images) == expected


def test_registered_types_and_dicts(tmp_path):
    path = tmp_path / 'toy.pth'
    torch.save(toy_detector(1).state_dict(), path)
    MODELS.register_module(module=ToyDetector, force=True)
    algorithm = MODELS.build(
        {
            'type': 'mmkd.FrozenTeacherDistill',
            'architecture': {'type': 'mmkd.ToyDetector'},
            'teacher': {'type': 'mmkd.ToyDetector', 'checkpoint': str(path), 'precision': 'fp32'},
            'distiller': distiller_config(),
        }
    )
    assert torch.equal(algorithm.teacher.model.neck.weight, toy_detector(1).neck.weight)
    assert algorithm.teacher.precision == 'fp32'


class Images(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return {'inputs': torch.full((3, 8, 8), float(index))}


@pytest.mark.parametrize('save_teacher', [False, True])
def test_run_with_a_moving_average(tmp_path, save_teacher):
    preprocessor = {'type': 'ImgDataPreprocessor'}
    algorithm = algorithm_of(
        student=toy_detector(0, data_preprocessor=preprocessor), save_teacher=save_teacher
    )
    runner = Runner(
        algorithm,
        str(tmp_path),
        train_dataloader={
            'dataset': Images(),
            'sampler': {'type': 'DefaultSampler'},
            'batch_size': 2,
        },
        train_cfg={'by_epoch': True, 'max_epochs': 2},
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.01}},
        custom_hooks=[{'type': 'EMAHook', 'momentum': 0.5, 'update_buffers': True}],
        default_scope='mmengine',
        log_level='WARNING',
        experiment_name=tmp_path.name,
    )
    runner.train()
    ema = next(hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook')
    assert ema.ema_model.module.teacher is algorithm.teacher
    teacher, expected = algorithm.teacher.model.state_dict(), toy_detector(1).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in teacher.items())
    checkpoint = torch.load(tmp_path / 'epoch_2.pth', weights_only=True)
    averaged = checkpoint['state_dict']['architecture.neck.weight']
    assert not torch.equal(averaged, algorithm.student.neck.weight)
    identity = None if save_teacher else algorithm.teacher.identity
    assert checkpoint['meta'].get('teacher') == identity
    for state in (checkpoint['state_dict'], checkpoint['ema_state_dict']):
        assert any('teacher.' in name for name in state) == save_teacher
