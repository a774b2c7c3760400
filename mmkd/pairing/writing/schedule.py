"""A training schedule of another length."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config

from mmkd.pairing.writing.settings import Settings, without_scope

# The settings of a parameter scheduler that count epochs and may be 0, and those that may not.
EPOCHS = ('begin', 'end')
DURATIONS = ('T_max', 'step_size', 'total_steps', 'periods')
# The settings of hooks that name an epoch, and those that count the last epochs.
SWITCHES = ('switch_epoch', 'action_epoch', 'begin_epoch')
LAST_EPOCHS = ('num_last_epochs',)
TO_THE_END = 10**9  # how MMEngine spells it
WARM_UP_SHARE = 10  # a warm-up counted in iterations takes at most a tenth of the run


def checked_epochs(cfg: Config, epochs: int) -> int:
    """Return the number of epochs.

    Args:
        cfg: Config of the student's training.
        epochs: Number of epochs.

    Raises:
        ValueError: If ``epochs`` is no positive whole number, or the config trains by iterations.
    """
    if not isinstance(epochs, int) or isinstance(epochs, bool) or epochs < 1:
        raise ValueError(f'epochs: expected a positive whole number, got {epochs!r}')
    train_cfg = cfg.get('train_cfg') or {}
    if train_cfg.get('max_epochs') is None:
        raise ValueError(
            "epochs: expected a student's config that trains by epochs, got one of "
            f'{train_cfg.get("max_iters")} iterations'
        )
    return epochs


def counts_iterations(cfg: Config) -> bool:
    """Whether a warm-up of the config counts iterations."""
    schedulers = cfg.get('param_scheduler') or []
    schedulers = [schedulers] if isinstance(schedulers, Mapping) else schedulers
    return any(not scheduler.get('by_epoch', True) for scheduler in schedulers)


def epoch_settings(
    cfg: Config, epochs: int | None = None, iterations: int | None = None
) -> tuple[Settings, list[str]]:
    """Return settings of a training of another length, and the changes as text.

    What counts epochs is stretched. Milestones stay distinct and inside the run. A warm-up that
    counts iterations takes at most a tenth of the run, and is never longer than the config's.

    Args:
        cfg: Config of the student's training.
        epochs: Number of epochs. None keeps the config's own.
        iterations: Iterations of an epoch. None if that is not known: a warm-up that counts
            iterations then stays as it is.

    Raises:
        ValueError: As in :func:`checked_epochs`.
    """
    train_cfg = cfg.get('train_cfg') or {}
    old: Any = train_cfg.get('max_epochs')
    if epochs is None and old is None:
        return {}, []
    new = old if epochs is None else checked_epochs(cfg, epochs)
    settings: Settings = {}
    if epochs is not None:
        settings['train_cfg'] = dict(max_epochs=new)
        if train_cfg.get('val_interval', 1) > new:
            settings['train_cfg']['val_interval'] = new
        if (intervals := train_cfg.get('dynamic_intervals')) and new != old:
            settings['train_cfg']['dynamic_intervals'] = [
                (_inside(start, old, new), interval) for start, interval in intervals
            ]
    schedulers = cfg.get('param_scheduler')
    schedulers = [schedulers] if isinstance(schedulers, Mapping) else schedulers or []
    if any('type' not in scheduler for scheduler in schedulers):
        return settings, ['param_scheduler: several optimizers; their schedulers stay as they are']
    # MMEngine marks each dict that comes from a package's config.
    before = [{k: v for k, v in each.items() if k != '_scope_'} for each in schedulers]
    stretched = [_stretched(each, old, new) for each in before]
    total = None if iterations is None else iterations * new
    changes = _shorten_warm_ups(stretched, total)
    changes += [
        f'{_name(one)}.{key} {one[key]} -> {two[key]}'
        for one, two in zip(before, stretched, strict=True)
        for key in one
        if one[key] != two[key] and one.get('by_epoch', True)
    ]
    # A warm-up of less than half an epoch is left out.
    kept = [each for each in stretched if each.get('begin', 0) != each.get('end')]
    changes += [f'{_name(each)} left out: too short' for each in stretched if each not in kept]
    if kept != before:
        settings['param_scheduler'] = kept
    return settings, changes


def epoch_hooks(hooks: Sequence[Mapping], old: int, new: int) -> tuple[list[dict], list[str]]:
    """Return hooks that act at their share of a training of another length, and the changes.

    Args:
        hooks: Custom hooks of a config.
        old: The config's number of epochs.
        new: The run's number of epochs.
    """
    changes: list[str] = []
    stretched = [_stretched_hook(hook, _name(hook), old, new, changes) for hook in hooks]
    changes += [
        f'never reached in {new} epochs: {_name(hook)} at epoch {hook["switch_epoch"]}'
        for hook in stretched
        if hook.get('switch_epoch', 0) >= new
    ]
    return stretched, changes


def _stretched_hook(hook: Any, name: str, old: int, new: int, changes: list[str]) -> Any:
    if isinstance(hook, list | tuple):
        return type(hook)(_stretched_hook(item, name, old, new, changes) for item in hook)
    if not isinstance(hook, Mapping):
        return hook
    stretched = {}
    for key, value in hook.items():
        stretched[key] = _stretched_hook(value, name, old, new, changes)
        if key in SWITCHES and value:
            stretched[key] = _inside(value, old, new)
        elif key in LAST_EPOCHS:
            stretched[key] = round(value * new / old)
        if not isinstance(value, list | tuple | Mapping) and stretched[key] != value:
            changes.append(f'{name}.{key} {value} -> {stretched[key]}')
    return stretched


def _inside(epoch: int, old: int, new: int) -> int:
    """The same share of another number of epochs, before the last one where there are two."""
    return min(max(1, round(epoch * new / old)), max(1, new - 1))


def _stretched(scheduler: Mapping[str, Any], old: int, new: int) -> dict[str, Any]:
    stretched = dict(scheduler)
    if old == new or not scheduler.get('by_epoch', True):
        return stretched
    for key in EPOCHS:
        if 0 < scheduler.get(key, 0) < TO_THE_END:
            stretched[key] = round(scheduler[key] * new / old)
    for key in DURATIONS:
        if (value := scheduler.get(key)) is not None:
            several = [max(1, round(item * new / old)) for item in _listed(value)]
            stretched[key] = several if isinstance(value, list | tuple) else several[0]
    if scheduler.get('T_max') == scheduler.get('end', 0) - scheduler.get('begin', 0):
        stretched['T_max'] = max(1, stretched['end'] - stretched.get('begin', 0))
    if 'milestones' in scheduler:
        stretched['milestones'] = _milestones(scheduler['milestones'], old, new)
    if _name(scheduler) in ('ExponentialLR', 'ExponentialParamScheduler'):
        stretched['gamma'] = scheduler['gamma'] ** (old / new)
    return stretched


def _milestones(milestones: Sequence[int], old: int, new: int) -> list[int]:
    """Distinct epochs from 1 to the last but one. Those for which there is no room are left out."""
    kept: list[int] = []
    for count, milestone in enumerate(milestones[: new - 1], 1):
        room = new - 1 - (min(len(milestones), new - 1) - count)  # for those that follow
        kept.append(min(max(round(milestone * new / old), kept[-1] + 1 if kept else 1), room))
    return kept


def _shorten_warm_ups(schedulers: list[dict[str, Any]], total: int | None) -> list[str]:
    """Shorten the warm-ups that count iterations, in place; what follows one begins at its end."""
    changes = []
    for warm_up in schedulers:
        end = warm_up.get('end', TO_THE_END)
        if warm_up.get('by_epoch', True) or warm_up.get('begin', 0) or end >= TO_THE_END:
            continue
        if total is None:
            changes.append(
                f'{_name(warm_up)}.end {end} iterations stays: the number of training images is '
                'not known'
            )
            continue
        new = min(end, total // WARM_UP_SHARE)
        if new == end:
            continue
        for scheduler in schedulers:
            if scheduler.get('begin') == end and not scheduler.get('by_epoch', True):
                scheduler['begin'] = new
        warm_up.setdefault('begin', 0)
        warm_up['end'] = new
        changes.append(
            f'{_name(warm_up)}.end {end} -> {new} iterations, a tenth of the {total} of the run'
        )
    return changes


def _listed(value: Any) -> Sequence:
    return value if isinstance(value, list | tuple) else [value]


def _name(config: Mapping[str, Any]) -> str:
    kind = config['type']
    return kind.split('.')[-1] if isinstance(kind, str) else kind.__name__


def plain_hooks(cfg: Config) -> list[dict]:
    """Return a copy of a config's custom hooks, without MMEngine's marks."""
    return [
        dict(hook)
        for hook in without_scope(cfg.get('custom_hooks') or [], cfg.get('default_scope'))
    ]
