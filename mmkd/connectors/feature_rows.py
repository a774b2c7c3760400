"""The check that connectors of pooled features share."""

from torch import Tensor


def check_features(features: Tensor, in_channels: int) -> None:
    """Raise unless ``features`` is a Tensor (B, in_channels).

    Raises:
        TypeError: If it is not a Tensor; a recorded module may return a tuple.
        ValueError: If it has another shape.
    """
    if not isinstance(features, Tensor):
        raise TypeError(
            f'features: expected a Tensor (B, {in_channels}), got {type(features).__name__}; '
            'choose an item of a recorded tuple by data_idx'
        )
    if features.ndim != 2 or features.shape[1] != in_channels:
        hint = '; record them after pooling' if features.ndim > 2 else ''
        raise ValueError(
            f'features: expected a shape (B, {in_channels}), got {tuple(features.shape)}{hint}'
        )
