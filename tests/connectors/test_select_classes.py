"""SelectClasses: which channels are kept, and errors."""

import pytest
import torch

from mmkd.connectors import SelectClasses


def test_channels_of_the_classes_of_each_anchor():
    levels = [torch.randn(2, 3 * 5, size, size) for size in (4, 2)]
    picked = SelectClasses((4, 1), num_classes=5)(levels)
    for level, got in zip(levels, picked, strict=True):
        expected = [level[:, 5 * anchor + label] for anchor in range(3) for label in (4, 1)]
        assert torch.equal(got, torch.stack(expected, 1))


def test_errors():
    for labels in ((), (5,), (-1,)):
        with pytest.raises(ValueError, match='labels: expected some of 0 to 4'):
            SelectClasses(labels, num_classes=5)
    with pytest.raises(ValueError, match=r'logits: expected a multiple of 5 channels'):
        SelectClasses((0,), num_classes=5)(torch.zeros(1, 6, 2, 2))
