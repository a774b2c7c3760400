"""Settings of a distillation beside data, models and schedule."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config

from mmkd.hooks.safety import SAFETY_HOOKS
from mmkd.pairing.writing.config_text import Expression

TEACHER_HOOK = 'mmkd.TeacherEvaluationHook'
ADVICE = dict(advice=dict(type='mmkd.AdviceHook'))


def runtime_settings(
    cfg: Config,
    *,
    changed_hooks: Sequence[dict] | None = None,
    evaluate_teacher: bool = False,
    has_teacher: bool = True,
    labels: Mapping[int, int] | None = None,
) -> dict[str, Any]:
    """Return settings that add mmkd's hooks to a config, unless it has them.

    Args:
        cfg: Config of the student's training.
        changed_hooks: Custom hooks in place of the config's.
        evaluate_teacher: Also add the hook that evaluates the teacher.
        has_teacher: Also add the hook that watches the losses of a distillation.
        labels: The label of the data for each of the teacher's labels, if they differ.
    """
    settings: dict[str, Any] = {}
    if 'custom_imports' not in cfg:
        settings['custom_imports'] = dict(imports=['mmkd.registry'])
    loader = cfg.get('train_dataloader') or {}
    if 'worker_init_fn' not in loader:
        # A resumed run then draws the same augmentations as an uninterrupted one.
        settings['train_dataloader'] = dict(
            persistent_workers=False, worker_init_fn=dict(type='mmkd_epoch_worker_init')
        )
    present = cfg.get('custom_hooks') or []
    known = {hook['type'] for hook in present}
    default_hooks = cfg.get('default_hooks') or {}
    hooks = {
        name: hook
        for name, hook in (SAFETY_HOOKS | (ADVICE if has_teacher else {})).items()
        if name not in default_hooks and hook['type'] not in known
    }
    checkpoints = default_hooks.get('checkpoint') or {}
    if checkpoints.get('type') != 'mmkd.AtomicCheckpointHook':
        hooks['checkpoint'] = dict(type='mmkd.AtomicCheckpointHook')
    if hooks:
        settings['default_hooks'] = hooks
    kept: list[Any] = [Expression('*_base_.custom_hooks')] if present else []
    if changed_hooks is not None:
        kept = [*changed_hooks]
    added: list[Any] = []
    if evaluate_teacher and TEACHER_HOOK not in known:
        added = [dict(type=TEACHER_HOOK, **({} if labels is None else dict(labels=labels)))]
    if added or changed_hooks is not None:
        settings['custom_hooks'] = kept + added
    return settings


def mixed_precision(cfg: Config) -> dict[str, Any]:
    """Return settings of training with automatic mixed precision."""
    scale = cfg.optim_wrapper.get('loss_scale', 'dynamic')
    return dict(optim_wrapper=dict(type='AmpOptimWrapper', loss_scale=scale))


def scaled_learning_rate(cfg: Config) -> dict[str, Any]:
    """Return settings that scale the learning rate with the batch size.

    Raises:
        ValueError: If the config does not name the batch size that its learning rate belongs to.
    """
    if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
        raise ValueError('auto_scale_lr: expected auto_scale_lr.base_batch_size in the config')
    return dict(auto_scale_lr=dict(enable=True))
