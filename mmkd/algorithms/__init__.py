"""MMRazor algorithms with frozen teachers."""

from mmkd.algorithms.frozen_teacher_distill import FrozenTeacherDistill
from mmkd.algorithms.shared_proposals import SharedProposalDistill
from mmkd.algorithms.unlabelled_distill import UnlabelledDistill

__all__ = ['FrozenTeacherDistill', 'SharedProposalDistill', 'UnlabelledDistill']
