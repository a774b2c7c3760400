"""What kind of model a config describes."""

from mmengine.config import Config
from mmpretrain.models import BaseClassifier

from mmkd.registry import MODELS


def is_classifier(cfg: Config) -> bool:
    """Whether the model is one of MMPretrain's classifiers.

    Raises:
        KeyError: If no model of this type is registered.
    """
    with MODELS.switch_scope_and_registry(cfg.get('default_scope')) as registry:
        model = registry.get(cfg.model.type)
    if model is None:
        raise KeyError(f'model.type: expected a registered model, got {cfg.model.type}')
    return issubclass(model, BaseClassifier)


def has_masks(cfg: Config) -> bool:
    """Whether a detector predicts masks."""
    return 'mask_head' in cfg.model.get('roi_head', {}) or 'mask_head' in cfg.model
