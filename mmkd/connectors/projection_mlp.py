"""Two-layer perceptron that is widest in the middle."""

from torch import Tensor, nn

from mmkd.connectors.feature_rows import check_features
from mmkd.functional.checks import check_positive_int
from mmkd.registry import MODELS


@MODELS.register_module()
class ProjectionMLP(nn.Module):
    """Linear, batch normalization, ReLU, linear, with a hidden layer wider than both ends.

    The transformations of the student's features in "Dual-Level Knowledge Distillation via
    Knowledge Alignment and Correlation" (2022), sec. VI-E and Table VII: 16 times the teacher's
    width for the alignment, ``ProjectionMLP(student, teacher)``, and all layers of the student's
    width for the correlation, ``ProjectionMLP(student, student, expansion=1)``. The paper does not
    print the layers between the two; these are those of the perceptrons it refers to (BYOL).

    Args:
        in_channels: Width of the features.
        out_channels: Width of the result.
        expansion: Width of the hidden layer in multiples of ``out_channels``.

    Raises:
        ValueError: If an argument is no positive integer.

    Example:
        >>> import torch
        >>> tuple(ProjectionMLP(64, 256)(torch.randn(8, 64)).shape)
        (8, 256)
    """

    def __init__(self, in_channels: int, out_channels: int, expansion: int = 16) -> None:
        super().__init__()
        check_positive_int('in_channels', in_channels)
        check_positive_int('out_channels', out_channels)
        check_positive_int('expansion', expansion)
        self.in_channels = in_channels
        self.out_channels = out_channels
        hidden = expansion * out_channels
        self.layers = nn.Sequential(
            nn.Linear(in_channels, hidden, bias=False),  # the normalization would remove a bias
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, out_channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Transform each row.

        Args:
            features: Pooled features. Shape (B, in_channels). In training fewer than 2 rows, which
                have no statistics of their own, are normalized by those of the batches before.

        Returns:
            Shape (B, out_channels).

        Raises:
            TypeError: If ``features`` is no Tensor.
            ValueError: If it has another shape.
        """
        check_features(features, self.in_channels)
        norm = self.layers[1]
        if not isinstance(norm, nn.SyncBatchNorm):  # that one counts the rows of all processes
            norm.train(self.training and len(features) > 1)
        return self.layers(features)
