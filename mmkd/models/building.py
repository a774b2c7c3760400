"""Build models from a dict or from a config of any OpenMMLab package."""

import copy
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope

from mmkd.registry import MODELS


def model_config(
    cfg_path: str, *, pretrained: bool = False, **overrides: Any
) -> tuple[dict, str | None]:
    """Return the ``model`` part of a config file with ``overrides``, and its scope.

    The scope is None if the file sets no scope and belongs to no package.

    Args:
        cfg_path: ``'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'`` or the path of a file.
        pretrained: Initialize the whole model with the weights of this config from the package's
            model zoo (``pkg::`` configs only).
        overrides: Settings to merge into the model's config, as in the ``model`` of a child
            config: ``bbox_head=dict(num_classes=2)``.

    Raises:
        ValueError: If the file has no ``model``, or the model zoo has no weights for it.
    """
    if '::' in cfg_path:
        cfg = get_config(cfg_path, pretrained=pretrained)
    else:
        cfg = Config.fromfile(cfg_path)
    if 'model' not in cfg:
        raise ValueError(f'cfg_path: expected a config with a `model`, got {cfg_path}')
    model = cfg.model
    if 'data_preprocessor' in cfg:
        model.setdefault('data_preprocessor', cfg.data_preprocessor)
    if pretrained:
        if 'model_path' not in cfg:
            raise ValueError(f'pretrained: the model zoo names no weights for {cfg_path}')
        model.init_cfg = {'type': 'Pretrained', 'checkpoint': cfg.model_path}
    merged = Config({'model': model})
    merged.merge_from_dict({'model': copy.deepcopy(overrides)})  # merging consumes `_delete_`
    package, separator, _ = cfg_path.partition('::')
    return merged.model, cfg.get('default_scope') or (package if separator else None)


def build_model(model: BaseModel | Mapping[str, Any]) -> BaseModel:
    """Build a model. Return a model that is built already.

    Args:
        model: A model; a dict with ``cfg_path`` (see :func:`model_config`); or a dict with
            ``type``.

    Raises:
        TypeError: If the result is not an MMEngine model.
    """
    if isinstance(model, Mapping):
        if 'cfg_path' in model:
            cfg, scope = model_config(**model)
            with DefaultScope.overwrite_default_scope(scope):
                model = MODELS.build(cfg)
        else:
            model = MODELS.build(copy.deepcopy(dict(model)))
    if not isinstance(model, BaseModel):
        raise TypeError(
            'model: expected a dict with `cfg_path` or `type`, or an mmengine BaseModel, '
            f'got {type(model).__name__}'
        )
    return model
