"""Scikit-learn's 1797 handwritten digits, the source of both demo tasks."""

import numpy as np


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return glyphs (N, 8, 8), 0 (paper) to 1 (ink), and their values (N,).

    Raises:
        ImportError: If scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits as load
    except ImportError as error:
        raise ImportError(
            'the handwritten digits come with scikit-learn; install it with `pip install mmkd[all]`'
        ) from error
    digits = load()
    return digits.images / 16, digits.target
