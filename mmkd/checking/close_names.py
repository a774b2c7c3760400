"""Names that were probably meant."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return ``'; did you mean a or b?'``, or an empty string if no known name is close.

    Example:
        >>> did_you_mean('modle', ['model', 'work_dir'])
        '; did you mean model?'
    """
    close = difflib.get_close_matches(name, [*known], n=3, cutoff=cutoff)
    return f'; did you mean {" or ".join(close)}?' if close else ''
