"""FrozenTeacher: loaded whole, in eval mode, without gradients, in its own conventions."""

import copy

import pytest
import torch
from helpers import RETINANET, toy_detector
from mmcv.cnn.bricks import DropPath
from mmengine.model import ImgDataPreprocessor
from torch import nn

from mmkd.models.building import build_model
from mmkd.storage.checkpoint import CheckpointMismatchError
from mmkd.teachers import FrozenTeacher


@pytest.fixture
def images():
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def checkpoint_of(model, path):
    torch.save({'state_dict': model.state_dict()}, path)
    return str(path)


@pytest.mark.parametrize('noise', [nn.Dropout(0.5), DropPath(0.5), nn.BatchNorm2d(4)])
def test_whole_model_is_in_eval_mode(images, noise):
    model = toy_detector(dropout=noise).train()
    assert not torch.equal(model(images), model.eval()(images))  # the noise matters
    teacher = FrozenTeacher(model.train())
    state = {name: value.clone() for name, value in model.state_dict().items()}
    assert torch.equal(teacher(images), teacher(images))
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_no_gradient(images):
    teacher = FrozenTeacher(toy_detector())
    assert not teacher(images.requires_grad_()).requires_grad
    assert not any(parameter.requires_grad for parameter in teacher.model.parameters())


def test_outputs_are_not_overwritten_by_activations_in_place(images):
    teacher = FrozenTeacher(toy_detector())
    outputs = []
    teacher.model.backbone[0].register_forward_hook(lambda *args: outputs.append(args[2]))
    teacher(images)
    assert (outputs[0] < 0).any()


def test_checkpoint(images, tmp_path):
    source = toy_detector(1)
    path = checkpoint_of(source, tmp_path / 'teacher.pth')
    teacher = FrozenTeacher(toy_detector(2), path)
    assert torch.equal(teacher(images), source.eval()(images))


def test_checkpoint_of_another_model(tmp_path):
    path = checkpoint_of(toy_detector(width=5), tmp_path / 'wide.pth')
    with pytest.raises(CheckpointMismatchError, match=r'wide\.pth does not match ToyDetector'):
        FrozenTeacher(toy_detector(width=4), path)


def test_flat_config(tmp_path):
    source = build_model(RETINANET)
    path = checkpoint_of(source, tmp_path / 'retinanet.pth')
    teacher = FrozenTeacher.from_config(
        {**RETINANET, 'checkpoint': path, 'precision': 'bf16', 'mode': 'tensor'}
    )
    assert (teacher.precision, teacher.mode) == ('bf16', 'tensor')
    state = teacher.model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in source.state_dict().items())


def test_without_checkpoint_a_config_is_initialized(tmp_path):
    source = build_model(RETINANET)
    path = checkpoint_of(source, tmp_path / 'retinanet.pth')
    init = {'type': 'Pretrained', 'checkpoint': path}
    teacher = FrozenTeacher.from_config({**RETINANET, 'init_cfg': init})
    weight = teacher.model.neck.lateral_convs[0].conv.weight
    assert torch.equal(weight, source.neck.lateral_convs[0].conv.weight)


def test_without_checkpoint_a_built_model_keeps_its_weights(images):
    model = build_model(RETINANET).eval()
    before = [feature.clone() for feature in model.extract_feat(images.repeat(1, 1, 8, 8))]
    teacher = FrozenTeacher(model, mode='features')
    after = teacher(images.repeat(1, 1, 8, 8))
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize(('name', 'value'), [('precision', 'fp8'), ('mode', 'predict')])
def test_unknown_arguments_are_named(name, value):
    with pytest.raises(ValueError, match=f"{name}: expected one of .* or None, got '{value}'"):
        FrozenTeacher(toy_detector(), **{name: value})


@pytest.mark.parametrize(('mode', 'calls'), [('features', 0), ('tensor', 1), ('loss', 1)])
def test_mode(images, mode, calls):
    teacher = FrozenTeacher(toy_detector(), mode=mode)
    result = teacher(images)
    assert teacher.model.head_calls == calls
    expected = {'features': teacher.model.extract_feat, 'tensor': teacher.model}.get(mode)
    if expected is None:
        assert result.keys() == {'loss_task'}
    else:
        assert torch.equal(result, expected(images))


def test_weights_that_moved_before_the_first_step_are_named(images):
    teacher = FrozenTeacher(toy_detector())
    teacher.model.neck.weight.data.add_(1e-6)
    with pytest.raises(RuntimeError, match=r'teacher: its weights changed.*\n.*\n  neck\.weight$'):
        teacher(images)


def test_weights_are_verified_at_the_first_step_only(images, monkeypatch):
    compared = []
    monkeypatch.setattr(
        'mmkd.teachers.frozen_teacher.assert_unchanged', lambda *args: compared.append(args)
    )
    teacher = FrozenTeacher(toy_detector())
    teacher(images)
    teacher(images)
    assert len(compared) == 1  # a checksum reads all weights


def test_replaced_weights_are_those_to_check(images):
    teacher, other = FrozenTeacher(toy_detector(0)), toy_detector(1)
    teacher.load_state_dict(other.state_dict(), 'epoch_3.pth')
    assert torch.equal(teacher(images), other.eval()(images))
    with pytest.raises(CheckpointMismatchError, match=r'epoch_3\.pth does not match'):
        teacher.load_state_dict(toy_detector(width=5).state_dict(), 'epoch_3.pth')


def test_own_normalization():
    own = ImgDataPreprocessor([10.0, 20.0, 30.0], [2.0, 3.0, 4.0], bgr_to_rgb=True)
    students = ImgDataPreprocessor([127.5], [64.0])
    teacher = FrozenTeacher(toy_detector(data_preprocessor=own))
    teacher.set_input_preprocessor(students)
    raw = {'inputs': [torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8) for _ in range(2)]}
    expected = teacher.model(own(dict(raw))['inputs'])
    result = teacher(students(dict(raw))['inputs'])
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.filterwarnings('error')  # torch warns where it ignores a dtype
def test_precision_is_the_teachers_own(images):
    outputs = {}
    for precision in (None, 'fp32', 'bf16', 'fp16'):
        teacher = FrozenTeacher(toy_detector(), precision=precision)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            inside = teacher(images)
        outputs[precision] = (teacher(images).dtype, inside.dtype)
    assert outputs == {
        None: (torch.float32, torch.bfloat16),
        'fp32': (torch.float32, torch.float32),
        'bf16': (torch.bfloat16, torch.bfloat16),
        'fp16': (torch.float16, torch.float16),
    }
    exact = FrozenTeacher(toy_detector())(images)
    torch.testing.assert_close(
        FrozenTeacher(toy_detector(), precision='bf16')(images).float(), exact, rtol=0.03, atol=0.03
    )


def test_follows_the_device_of_its_inputs(images):
    teacher = FrozenTeacher(toy_detector())
    assert teacher(images).device.type == 'cpu'
    assert teacher(images.to('meta')).device.type == 'meta'
    assert {parameter.device.type for parameter in teacher.model.parameters()} == {'meta'}


def test_is_no_module_and_is_shared_by_copies():
    teacher = FrozenTeacher(toy_detector())
    assert not isinstance(teacher, nn.Module)
    assert copy.deepcopy({'teacher': teacher})['teacher'] is teacher
