"""In what the settings of runs differ."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from mmkd.reporting.run_folder import RunFolder
from mmkd.reporting.run_groups import PLACES, Group, settings_of

# Hooks that measure and check, and change no training.
WATCHING = (
    'AdviceHook',
    'AtomicCheckpointHook',
    'DataCheckHook',
    'EpochSeedHook',
    'FeatureSimilarityHook',
    'FiniteLossHook',
    'MissedEvaluationHook',
    'TeacherEvaluationHook',
)
_SETTINGS = {*inspect.signature(Runner).parameters} - {*PLACES}
NOT_SET = '—'


def differences(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Return each setting in which the students' runs differ, with its value by group.

    A distillation is compared by its student, its teacher, and its losses.
    """
    settings = {
        group.name: dict(_flat(_comparable(group.runs[0])))
        for group in groups
        if group.runs and group.role != 'teacher'
    }
    names = list(dict.fromkeys(name for each in settings.values() for name in each))
    rows: list[dict[str, Any]] = [
        dict(
            setting=name,
            values={group: each.get(name, NOT_SET) for group, each in settings.items()},
        )
        for name in names
    ]
    return [row for row in rows if len({*row['values'].values()}) > 1]


def _comparable(run: RunFolder) -> dict[str, Any]:
    config = run.student
    if config is None:
        return {}
    plain = config._cfg_dict.to_dict()
    found = {name: value for name, value in plain.items() if name in _SETTINGS}
    for name in ('custom_hooks', 'default_hooks'):
        hooks = found.pop(name, None) or {}
        for hook in hooks.values() if isinstance(hooks, Mapping) else hooks:
            kind = str(hook.get('type', '')).rpartition('.')[2] if hook else ''
            if kind and kind not in WATCHING:
                found[f'hook {kind}'] = {k: v for k, v in hook.items() if k != 'type'}
    found.get('randomness', {}).pop('seed', None)
    if run.is_distilled:
        model = settings_of(run)['model']
        found['algorithm'] = model['type']
        found['teacher'] = run.teacher or model['teacher']
        for name, loss in run.losses.items():
            found[f'loss {name}'] = loss
        found['connectors'] = (model.get('distiller') or {}).get('connectors') or {}
    return found


def _flat(value: Any, name: str = '') -> Iterator[tuple[str, str]]:
    """Yield each setting by its dotted key, as text."""
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from _flat(part, f'{name}.{key}' if name else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(part, Mapping) for part in value):
        for index, part in enumerate(value):
            yield from _flat(part, f'{name}[{index}]')
    elif not (isinstance(value, Mapping | list | tuple) and not value):
        text = value if isinstance(value, str) else repr(value)
        yield name, text


def facts(groups: Sequence[Group]) -> list[tuple[str, str]]:
    """What was run, as far as all runs share it: models, data, schedule."""
    runs = [run for group in groups for run in group.runs if run.config is not None]
    taught = next((run for run in runs if run.is_distilled), None)
    students = [run for group in groups if group.role != 'teacher' for run in group.runs]
    first = taught or next((run for run in students if run.config is not None), None)
    if first is None or first.config is None:
        return []
    found = []
    if taught is not None:
        teacher = taught.teacher or {}
        checkpoint = str(teacher.get('checkpoint', '')).rpartition('/')[2]
        found.append(('Teacher', ', '.join(filter(None, [_model(teacher), checkpoint]))))
    found.append(('Student', _model(first.model.get('architecture', first.model))))
    found.append(('Data', _data(first.config)))
    found.append(('Schedule', _schedule(first)))
    seeds = sorted({run.seed for run in students if run.seed is not None})
    if seeds:
        found.append(('Seeds', ', '.join(map(str, seeds))))
    return [(name, text) for name, text in found if text]


def _model(config: Mapping[str, Any]) -> str:
    if 'cfg_path' in config:
        return str(config['cfg_path'])
    parts = config.get('type'), (config.get('backbone') or {}).get('type')
    return ', '.join(str(part) for part in parts if part)


def _data(config: Config) -> str:
    dataset = (config.get('train_dataloader') or {}).get('dataset') or {}
    while isinstance(dataset.get('dataset'), Mapping):
        dataset = dataset['dataset']
    root = dataset.get('data_root') or dataset.get('ann_file') or ''
    return ', '.join(filter(None, [str(dataset.get('type', '')), str(root)]))


def _schedule(run: RunFolder) -> str:
    config = run.config or {}
    batch = (config.get('train_dataloader') or {}).get('batch_size')
    optimizer = (config.get('optim_wrapper') or {}).get('optimizer') or {}
    parts = [f'{run.planned} {run.unit}s' if run.planned else '']
    parts.append(f'{batch} images a step and process' if batch else '')
    parts.append(f'{optimizer.get("type", "")} with learning rate {optimizer.get("lr", "")}')
    return ', '.join(filter(None, parts))
