"""The data sets inside of those that wrap them."""

from typing import Any


def unwrap(dataset: Any) -> list[Any]:
    """The data sets inside concatenated, repeated or balanced ones, in order."""
    if hasattr(dataset, 'datasets'):
        return [leaf for part in dataset.datasets for leaf in unwrap(part)]
    return unwrap(dataset.dataset) if hasattr(dataset, 'dataset') else [dataset]
