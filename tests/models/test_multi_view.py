"""Features see all views, tasks the first one."""

import pytest
import torch
from helpers import distiller_config, toy_detector

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.functional.dlkd import rotations
from mmkd.models.multi_view import all_views, resolve_views
from mmkd.teachers import FrozenTeacher

LOSS = {'type': 'mmkd.MimicLoss'}


@pytest.fixture
def images():
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_what_extracts_gets_the_first_view_and_hooks_get_all(images):
    model = toy_detector().eval()
    seen = []
    model.neck.register_forward_hook(lambda module, inputs, output: seen.append(output))
    expected = model.extract_feat(images)
    with all_views(model, rotations):
        features = model.extract_feat(images)
    torch.testing.assert_close(features, expected)
    assert seen[-1].shape[0] == 8
    torch.testing.assert_close(seen[-1], model.neck(model.backbone(rotations(images))))


def test_model_is_as_before_even_after_an_error(images):
    model = toy_detector()
    with pytest.raises(ZeroDivisionError), all_views(model, rotations):
        raise ZeroDivisionError
    assert 'extract_feat' not in vars(model)
    assert model.extract_feat(images).shape[0] == 2


def test_features_may_be_nested(images):
    model = toy_detector()
    model.neck.forward = lambda x: ([x, (x + 1,)],)
    with all_views(model, rotations):
        (((first, (second,)),)) = model.extract_feat(images)
    assert isinstance(first, torch.Tensor)
    assert first.shape[0] == second.shape[0] == 2


def test_distillation_on_rotations(images):
    student, teacher = toy_detector(0), toy_detector(1)
    algorithm = FrozenTeacherDistill(
        student, FrozenTeacher(teacher), distiller_config(), views='rotations'
    )
    losses = algorithm(images, mode='loss')
    alone = student(images, mode='loss')
    torch.testing.assert_close(losses['student.loss_task'], alone['loss_task'])
    views = rotations(images)
    expected = (student.extract_feat(views) - teacher.extract_feat(views)).square().mean()
    torch.testing.assert_close(losses['distill.loss_feature'], expected)


def test_heads_are_recorded_on_the_images_alone(images):
    algorithm = FrozenTeacherDistill(
        toy_detector(0),
        FrozenTeacher(toy_detector(1)),
        distiller_config('bbox_head'),
        views='rotations',
    )
    plain = FrozenTeacherDistill(
        toy_detector(0), FrozenTeacher(toy_detector(1)), distiller_config('bbox_head')
    )
    assert algorithm.teacher.mode == 'tensor'
    torch.testing.assert_close(
        algorithm(images, mode='loss')['distill.loss_feature'],
        plain(images, mode='loss')['distill.loss_feature'],
    )


def test_views_by_name():
    assert resolve_views('rotations') is rotations
    assert resolve_views(rotations) is rotations
    assert resolve_views(None) is None
    with pytest.raises(ValueError, match=r"views: expected one of \['rotations'\].*'flips'"):
        resolve_views('flips')
