"""Two-layer perceptron with a wide hidden layer."""

from torch import Tensor, nn

from mmkd.connectors.feature_rows import check_features
from mmkd.functional.checks import check_positive, check_positive_int
from mmkd.registry import MODELS


@MODELS.register_module()
class ProjectionMLP(nn.Module):
    """Projector of linear layer, batch normalization, ReLU and linear layer.

    DLKD transforms the student's features with it (Ding et al., "Dual-Level Knowledge Distillation
    via Knowledge Alignment and Correlation", 2022, sec. VI-E and Table VII,
    https://arxiv.org/abs/2012.00573). The alignment projects to the teacher's width; its hidden
    layer has 16 times that width. The correlation keeps the student's width in all layers:
    ``out_channels='student', expansion=1``. The paper does not print the layers in between; these
    are the ones of BYOL, which it cites.

    Args:
        in_channels: Width of the features. A config may leave it out.
        out_channels: Width of the result. In a config ``'teacher'`` (default) and ``'student'``
            stand for the width of that side's features.
        expansion: Width of the hidden layer, in multiples of ``out_channels``. It may be a
            fraction if the width is a whole number.

    Raises:
        ValueError: If a width is not a positive integer.

    Example:
        >>> import torch
        >>> tuple(ProjectionMLP(64, 256)(torch.randn(8, 64)).shape)
        (8, 256)
    """

    def __init__(self, in_channels: int, out_channels: int, expansion: float = 16) -> None:
        super().__init__()
        check_positive_int('in_channels', in_channels)
        check_positive_int('out_channels', out_channels)
        check_positive('expansion', expansion)
        if expansion * out_channels % 1:
            raise ValueError(
                f'expansion: expected a whole number of hidden channels, got {expansion} x '
                f'{out_channels} = {expansion * out_channels}'
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        hidden = int(expansion * out_channels)
        self.layers = nn.Sequential(
            nn.Linear(in_channels, hidden, bias=False),  # the normalization would remove a bias
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, out_channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Transform each row.

        Args:
            features: Pooled features. Shape (B, in_channels). A training batch of fewer than two
                rows has no statistics, so the running statistics normalize it.

        Returns:
            Shape (B, out_channels).

        Raises:
            TypeError: If ``features`` is not a Tensor.
            ValueError: If it has another shape.
        """
        check_features(features, self.in_channels)
        norm = self.layers[1]
        if not isinstance(norm, nn.SyncBatchNorm):  # that one counts the rows of all processes
            norm.train(self.training and len(features) > 1)
        return self.layers(features)
