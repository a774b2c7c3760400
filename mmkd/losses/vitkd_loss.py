"""ViTKD: losses on the tokens of transformers."""

from torch import Tensor, nn

from mmkd.functional.checks import check_non_negative
from mmkd.functional.numerics import upcast
from mmkd.registry import MODELS


class _TokenLoss(nn.Module):
    """Weight, and the teacher's tokens without those that the student's connector drops."""

    def __init__(self, loss_weight: float, num_extra_tokens: int) -> None:
        super().__init__()
        check_non_negative('loss_weight', loss_weight)
        self.loss_weight = loss_weight
        self.num_extra_tokens = num_extra_tokens

    def squared_error(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Squared errors. Shape (B, N, C)."""
        teacher = teacher.detach()[:, self.num_extra_tokens :]
        if student.shape != teacher.shape:
            raise ValueError(
                f"student: expected the teacher's {tuple(teacher.shape)}, got "
                f'{tuple(student.shape)}; both need as many patches, and the student a '
                'mmkd.TokenProjection or mmkd.MaskedTokenGeneration'
            )
        return (upcast(student) - upcast(teacher)).square()


@MODELS.register_module()
class ViTKDMimicLoss(_TokenLoss):
    """Squared error of projected tokens, summed over tokens and channels, mean over images.

    Yang et al. 2022, the mimicking of shallow layers: <https://arxiv.org/abs/2209.02432>. Give the
    student's side a ``mmkd.TokenProjection``.

    Args:
        loss_weight: The paper's alpha.
        num_extra_tokens: Tokens of the teacher before those of the patches.

    Raises:
        ValueError: If ``loss_weight`` is out of range or the shapes differ.

    Example:
        >>> import torch
        >>> ViTKDMimicLoss(1.0)(torch.ones(2, 4, 3), torch.zeros(2, 5, 3))
        tensor(12.)
    """

    def __init__(self, loss_weight: float = 3e-5, num_extra_tokens: int = 1) -> None:
        super().__init__(loss_weight, num_extra_tokens)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Weighted sum, a scalar.

        Args:
            student: Projected patch tokens. Shape (B, N, C).
            teacher: Tokens. Shape (B, num_extra_tokens + N, C). They get no gradient.
        """
        error = self.squared_error(student, teacher)
        return self.loss_weight * error.sum() / max(len(student), 1)


@MODELS.register_module()
class ViTKDGenerationLoss(_TokenLoss):
    """Squared error of the generated tokens where the student's were masked.

    It is summed over tokens and channels, divided by the masked part, and its mean over images is
    taken. Yang et al. 2022, the generation of the last layer: <https://arxiv.org/abs/2209.02432>.
    Give the student's side a ``mmkd.MaskedTokenGeneration``.

    Args:
        loss_weight: The paper's beta.
        num_extra_tokens: Tokens of the teacher before those of the patches.

    Raises:
        ValueError: If ``loss_weight`` is out of range or the shapes differ.

    Example:
        >>> import torch
        >>> mask = torch.tensor([[True, True, False, False]] * 2)
        >>> ViTKDGenerationLoss(1.0)((torch.ones(2, 4, 3), mask), torch.zeros(2, 5, 3))
        tensor(12.)
    """

    def __init__(self, loss_weight: float = 3e-6, num_extra_tokens: int = 1) -> None:
        super().__init__(loss_weight, num_extra_tokens)

    def forward(self, student: tuple[Tensor, Tensor], teacher: Tensor) -> Tensor:
        """Weighted sum, a scalar.

        Args:
            student: Generated tokens, shape (B, N, C), and which were masked, shape (B, N).
            teacher: Tokens. Shape (B, num_extra_tokens + N, C). They get no gradient.
        """
        generated, mask = student
        error = (self.squared_error(generated, teacher) * mask[..., None]).sum()
        # Each image has equally many masked tokens.
        return self.loss_weight * error * mask.shape[1] / mask.sum().clamp(min=1)
