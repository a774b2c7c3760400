"""Features of several views of each image. The task sees only the image itself."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from mmkd.functional.dlkd import rotations

Views = Callable[[Tensor], Tensor]
VIEWS: dict[str, Views] = {'rotations': rotations}


def resolve_views(views: str | Views | None) -> Views | None:
    """Return the function with this name, or the function itself.

    Raises:
        ValueError: If the name is unknown.
    """
    if not isinstance(views, str):
        return views
    if views not in VIEWS:
        raise ValueError(f'views: expected one of {[*VIEWS]}, a function or None, got {views!r}')
    return VIEWS[views]


@contextmanager
def all_views(model: Any, views: Views | None) -> Iterator[None]:
    """Make ``model.extract_feat`` process all views of its images while the block runs.

    Forward hooks of backbone and neck see the features of all V views, view by view. The caller of
    ``extract_feat`` gets the features of the first view, the images themselves. Batch statistics
    cover all views.

    Args:
        model: A classifier or detector of OpenMMLab.
        views: Function from (B, 3, H, W) to (V B, 3, H, W), with the images themselves first. None
            does nothing.
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
    """Return the first rows of each Tensor."""
    if isinstance(features, Tensor):
        return features[:rows]
    return type(features)(_first(feature, rows) for feature in features)
