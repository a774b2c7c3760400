"""Linear embedding of pooled features."""

from torch import Tensor, nn

from mmkd.connectors.feature_rows import check_features
from mmkd.functional.checks import check_positive_int
from mmkd.functional.numerics import l2_normalize
from mmkd.registry import MODELS


@MODELS.register_module()
class LinearEmbed(nn.Module):
    """Linear layer that maps features to vectors of unit length.

    One on each side brings two networks to one width. CCKD embeds both networks this way (Peng et
    al., "Correlation Congruence for Knowledge Distillation", 2019, sec. 3.5,
    https://arxiv.org/abs/1904.01802), and so does the supervised term of DLKD (Ding et al.,
    "Dual-Level Knowledge Distillation via Knowledge Alignment and Correlation", 2022, sec. VI-E,
    https://arxiv.org/abs/2012.00573).

    Args:
        in_channels: Width of the features. A config may leave it out.
        out_channels: Width of the embedding. Default: 128.
        normalize: Divide each row by its length; a row of zeros stays zero.
        frozen: Keep the random initial weights. Gradients still reach the features.

    Raises:
        ValueError: If a width is not a positive integer.

    Example:
        >>> import torch
        >>> tuple(LinearEmbed(256)(torch.randn(4, 256)).shape)
        (4, 128)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 128,
        normalize: bool = True,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        check_positive_int('in_channels', in_channels)
        check_positive_int('out_channels', out_channels)
        self.out_channels = out_channels
        self.linear = nn.Linear(in_channels, out_channels).requires_grad_(not frozen)
        self.normalize = normalize

    def forward(self, features: Tensor) -> Tensor:
        """Embed each row.

        Args:
            features: Pooled features. Shape (B, in_channels).

        Returns:
            Shape (B, out_channels); in float32 (float64 for such weights) if normalized.

        Raises:
            TypeError: If ``features`` is not a Tensor.
            ValueError: If it has another shape.
        """
        check_features(features, self.linear.in_features)
        embedding = self.linear(features)
        return l2_normalize(embedding) if self.normalize else embedding
