"""Whether a config is of a classifier or a detector, and of how many stages."""

from mmengine.config import Config
from mmpretrain.models import BaseClassifier

from mmkd.registry import MODELS


def is_classifier(cfg: Config) -> bool:
    """Whether a config's model is one of MMPretrain's classifiers.

    Raises:
        KeyError: If there is no model of its type.
    """
    with MODELS.switch_scope_and_registry(cfg.get('default_scope')) as registry:
        model = registry.get(cfg.model.type)
    if model is None:
        raise KeyError(f'model.type: expected a known one, got {cfg.model.type}')
    return issubclass(model, BaseClassifier)


def is_two_stage(cfg: Config) -> bool:
    """Whether a detector's config has a head that judges proposals."""
    return cfg.model.get('roi_head') is not None
