"""Registries of mmkd: children of MMEngine's roots, in the scope ``mmkd``.

``type='mmkd.PCKALoss'`` resolves without ``custom_imports``: each registry
imports its ``locations`` at the first look-up.
"""

import mmengine.registry as root
from mmengine.registry import Registry

import mmkd  # noqa: F401  (the compatibility layer comes before any OpenMMLab package)

SCOPE = 'mmkd'


def _child(parent: Registry, *rooms: str) -> Registry:
    return Registry(
        parent.name, parent=parent, scope=SCOPE, locations=[f'{SCOPE}.{room}' for room in rooms]
    )


MODELS = _child(root.MODELS, 'losses', 'connectors', 'algorithms', 'backbones', 'deploy')
DATASETS = _child(root.DATASETS, 'datasets', 'datasets.digits')
DATA_SAMPLERS = _child(root.DATA_SAMPLERS, 'datasets')
HOOKS = _child(root.HOOKS, 'hooks')
LOOPS = _child(root.LOOPS, 'loops')
PARAM_SCHEDULERS = _child(root.PARAM_SCHEDULERS, 'schedulers')
TASK_UTILS = _child(root.TASK_UTILS, 'recorders')
