"""Several teachers are recorded separately and treated as single ones are."""

import copy

import pytest
import torch
from helpers import ToyDetector, distiller_config, toy_detector

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.registry import MODELS
from mmkd.teachers import FrozenTeacher, TeacherEnsemble, build_teacher

RECORD = {'feature': {'type': 'mmkd.EnsembleOutputs', 'source': 'neck'}}


@pytest.fixture
def images():
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def two_teachers():
    return {'first': toy_detector(1), 'second': toy_detector(2, width=6)}


def ensemble():
    return TeacherEnsemble({name: FrozenTeacher(t) for name, t in two_teachers().items()})


def algorithm(teacher_recorders=RECORD, **extra):
    distiller = distiller_config(teacher_recorders=teacher_recorders, **extra)
    return FrozenTeacherDistill(toy_detector(0), ensemble(), distiller)


class MeanLoss(torch.nn.Module):
    """Squared distance to the mean of the teachers."""

    def forward(self, student, teacher):
        return (student - torch.stack(teacher).mean(0)).square().mean()


def test_identity_tells_teachers_apart():
    first, second = (FrozenTeacher(toy_detector(seed)) for seed in (1, 2))
    assert first.identity == FrozenTeacher(toy_detector(1)).identity != second.identity
    both = TeacherEnsemble({'a': first, 'b': second}).identity
    assert both != TeacherEnsemble({'a': second, 'b': first}).identity
    second.load_state_dict(first.state_dict(), 'a checkpoint')
    assert first.identity == second.identity


def test_all_outputs_reach_the_loss(images):
    model = algorithm()
    model.distiller.distill_losses['loss_feature'] = MeanLoss()
    loss = model(images, mode='loss')['distill.loss_feature']
    features = [t.eval().extract_feat(images) for t in two_teachers().values()]
    expected = (model.student.extract_feat(images) - sum(features) / 2).square().mean()
    torch.testing.assert_close(loss, expected)
    recorder = model.distiller.teacher_recorders.get_recorder('feature')
    assert all(not part.data_buffer for part in recorder.parts)


def test_one_of_several_is_recorded_by_its_name(images):
    recorders = {'feature': {'type': 'ModuleOutputs', 'source': 'second.neck'}}
    model = algorithm(recorders)
    loss = model(images, mode='loss')['distill.loss_feature']
    second = two_teachers()['second'].eval().extract_feat(images)
    torch.testing.assert_close(loss, (model.student.extract_feat(images) - second).square().mean())


def test_each_runs_no_further_than_it_is_recorded(images):
    source = {'first': 'neck', 'second': 'bbox_head'}
    model = algorithm({'feature': {'type': 'mmkd.EnsembleOutputs', 'source': source}})
    members = model.teacher.members
    assert {name: t.mode for name, t in members.items()} == {
        'first': 'features',
        'second': 'tensor',
    }


def test_recorder_of_a_mapping_leaves_teachers_out():
    model = algorithm({'feature': {'type': 'mmkd.EnsembleOutputs', 'source': {'second': 'neck'}}})
    recorder = model.distiller.teacher_recorders.get_recorder('feature')
    assert [part.source for part in recorder.parts] == ['second.neck']


def test_unknown_module_of_a_member_is_named():
    with pytest.raises(ValueError, match=r"no module 'second.nek'; close to it: second.neck"):
        algorithm({'feature': {'type': 'mmkd.EnsembleOutputs', 'source': {'second': 'nek'}}})


def test_ensemble_recorder_needs_an_ensemble():
    distiller = distiller_config(teacher_recorders=RECORD)
    with pytest.raises(ValueError, match=r'teacher_recorders\.feature: expected several'):
        FrozenTeacherDistill(toy_detector(0), FrozenTeacher(toy_detector(1)), distiller)


def test_weights_come_and_go_together():
    first, second = ensemble(), TeacherEnsemble({'first': toy(3), 'second': toy(4, width=6)})
    second.load_state_dict(first.state_dict(), 'a checkpoint')
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value)


def toy(seed, **arguments):
    return FrozenTeacher(toy_detector(seed, **arguments))


def test_config(tmp_path):
    path = tmp_path / 'teacher.pth'
    torch.save({'state_dict': toy_detector(1).state_dict()}, path)
    MODELS.register_module(module=ToyDetector, force=True)
    config = {'type': 'mmkd.ToyDetector', 'checkpoint': str(path)}
    built = build_teacher({'members': {'a': config}})
    assert isinstance(built, TeacherEnsemble)
    assert torch.equal(built.members['a'].model.neck.weight, toy_detector(1).neck.weight)
    assert build_teacher(built) is built
    assert copy.deepcopy(built) is built


@pytest.mark.parametrize('members', [{}, {'a.b': None}])
def test_names(members):
    with pytest.raises(ValueError, match='members: expected teachers under names without dots'):
        TeacherEnsemble(members)
