"""Several views of each image for the features, the image itself for the task."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from mmkd.functional.dlkd import rotations

Views = Callable[[Tensor], Tensor]
VIEWS: dict[str, Views] = {'rotations': rotations}


def resolve_views(views: str | Views | None) -> Views | None:
    """The function of that name, or the function itself.

    Raises:
        ValueError: If there is none of that name.
    """
    if not isinstance(views, str):
        return views
    if views not in VIEWS:
        raise ValueError(f'views: expected one of {[*VIEWS]}, a function or None, got {views!r}')
    return VIEWS[views]


@contextmanager
def all_views(model: Any, views: Views | None) -> Iterator[None]:
    """While the block runs, ``model.extract_feat`` works on all views of its images.

    What listens to backbone and neck gets the features of all views, view by view; what calls
    ``extract_feat`` gets those of the first view, the images themselves. Batch statistics are
    those of all views.

    Args:
        model: A classifier or detector of OpenMMLab.
        views: From (B, 3, H, W) to (V B, 3, H, W), the images themselves first; None does nothing.
    """
    if views is None:
        yield
        return
    extract_feat = model.extract_feat

    def of_all_views(inputs: Tensor, *args: Any, **kwargs: Any) -> Any:
        return _first(extract_feat(views(inputs), *args, **kwargs), len(inputs))

    model.extract_feat = of_all_views  # shadows the method
    try:
        yield
    finally:
        del model.extract_feat


def _first(features: Any, rows: int) -> Any:
    """The first rows of each Tensor."""
    if isinstance(features, Tensor):
        return features[:rows]
    return type(features)(_first(feature, rows) for feature in features)
