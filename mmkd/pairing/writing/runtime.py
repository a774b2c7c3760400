"""What a distillation run has beside a plain training's runtime."""

from typing import Any

from mmengine.config import Config

from mmkd.pairing.writing.config_text import Expression

HOOKS = ('mmkd.DataCheckHook', 'mmkd.FiniteLossHook', 'mmkd.EpochSeedHook')


def runtime_settings(cfg: Config) -> dict[str, Any]:
    """Settings that add mmkd's hooks to a config that may have some of them.

    Args:
        cfg: Config of the student's training.
    """
    settings: dict[str, Any] = {}
    if 'custom_imports' not in cfg:
        settings['custom_imports'] = dict(imports=['mmkd.registry'])
    loader = cfg.get('train_dataloader') or {}
    if 'worker_init_fn' not in loader:
        # A resumed run draws the same augmentations as an uninterrupted one.
        settings['train_dataloader'] = dict(
            persistent_workers=False, worker_init_fn=dict(type='mmkd_epoch_worker_init')
        )
    checkpoints = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    if checkpoints.get('type') != 'mmkd.AtomicCheckpointHook':
        settings['default_hooks'] = dict(checkpoint=dict(type='mmkd.AtomicCheckpointHook'))
    present = cfg.get('custom_hooks') or []
    kept = [Expression('*_base_.custom_hooks')] if present else []
    known = {hook['type'] for hook in present}
    added: list[Any] = [dict(type=hook) for hook in HOOKS if hook not in known]
    if added:
        settings['custom_hooks'] = kept + added
    return settings
