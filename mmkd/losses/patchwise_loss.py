"""Any loss on the patches of feature maps."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from mmkd.functional import fitting_patch_size, to_patches
from mmkd.functional.checks import check_choice
from mmkd.functional.kernel_alignment.patches import Average, Fit
from mmkd.functional.numerics import upcast
from mmkd.losses.base.patch_loss import PatchLoss
from mmkd.registry import MODELS

Layout = Literal['rows', 'map']


@MODELS.register_module()
class PatchwiseLoss(PatchLoss):
    """Another loss on the patches of feature maps, averaged over channels, images or positions.

    Both maps are cut as for ``mmkd.losses.PCKALoss`` into G groups of N patches with D features. By
    default, a group holds the patches of one channel of all images. The wrapped loss compares group
    by group. Zhou et al., IJCAI 2024, Tables 6 and 7, rows "w/ patch":
    <https://arxiv.org/abs/2401.11824>.

    Args:
        loss: A loss module or its config. It is called with ``(student, teacher)`` and returns a
            scalar. ``torch.vmap`` computes all groups at once, so it must know the loss's
            operators. It knows those of MMRazor's KLDivergence, ATLoss, DISTLoss and others.
        layout: What the loss gets for a group. ``'rows'`` is the matrix (N, D), for KLDivergence,
            DISTLoss and ``mmkd.losses.MMDLoss``. ``'map'`` is an image (1, D, N, 1), for ATLoss,
            whose attention is then over the N patches.
        patch_size: Side of a patch in pixels of the feature map. A level with fewer than
            ``min_patches`` patches halves it until it has enough.
        average: What the groups are: ``'channel'``, ``'batch'`` (images) or ``'spatial'``
            (positions in a patch). One for all levels, or a sequence with one a level.
        fit: What to do if a map is not a multiple of the patch. ``'resize'`` stretches it
            bilinearly to the next multiple. ``'pad'`` adds zeros.
        min_patches: Smallest number of patches of a level. A level with fewer pixels contributes 0
            and warns once.
        levels: Indices of the recorded levels to compare. None compares all.
        loss_weight: Factor of the sum over levels, on top of the wrapped loss's own.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> student = torch.arange(16.0).view(1, 1, 4, 4).expand(2, 3, 4, 4)
        >>> loss = PatchwiseLoss(dict(type='mmkd.MMDLoss'), patch_size=2)
        >>> loss(student, 3 * student)
        tensor(0.)
    """

    def __init__(
        self,
        loss: nn.Module | Mapping[str, Any],
        layout: Layout = 'rows',
        patch_size: int = 16,
        average: Average | Sequence[Average] = 'channel',
        fit: Fit = 'resize',
        min_patches: int = 4,
        levels: Sequence[int] | None = None,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(patch_size, average, fit, min_patches, levels, loss_weight)
        check_choice('layout', layout, get_args(Layout))
        self.loss = loss if isinstance(loss, nn.Module) else MODELS.build(loss)
        self.layout = layout

    def level_loss(self, student: Tensor, teacher: Tensor, position: int) -> Tensor:
        """Mean of the wrapped loss over the groups, in float32 (float64 for float64 inputs)."""
        self.warn_if_too_small(student, position)
        size = (student.shape[2], student.shape[3])
        patch_size = fitting_patch_size(size, self.patch_size, self.min_patches)
        if patch_size is None:
            return upcast(student).flatten()[:0].sum()  # 0, in the graph

        def groups(feature: Tensor) -> Tensor:
            average = self.average_of(position)
            patches = to_patches(upcast(feature), patch_size, average=average, fit=self.fit)
            return patches if self.layout == 'rows' else patches.mT[:, None, :, :, None]

        with torch.autocast(student.device.type, enabled=False):
            values = torch.vmap(self.loss)(groups(student), groups(teacher))
        if values.ndim != 1:
            raise ValueError(
                f'loss: expected a scalar of each group, got the shape {tuple(values.shape[1:])}; '
                'choose a `reduction`'
            )
        return values.mean()


def _kl_div(
    log_q: Tensor, target: Tensor, reduction: int = 1, *, log_target: bool = False
) -> Tensor:
    if log_target:
        values = target.exp() * (target - log_q)
    else:
        values = torch.xlogy(target, target) - target * log_q
    return (values, values.mean(), values.sum())[reduction]


# torch.vmap has no rule for kl_div and would compute group by group, 3 to 11 times slower.
_RULES = torch.library.Library('aten', 'IMPL')
_RULES.impl('kl_div', _kl_div, 'FuncTorchBatched')
