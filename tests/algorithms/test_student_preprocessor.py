"""The algorithm preprocesses as its student alone would."""

import pytest
from helpers import CLASSIFIER, distiller_config
from mmpretrain.models.utils.batch_augments import CutMix, Mixup

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.models.building import build_model
from mmkd.teachers import FrozenTeacher

MIXED = {
    **CLASSIFIER,
    'train_cfg': {'augments': [{'type': 'Mixup', 'alpha': 0.8}, {'type': 'CutMix', 'alpha': 1.0}]},
}
NORMALIZED = {'mean': [1.0, 2.0, 3.0], 'std': [4.0, 5.0, 6.0]}


def preprocessor(student, config):
    student = build_model({**student, 'data_preprocessor': NORMALIZED})
    algorithm = FrozenTeacherDistill(
        student,
        FrozenTeacher(build_model(CLASSIFIER)),
        distiller_config(),
        data_preprocessor=config,
    )
    return algorithm.data_preprocessor


@pytest.mark.parametrize('config', [None, dict(NORMALIZED)])
def test_student_mixes_its_batches(config):
    augments = preprocessor(MIXED, config).batch_augments
    assert [type(augment) for augment in augments.augments] == [Mixup, CutMix]
    assert augments.augments[0].alpha == 0.8


def test_own_augments_come_first():
    own = {'augments': [{'type': 'Mixup', 'alpha': 0.1}]}
    augments = preprocessor(MIXED, {**NORMALIZED, 'batch_augments': own}).batch_augments
    assert [augment.alpha for augment in augments.augments] == [0.1]


def test_config_without_a_type_is_of_the_students_class():
    built = preprocessor(CLASSIFIER, dict(NORMALIZED))
    assert type(built).__name__ == 'ClsDataPreprocessor'
    assert built.mean.flatten().tolist() == NORMALIZED['mean']
    assert built.batch_augments is None
