"""A loss that would read both sides from one network, or the sides swapped, is named."""

import pytest

from mmkd.algorithms.mapping_check import check_sides


def place(from_student):
    return dict(from_student=from_student, recorder='neck')


@pytest.mark.parametrize(
    ('student', 'teacher'),
    [('preds_S', 'preds_T'), ('s_feature', 't_feature'), ('feat_s', 'feat_t')],
)
def test_sides_are_those_of_the_names(student, teacher):
    check_sides({'loss': {student: place(True), teacher: place(False), 'gt_labels': place(True)}})
    for first, second, wrong in ((True, True, teacher), (False, True, student)):
        with pytest.raises(ValueError, match=rf'loss_forward_mappings\.loss\.{wrong}: expected'):
            check_sides({'loss': {student: place(first), teacher: place(second)}})
    check_sides({'loss': {'student': place(True), 'teacher': place(False)}})
