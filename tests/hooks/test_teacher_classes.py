"""A teacher whose labels mean other classes than the data's is refused where it matters."""

from types import SimpleNamespace

import pytest
from torch import nn

from mmkd.hooks.teacher_classes import teacher_problems
from mmkd.storage.checkpoint import class_names

DATA = SimpleNamespace(metainfo={'classes': ('cat', 'dog', 'bird')})


class TeacherEvaluationHook:
    pass


def problems(known, source='head.fc', hooks=(), prefix=''):
    head = nn.Module()
    head.num_classes = 3
    head.fc = nn.Linear(4, 3)
    network = nn.ModuleDict({'backbone': nn.Conv2d(3, 4, 1), 'head': head})
    teacher = SimpleNamespace(model=network, classes=known)
    model = nn.Module()
    model.teacher = SimpleNamespace(by_prefix=lambda: {prefix: teacher})
    recorders = {'r': SimpleNamespace(source=prefix + source)}
    model.distiller = SimpleNamespace(teacher_recorders=SimpleNamespace(recorders=recorders))
    return [*teacher_problems(SimpleNamespace(model=model, hooks=hooks), DATA)]


@pytest.mark.parametrize('known', [('dog', 'cat', 'bird'), ('cat', 'dog', 'fish'), ('a', 'b', 'c')])
def test_other_classes_or_another_order_are_named(known):
    (problem,) = problems(known, prefix='first.')
    label = next(i for i, name in enumerate(DATA.metainfo['classes']) if name != known[i])
    assert problem.startswith('teacher first: expected the classes of the data in their order')
    assert 'first.head.fc is compared' in problem
    assert f'label {label} is {known[label]!r} in the teacher' in problem


@pytest.mark.parametrize(
    'known',
    [
        ('cat', 'dog', 'bird'),
        ('Cat', 'DOG', 'bird, avian'),  # the same in another spelling
        ('n01', 'n02', 'n03'),  # codes
        ('cat', 'dog'),  # another number: compared nowhere, or refused by the shapes
        None,
    ],
)
def test_the_same_classes_and_unknown_ones_pass(known):
    assert problems(known) == []


def test_features_may_come_from_a_teacher_of_other_classes():
    other = ('dog', 'cat', 'bird')
    assert problems(other, source='backbone') == []
    (problem,) = problems(other, source='backbone', hooks=[TeacherEvaluationHook()])
    assert 'the teacher is evaluated on the data' in problem


@pytest.mark.parametrize(
    ('checkpoint', 'names'),
    [
        ({'meta': {'dataset_meta': {'classes': ('a', 'b')}}}, ('a', 'b')),
        ({'meta': {'dataset_meta': {'CLASSES': ['a']}}}, ('a',)),
        ({'meta': {'CLASSES': ('a',)}}, ('a',)),
        ({'meta': {'dataset_meta': {'classes': 'ab'}}}, None),
        ({'meta': None}, None),
        ({}, None),
    ],
)
def test_checkpoints_name_their_classes(checkpoint, names):
    assert class_names(checkpoint) == names
