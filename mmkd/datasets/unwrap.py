"""Data sets inside of wrappers."""

from typing import Any


def unwrap(dataset: Any) -> list[Any]:
    """Return the data sets inside a concatenated, repeated or balanced one, in order."""
    if hasattr(dataset, 'datasets'):
        return [leaf for part in dataset.datasets for leaf in unwrap(part)]
    return unwrap(dataset.dataset) if hasattr(dataset, 'dataset') else [dataset]
