"""Algorithms: what runs a training step, with teachers that stay frozen."""

from mmkd.algorithms.cross_head_distill import CrossHeadDistill
from mmkd.algorithms.frozen_teacher_distill import FrozenTeacherDistill
from mmkd.algorithms.shared_proposal_distill import SharedProposalDistill
from mmkd.algorithms.unlabeled_distill import UnlabeledDistill

__all__ = [
    'CrossHeadDistill',
    'FrozenTeacherDistill',
    'SharedProposalDistill',
    'UnlabeledDistill',
]
