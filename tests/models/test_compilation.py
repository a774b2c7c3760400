"""The switch for torch.compile, with backends that need no compiler on the machine."""

import copy

import pytest
import torch
from helpers import RETINANET, detection_batch, distiller_config, toy_detector
from torch import nn

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.models.compilation import compile_features
from mmkd.registry import MODELS
from mmkd.teachers import FrozenTeacher

OPTIONS = {'backend': 'aot_eager'}


def algorithm(compiled):
    torch.manual_seed(0)
    loss = {'type': 'mmkd.PCKALoss', 'patch_size': 4, 'min_patches': 1}
    return MODELS.build(
        {
            'type': 'mmkd.FrozenTeacherDistill',
            'architecture': copy.deepcopy(RETINANET),
            'teacher': {**copy.deepcopy(RETINANET), 'compile': compiled},
            'distiller': distiller_config(loss=loss),
            'compile': compiled,
        }
    ).train()


def step(model):
    torch.manual_seed(1)
    losses = model.loss(*detection_batch(model))
    total = sum(sum(v) if isinstance(v, list) else v for v in losses.values())
    model.zero_grad()
    total.backward()
    return total.detach(), {
        name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad
    }


@pytest.mark.slow
def test_compiled_training_steps_are_those_of_eager_ones():
    eager, compiled = algorithm(False), algorithm(OPTIONS)
    assert compiled.state_dict().keys() == eager.state_dict().keys()
    for _ in range(2):  # the second step takes what the first compiled
        (expected, gradients), (total, own) = step(eager), step(compiled)
        torch.testing.assert_close(total, expected)
        for name, gradient in gradients.items():
            torch.testing.assert_close(own[name], gradient, rtol=1e-3, atol=1e-4)


class Part(nn.Module):
    """A module of its own: older PyTorch does not compile a lone layer of ``torch.nn``."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.conv(x).relu()


def test_backbone_and_neck_are_compiled_and_nothing_else():
    compiled = []

    def backend(graph, _):
        compiled.append(graph)
        return graph.forward

    model = nn.Sequential()
    for name in ('backbone', 'neck', 'bbox_head'):
        model.add_module(name, Part())
    images = torch.randn(2, 3, 8, 8)
    expected = model(images)
    compile_features(model, {'backend': backend})
    torch.testing.assert_close(model(images), expected)
    assert len(compiled) == 2
    copied = copy.deepcopy(model)
    copied.backbone.conv.weight.data.zero_()
    torch.testing.assert_close(model(images), expected)


def test_off_means_off():
    model = toy_detector()
    compile_features(model, False)
    assert model.backbone._compiled_call_impl is None


def test_a_model_needs_a_backbone():
    with pytest.raises(ValueError, match='compile: expected a model with a backbone, got Linear'):
        compile_features(nn.Linear(1, 1), True)


@pytest.mark.parametrize(
    ('student', 'teacher', 'marks'), [(False, False, 0), (True, False, 1), (False, True, 1)]
)
def test_every_forward_of_a_compiled_model_is_a_step_of_its_own(
    student, teacher, marks, monkeypatch
):
    marked = []
    monkeypatch.setattr('torch.compiler.cudagraph_mark_step_begin', lambda: marked.append(1))
    options = {True: {'backend': 'eager'}, False: False}
    model = FrozenTeacherDistill(
        toy_detector(0),
        FrozenTeacher(toy_detector(1), compile=options[teacher]),
        distiller_config(),
        compile=options[student],
    )
    images = torch.randn(2, 3, 8, 8)
    for times, mode in enumerate(('loss', 'tensor', 'loss'), start=1):
        copy.deepcopy(model)(images, mode=mode) if mode == 'tensor' else model(images, mode=mode)
        assert len(marked) == times * marks
