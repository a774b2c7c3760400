"""Options that make a teacher cheaper, against the plain teacher."""

import copy
import inspect

import pytest
import torch
from helpers import CLASSIFIER, RETINANET, detection_batch, distiller_config, toy_detector
from mmengine.model import ImgDataPreprocessor
from mmpretrain.structures import DataSample

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.models.building import build_model
from mmkd.teachers import FrozenTeacher, build_teacher
from mmkd.teachers.frozen_teacher import ARGUMENTS

BF16 = 2.0**-8  # relative rounding of one operation
CHEAP = {'channels_last': True, 'precision': 'bf16'}


@pytest.fixture(scope='module')
def detector():
    """With batch statistics, so that features neither vanish nor explode."""
    torch.manual_seed(0)
    model = build_model(RETINANET)
    model.init_weights()
    with torch.no_grad():
        for _ in range(20):
            model.train().extract_feat(torch.randn(4, 3, 64, 64))
    return model


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def teacher_of(model, **options):
    return FrozenTeacher(copy.deepcopy(model), **{'mode': 'features', **options})


def relative_error(features, expected):
    pairs = zip(features, expected, strict=True)
    return max((((x.float() - y).abs().max()) / y.abs().max()).item() for x, y in pairs)


def is_channels_last(x):
    return x.is_contiguous(memory_format=torch.channels_last)


def test_channels_last_changes_the_strides_and_not_the_values(detector, images):
    teacher = teacher_of(detector, channels_last=True)
    features, expected = teacher(images), teacher_of(detector)(images)
    assert relative_error(features, expected) < 1e-5
    weights = [p for p in teacher.model.parameters() if p.ndim == 4 and min(p.shape[1:3]) > 1]
    assert len(weights) > 10
    maps = [x for x in features if min(x.shape[1:]) > 1]
    assert all(is_channels_last(x) and not x.is_contiguous() for x in (*weights, *maps))
    assert images.is_contiguous()


def test_images_are_converted_before_the_first_layer(images):
    teacher, seen = FrozenTeacher(toy_detector(), channels_last=True), []
    teacher.model.backbone.register_forward_pre_hook(lambda _, args: seen.append(*args))
    teacher(images)
    teacher.extract_feat(images)
    assert len(seen) == 2
    assert all(is_channels_last(x) and torch.equal(x, images) for x in seen)


@pytest.mark.parametrize('options', [{'precision': 'bf16'}, CHEAP])
def test_half_precision_is_off_by_its_rounding(detector, images, options):
    features, expected = teacher_of(detector, **options)(images), teacher_of(detector)(images)
    # Roundings of some ten layers, of which neither all nor none add up.
    assert BF16 / 8 < relative_error(features, expected) < 8 * BF16
    assert {x.dtype for x in features} == {torch.bfloat16}


@pytest.mark.parametrize('options', [CHEAP, {**CHEAP, 'compile': {'backend': 'aot_eager'}}])
def test_weights_are_saved_and_loaded_as_they_were(detector, images, options, tmp_path):
    teacher = teacher_of(detector, **options)
    teacher(images)
    path = tmp_path / 'teacher.pth'
    torch.save(teacher.state_dict(), path)
    saved = torch.load(path)
    for name, value in detector.state_dict().items():
        assert saved[name].dtype == value.dtype
        assert torch.equal(saved[name], value), name
    plain = teacher_of(build_model(RETINANET))
    plain.load_state_dict(saved, str(path))
    assert all(p.is_contiguous() for p in plain.model.parameters())
    torch.testing.assert_close(plain(images), teacher_of(detector)(images))


def test_loaded_weights_keep_the_layout_and_are_used(detector, images):
    teacher = teacher_of(build_model(RETINANET), **CHEAP)
    teacher(images)
    teacher.load_state_dict(detector.state_dict(), 'epoch_3.pth')
    assert is_channels_last(teacher.model.backbone.layer1[0].conv1.weight)
    assert relative_error(teacher(images), teacher_of(detector)(images)) < 8 * BF16


def test_renormalized_and_padded_images(detector):
    model = copy.deepcopy(detector)
    inputs, samples = detection_batch(model, ((3, 64, 64), (3, 40, 50)))
    student = ImgDataPreprocessor([10.0, 20.0, 30.0], [2.0, 3.0, 4.0])
    results = []
    for options in ({}, {'channels_last': True}):
        teacher = teacher_of(model, **options)
        teacher.set_input_preprocessor(student)
        results.append(teacher(inputs, samples))
    assert relative_error(*results) < 1e-5


def test_distillation_losses_are_the_same(detector):
    loss = {'type': 'mmkd.PCKALoss', 'patch_size': 4, 'min_patches': 1}
    losses = []
    for options in ({}, {'channels_last': True}, CHEAP):
        torch.manual_seed(0)
        student = build_model(RETINANET)
        model = FrozenTeacherDistill(
            student, teacher_of(detector, mode=None, **options), distiller_config(loss=loss)
        )
        torch.manual_seed(1)
        losses.append(model.loss(*detection_batch(student))['distill.loss_feature'])
    plain, other_layout, cheap = losses
    torch.testing.assert_close(other_layout, plain, rtol=1e-5, atol=0)
    torch.testing.assert_close(cheap, plain, rtol=2 * BF16, atol=0)
    assert cheap != plain


def test_predictions_are_the_same():
    torch.manual_seed(0)
    model = build_model(CLASSIFIER)
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    batch = {'inputs': images, 'data_samples': [DataSample() for _ in images]}
    plain, other_layout = (
        torch.stack([s.pred_score for s in teacher_of(model, **options).predict(batch)])
        for options in ({}, {'channels_last': True})
    )
    torch.testing.assert_close(other_layout, plain, rtol=1e-5, atol=1e-6)


def test_compiled_beside_both(detector, images):
    eager = teacher_of(detector, **CHEAP)
    compiled = teacher_of(detector, **CHEAP, compile={'backend': 'aot_eager'})
    assert (eager.compiled, compiled.compiled) == (False, True)
    outputs = []
    compiled.model.neck.register_forward_hook(lambda *args: outputs.append(args[2]))
    expected = [x.float() for x in eager(images)]
    for _ in range(2):  # the second call takes what the first compiled
        assert relative_error(compiled(images), expected) < 2 * BF16
    assert len(outputs) == 2
    assert relative_error(outputs[1], expected) < 2 * BF16


@pytest.mark.parametrize(('compile', 'steps'), [(False, 0), ({'backend': 'eager'}, 1)])
def test_each_prediction_of_a_compiled_teacher_is_a_step(compile, steps, monkeypatch):
    marked = []
    monkeypatch.setattr(torch.compiler, 'cudagraph_mark_step_begin', lambda: marked.append(1))
    teacher = FrozenTeacher(build_model(CLASSIFIER), compile=compile)
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    # Within a training step the algorithm says where one begins: teachers may run twice in it.
    teacher(images.float())
    assert not marked
    teacher.predict({'inputs': images, 'data_samples': [DataSample()]})
    assert len(marked) == steps


def test_each_of_several_has_its_own_options(images):
    members = {
        'plain': FrozenTeacher(toy_detector(1)),
        'cheap': FrozenTeacher(toy_detector(1), channels_last=True),
    }
    ensemble = build_teacher({'members': members})
    assert copy.deepcopy(ensemble) is ensemble
    outputs = ensemble(images)
    torch.testing.assert_close(outputs['cheap'], outputs['plain'])
    assert is_channels_last(outputs['cheap'])
    assert not is_channels_last(outputs['plain'])


def test_a_config_takes_every_argument():
    arguments = [*inspect.signature(FrozenTeacher).parameters]
    assert arguments == ['model', *ARGUMENTS]
    teacher = FrozenTeacher.from_config({**RETINANET, **CHEAP, 'mode': 'tensor'})
    assert (teacher.channels_last, teacher.precision, teacher.mode) == (True, 'bf16', 'tensor')
