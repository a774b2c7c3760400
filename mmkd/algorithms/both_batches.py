"""One preprocessing for the labeled and the unlabeled batch of a step."""

from collections.abc import Mapping
from typing import Any

from torch import nn


class BothBatches(nn.Module):
    """Give the batch under the key ``unlabeled`` the same preprocessing as the labeled one.

    Args:
        preprocessor: The data preprocessor of one batch.
    """

    def __init__(self, preprocessor: nn.Module) -> None:
        super().__init__()
        self.preprocessor = preprocessor

    def forward(self, data: Mapping[str, Any], training: bool = False) -> dict[str, Any]:
        """Preprocess both batches; there may be no unlabeled one."""
        labeled = {key: value for key, value in data.items() if key != 'unlabeled'}
        batch = self.preprocessor(labeled, training)
        if 'unlabeled' in data:
            batch['unlabeled'] = self.preprocessor(data['unlabeled'], training)
        return batch
