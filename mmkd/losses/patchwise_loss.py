"""Any loss, applied to the patches of feature maps."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmkd.functional import fitting_patch_size, to_patches
from mmkd.functional.checks import check_choice
from mmkd.functional.numerics import upcast
from mmkd.losses.base.patch_loss import PatchLoss
from mmkd.losses.over_groups import over_groups
from mmkd.registry import MODELS

LAYOUTS = ('rows', 'map')


@MODELS.register_module()
class PatchwiseLoss(PatchLoss):
    """Another loss on the patches of feature maps, averaged over channels, images or positions.

    The rows "w/ patch" of "Rethinking Centered Kernel Alignment in Knowledge Distillation" (2024),
    Tables 6 and 7: both maps are cut as for :class:`~mmkd.losses.PCKALoss` into G groups of N
    patches of D features (by default, of each channel those of all images), and the wrapped loss
    compares group by group.

    Args:
        loss: A loss module or its config; it is called with ``(student, teacher)`` and returns a
            scalar. All groups are computed at once by :func:`torch.vmap`, which has to know its
            operators: of MMRazor's, KLDivergence, ATLoss and DISTLoss, among others, are fine.
        layout: What it is given of a group: ``'rows'``, the matrix (N, D), as KLDivergence,
            DISTLoss and :class:`~mmkd.losses.MMDLoss` take it, or ``'map'``, an image
            (1, D, N, 1), of which ATLoss takes the attention over the N patches.
        patch_size: Side of a patch in pixels of the feature map. A level with fewer than
            ``min_patches`` patches halves it until it has enough.
        average: What the groups are: ``'channel'``, ``'batch'`` (images) or ``'spatial'``
            (positions in a patch); one for all levels or a sequence of one a level.
        fit: If a map is not a multiple of the patch: ``'resize'`` stretches it bilinearly to the
            next multiple, ``'pad'`` adds zeros.
        min_patches: Fewest patches of a level. One with fewer pixels contributes 0, and warns
            once.
        levels: Indices of the recorded levels to compare; None means all.
        loss_weight: Factor of the sum over levels, on top of the wrapped loss's own.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> student = torch.arange(16.0).view(1, 1, 4, 4).expand(2, 3, 4, 4)
        >>> loss = PatchwiseLoss(dict(type='mmkd.MMDLoss'), patch_size=2)
        >>> loss(student, 3 * student)
        tensor(0.)
    """

    def __init__(
        self,
        loss: nn.Module | Mapping[str, Any],
        layout: str = 'rows',
        patch_size: int = 16,
        average: str | Sequence[str] = 'channel',
        fit: str = 'resize',
        min_patches: int = 4,
        levels: Sequence[int] | None = None,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(patch_size, average, fit, min_patches, levels, loss_weight)
        check_choice('layout', layout, LAYOUTS)
        self.loss = loss if isinstance(loss, nn.Module) else MODELS.build(loss)
        self.layout = layout

    def level_loss(self, student: Tensor, teacher: Tensor, position: int) -> Tensor:
        """Mean of the wrapped loss over the groups, in float32 (float64 for such inputs)."""
        self.warn_if_too_small(student, position)
        size = (student.shape[2], student.shape[3])
        patch_size = fitting_patch_size(size, self.patch_size, self.min_patches)
        if patch_size is None:
            return upcast(student).flatten()[:0].sum()  # in the graph, for backward()

        def groups(feature: Tensor) -> Tensor:
            average = self.average_of(position)
            patches = to_patches(upcast(feature), patch_size, average=average, fit=self.fit)
            return patches if self.layout == 'rows' else patches.mT[:, None, :, :, None]

        with torch.autocast(student.device.type, enabled=False):
            return over_groups(self.loss, groups(student), groups(teacher))
