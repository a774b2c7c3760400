"""Connectors of a transformer's tokens: a projection, and a generation of masked tokens (ViTKD)."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from mmkd.functional.checks import check_choice, check_positive_int
from mmkd.registry import MODELS

Block = Literal['conv', 'attention']


@MODELS.register_module()
class TokenProjection(nn.Module):
    """Linear layer that brings the patch tokens of a transformer's block to a width.

    ViTKD aligns shallow layers with it (Yang et al., "ViTKD: Practical Guidelines for ViT Feature
    Knowledge Distillation", 2022: <https://arxiv.org/abs/2209.02432>).

    Args:
        in_channels: Width of the tokens. A config may leave it out.
        out_channels: Width of the result. In a config ``'teacher'`` (default) and ``'student'``
            stand for the width of that side's tokens.
        num_extra_tokens: Tokens before those of the patches, such as the class token. They are
            dropped.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import torch
        >>> tuple(TokenProjection(192, 384)(torch.randn(2, 197, 192)).shape)
        (2, 196, 384)
    """

    def __init__(self, in_channels: int, out_channels: int, num_extra_tokens: int = 1) -> None:
        super().__init__()
        check_positive_int('in_channels', in_channels)
        check_positive_int('out_channels', out_channels)
        self.linear = nn.Linear(in_channels, out_channels)
        self.num_extra_tokens = num_extra_tokens

    def forward(self, tokens: Tensor) -> Tensor:
        """Project each patch token.

        Args:
            tokens: Shape (B, num_extra_tokens + N, in_channels).

        Returns:
            Shape (B, N, out_channels).

        Raises:
            ValueError: If ``tokens`` has another shape.
        """
        return self.linear(patch_tokens('tokens', tokens, self.num_extra_tokens))


@MODELS.register_module()
class MaskedTokenGeneration(nn.Module):
    """Projects a transformer's patch tokens, masks some of them, and generates those again.

    ViTKD distills the last layer this way (Yang et al., 2022: <https://arxiv.org/abs/2209.02432>):
    a learned token replaces a random part of the student's, and a block generates the teacher's
    tokens there. Give its output to ``mmkd.ViTKDGenerationLoss``.

    Args:
        in_channels: Width of the tokens. A config may leave it out.
        out_channels: Width of the result. In a config ``'teacher'`` (default) and ``'student'``
            stand for the width of that side's tokens.
        mask_ratio: Part of the tokens to mask, in (0, 1).
        block: What generates: ``'conv'``, two 3 x 3 convolutions with a ReLU between them on the
            square of tokens, or ``'attention'``, a layer of self-attention and a perceptron.
        num_extra_tokens: Tokens before those of the patches. They are dropped.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import torch
        >>> tokens, mask = MaskedTokenGeneration(192, 384)(torch.randn(2, 197, 192))
        >>> tuple(tokens.shape), mask.sum(1).tolist()
        ((2, 196, 384), [98, 98])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        mask_ratio: float = 0.5,
        block: Block = 'conv',
        num_extra_tokens: int = 1,
    ) -> None:
        super().__init__()
        check_choice('block', block, get_args(Block))
        if not 0 < mask_ratio < 1:
            raise ValueError(f'mask_ratio: expected a number between 0 and 1, got {mask_ratio!r}')
        self.projection = TokenProjection(in_channels, out_channels, num_extra_tokens)
        self.mask_token = nn.Parameter(torch.zeros(out_channels))
        self.mask_ratio = mask_ratio
        self.block = block
        if block == 'conv':
            self.generator: nn.Module = nn.Sequential(
                nn.Conv2d(out_channels, out_channels, 3, padding=1),
                nn.ReLU(inplace=True),
                nn.Conv2d(out_channels, out_channels, 3, padding=1),
            )
        else:
            self.generator = nn.TransformerEncoderLayer(
                out_channels,
                nhead=max(out_channels // 64, 1),
                dim_feedforward=4 * out_channels,
                dropout=0.0,
                activation='gelu',
                batch_first=True,
                norm_first=True,
            )

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Generate the masked tokens.

        Args:
            tokens: Shape (B, num_extra_tokens + N, in_channels).

        Returns:
            All tokens, shape (B, N, out_channels), and which were masked, bool of shape (B, N).

        Raises:
            ValueError: If ``tokens`` has another shape, or N is no square for convolutions.
        """
        projected = self.projection(tokens)
        batch, count, _ = projected.shape
        order = torch.rand(batch, count, device=projected.device).argsort(1)
        mask = order < round(self.mask_ratio * count)
        shown = torch.where(mask[..., None], self.mask_token.to(projected.dtype), projected)
        if self.block == 'attention':
            return self.generator(shown), mask
        side = round(count**0.5)
        if side * side != count:
            raise ValueError(
                f"tokens: expected those of a square of patches, got {count}; set block='attention'"
            )
        maps = self.generator(shown.mT.unflatten(2, (side, side)))
        return maps.flatten(2).mT, mask


def patch_tokens(name: str, tokens: Tensor, num_extra_tokens: int) -> Tensor:
    """Return the tokens of the patches, the last of (B, num_extra_tokens + N, C).

    Raises:
        TypeError: If it is no Tensor.
        ValueError: If it has another shape.
    """
    if not isinstance(tokens, Tensor):
        raise TypeError(f'{name}: expected a Tensor (B, N, C), got {type(tokens).__name__}')
    if tokens.ndim != 3 or tokens.shape[1] <= num_extra_tokens:
        raise ValueError(
            f'{name}: expected tokens (B, {num_extra_tokens} + N, C), got {tuple(tokens.shape)}; '
            "record a transformer's block, such as 'backbone.layers.11'"
        )
    return tokens[:, num_extra_tokens:]
