"""MMRazor algorithms with frozen teachers."""

from mmkd.algorithms.frozen_teacher_distill import FrozenTeacherDistill
from mmkd.algorithms.shared_proposal_distill import SharedProposalDistill
from mmkd.algorithms.unlabeled_distill import UnlabeledDistill

__all__ = ['FrozenTeacherDistill', 'SharedProposalDistill', 'UnlabeledDistill']
