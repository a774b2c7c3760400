"""PCKA: patch-based CKA of dense features."""

import math
import warnings
from collections.abc import Sequence

from torch import Tensor

from mmkd.functional import fitting_patch_size, pyramid_pcka
from mmkd.functional.checks import check_non_negative
from mmkd.functional.kernel_alignment.cka import check_unbiased
from mmkd.functional.kernel_alignment.patches import Average, Fit
from mmkd.losses.base.patch_loss import PatchLoss
from mmkd.registry import MODELS

# Warn where unrelated maps read more than this. Those of N patches with D features read about
# D / (D + N).
_BIAS = 0.99


@MODELS.register_module()
class PCKALoss(PatchLoss):
    r"""Distance between two feature pyramids by patch-based CKA.

    $$
    L = w \sum_{\mathrm{levels}} \left[ 1 - \mathrm{PCKA}(S, T)
        + w_{\mathrm{inter}} \, (1 - \mathrm{PCKA}^\top(S, T)) \right]
    $$

    Zhou et al., IJCAI 2024, eq. 9: <https://arxiv.org/abs/2401.11824>. The published APs used
    ``center=False``. Function: ``mmkd.functional.pcka``.

    Args:
        patch_size: Side of a patch in pixels of the feature map. A level with fewer than
            ``min_patches`` patches halves it until it has enough. A level with so few patches that
            unrelated maps would read above 0.99 warns once.
        average: What CKA is averaged over: ``'channel'``, ``'batch'`` (images) or ``'spatial'``
            (positions in a patch). One for all levels, or a sequence with one a level.
        fit: What to do if a map is not a multiple of the patch. ``'resize'`` stretches it
            bilinearly to the next multiple. ``'pad'`` adds zeros.
        center: Subtract the mean patch, as CKA does by definition.
        unbiased: Use the unbiased estimator of CKA. It needs ``min_patches >= 4``. It may be below
            0, so a level's distance may exceed 1.
        inter_weight: Weight of the same distance with patches and features exchanged.
        min_patches: Smallest number of patches of a level. A level with fewer pixels contributes 0
            and warns once.
        levels: Indices of the recorded levels to compare. None compares all.
        loss_weight: w, the paper's gamma.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import torch
        >>> pyramid = (torch.randn(2, 8, 32, 48), torch.randn(2, 8, 16, 24))
        >>> loss = PCKALoss(patch_size=8)
        >>> loss(pyramid, tuple(3 * level for level in pyramid)) < 1e-4
        tensor(True)
    """

    def __init__(
        self,
        patch_size: int = 16,
        average: Average | Sequence[Average] = 'channel',
        fit: Fit = 'resize',
        center: bool = True,
        unbiased: bool = False,
        inter_weight: float = 0.0,
        min_patches: int = 4,
        levels: Sequence[int] | None = None,
        loss_weight: float = 10.0,
    ) -> None:
        super().__init__(patch_size, average, fit, min_patches, levels, loss_weight)
        check_non_negative('inter_weight', inter_weight)
        if unbiased:
            check_unbiased(center, 'min_patches', min_patches)
        self.center = center
        self.unbiased = unbiased
        self.inter_weight = inter_weight

    def level_losses(self, students: Sequence[Tensor], teachers: Sequence[Tensor]) -> Tensor:
        """Distances of the patches, plus those of the features times ``inter_weight``."""
        for position, student in enumerate(students):
            self.warn_if_too_small(student, position)
            self._warn_if_few_patches(student, position)

        def distances(transpose: bool) -> Tensor:
            return 1 - pyramid_pcka(
                students,
                teachers,
                self.patch_size,
                average=self.average,
                fit=self.fit,
                center=self.center,
                unbiased=self.unbiased,
                min_patches=self.min_patches,
                transpose=transpose,
            )

        losses = distances(transpose=False)
        if self.inter_weight:
            losses = losses + self.inter_weight * distances(transpose=True)
        return losses

    def _warn_if_few_patches(self, student: Tensor, position: int) -> None:
        """Warn, once a level, if the biased value of unrelated maps is above ``_BIAS``."""
        size = (student.shape[2], student.shape[3])
        patch_size = fitting_patch_size(size, self.patch_size, self.min_patches)
        if self.unbiased or patch_size is None or position in self._warned:
            return
        patches = math.prod(-(-side // patch_size) for side in size)
        images, channels = student.shape[:2]
        of = {'channel': images, 'batch': channels, 'spatial': images * channels}
        features = of[self.average_of(position)]
        if self.average_of(position) != 'spatial':
            features *= patch_size**2
        bias = features / (features + patches)
        if bias <= _BIAS:
            return
        self._warned.add(position)
        warnings.warn(
            f'{type(self).__name__}: compared level {position} has {patches} patches of {features} '
            f'features, for which the biased similarity of unrelated maps is already {bias:.3f}; '
            'choose a smaller patch_size, or unbiased=True',
            stacklevel=2,
        )
