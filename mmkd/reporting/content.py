"""All that a report says, as plain data for its JSON and its page."""

import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mmkd.reporting import config_differences
from mmkd.reporting.chart_lines import (
    Chart,
    as_text,
    loss_charts,
    metric_chart,
    similarity_charts,
)
from mmkd.reporting.predicted_figures import (
    Predicted,
    changed_images,
    class_rows,
    confusion_matrices,
    confusions,
    disagreements,
    precision_recall,
    predict_all,
)
from mmkd.reporting.predictions import Detections
from mmkd.reporting.run_folder import RunFolder
from mmkd.reporting.run_groups import Group, group_runs
from mmkd.reporting.run_log import number
from mmkd.reporting.verdict import Verdict, gap_closed, judge, sentences, table_of
from mmkd.version import __version__

# A change of a class or size below this is none, in percent.
LEVEL = 0.05
NAMED = 3  # classes in a sentence
COSTS = 'costs.json'
SIZES = dict(AP_S='small', AP_M='medium', AP_L='large')


@dataclass
class Content:
    """A report.

    Attributes:
        facts: Everything in words and numbers, as in the JSON.
        charts: Metric and losses.
        similarity: Similarities to the teacher.
        precision_recall: Of detectors.
        pictures: Those that gained and those that lost most.
        matrices: The confusions of the student alone and the best method.
        color: Number of the color of each group; the teacher and the student alone have their own.
    """

    facts: dict[str, Any]
    charts: list[Chart] = field(default_factory=list)
    similarity: list[Chart] = field(default_factory=list)
    precision_recall: Chart | None = None
    pictures: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    matrices: list[dict[str, Any]] = field(default_factory=list)
    color: dict[str, str] = field(default_factory=dict)


def build_content(runs: Sequence[RunFolder], predictions: bool) -> Content:
    """Compare runs.

    Args:
        runs: The runs.
        predictions: Also predict with the last checkpoint of each.
    """
    groups = group_runs(runs)
    missing = [f'{run.path}: {problem}' for run in runs for problem in run.problems]
    verdict = judge(groups)
    alone = next((group for group in groups if group.role == 'student'), None)
    columns, table = table_of(groups)
    content = Content({}, color=_colors(groups))
    chart = metric_chart(groups, verdict.metric) if verdict.metric else None
    content.charts = ([chart] if chart else []) + loss_charts(groups)
    content.similarity = similarity_charts(groups)
    if not content.similarity:
        missing.append('similarity to the teacher: no run has the hook mmkd.FeatureSimilarityHook')
    predicted = predict_all(groups, missing) if predictions else []
    if not predictions:
        missing.append('pictures, classes and confusions: left out (--no-predictions)')
    missing += disagreements(predicted, verdict.metric)
    classes = class_rows(predicted, alone, verdict.best)
    content.precision_recall = precision_recall(predicted)
    matrices = confusion_matrices(predicted)
    changes, listed = _changes(content, predicted, matrices, verdict, alone, missing)
    where = _where(groups, table, verdict, classes, alone)
    content.facts = dict(
        made_by=f'mmkd {__version__}',
        made_at=datetime.datetime.now().isoformat(timespec='seconds'),
        title=_title(groups),
        headline=verdict.headline,
        verdict=verdict.kind,
        reason=verdict.reason,
        metric=verdict.metric,
        where=where,
        gap_closed=number(gap_closed(groups, verdict)),
        findings=sentences(verdict),
        next=_next(groups, verdict, alone),
        columns=columns,
        groups=[_group(group, table, verdict, predicted) for group in groups],
        facts=config_differences.facts(groups),
        differences=config_differences.differences(groups),
        curves=[as_text(each) for each in content.charts],
        similarity=[as_text(each) for each in content.similarity],
        kind=_kind(predicted),
        classes=classes,
        confusion_matrices=matrices,
        confusions=listed,
        precision_recall=as_text(content.precision_recall) if content.precision_recall else None,
        images=changes,
        missing=missing,
    )
    return content


def _kind(predicted: Sequence[Predicted]) -> str | None:
    if not predicted:
        return None
    return 'detector' if isinstance(predicted[0].any, Detections) else 'classifier'


def _changes(
    content: Content,
    predicted: Sequence[Predicted],
    matrices: Sequence[dict[str, Any]],
    verdict: Verdict,
    alone: Group | None,
    missing: list[str],
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """Compare the predictions of the best method with those of the student alone."""
    sides = [
        next((each for each in predicted if each.group is group), None)
        for group in (alone, verdict.best)
    ]
    before, after = sides
    names = [side.group.name for side in sides if side is not None]
    content.matrices = [matrix for matrix in matrices if matrix['name'] in names]
    if before is None or after is None or before is after:
        return None, []
    changes, content.pictures = changed_images(before, after, missing)
    content.matrices.sort(key=lambda matrix: names.index(matrix['name']))
    return changes, confusions(*content.matrices)


def _colors(groups: Sequence[Group]) -> dict[str, str]:
    """A class of the page's style for each group."""
    colors: dict[str, str] = {}
    others = 0
    for group in groups:
        if group.role in ('teacher', 'student') and group.role not in colors.values():
            colors[group.name] = group.role
        else:
            colors[group.name] = f'm{others % 6}'
            others += 1
    return colors


def _title(groups: Sequence[Group]) -> str:
    taught = [group.name for group in groups if group.role == 'distilled']
    others = [group.name for group in groups if group.role != 'teacher']
    return ', '.join(taught or others or [group.name for group in groups])


def _group(
    group: Group, table: dict[str, Any], verdict: Verdict, predicted: Sequence[Predicted]
) -> dict[str, Any]:
    gain = verdict.gains.get(group.name)
    own = next((each for each in predicted if each.group is group), None)
    return dict(
        name=group.name,
        role=group.role,
        metrics=table.get(group.name, {}),
        gain=None if gain is None else vars(gain) | dict(text=str(gain)),
        costs=own.any.costs if own is not None else {},
        measured_costs=_measured_costs(group),
        runs=[
            dict(
                folder=str(run.path),
                seed=run.seed,
                finished=run.is_finished,
                reached=run.reached,
                planned=run.planned,
                unit=run.unit,
                metrics=run.columns,
                advice=run.advice,
            )
            for run in group.runs
        ],
    )


def _measured_costs(group: Group) -> Any:
    """What ``costs.json`` in a run's folder says, or the record of an ONNX export that lies there.

    Such a record has ``costs`` by model: multiply-adds, bytes and milliseconds.
    """
    for run in group.runs:
        for path in [run.path / COSTS, *sorted(run.path.glob('*.json'))]:
            try:
                content = json.loads(path.read_bytes())
            except (OSError, ValueError, RecursionError):
                continue
            if path.name == COSTS:
                return content
            if isinstance(content, dict) and 'exported_by' in content and content.get('costs'):
                return content['costs']
    return None


def _where(
    groups: Sequence[Group],
    table: dict[str, Any],
    verdict: Verdict,
    classes: Sequence[dict[str, Any]],
    alone: Group | None,
) -> list[str]:
    """Sentences on which classes and sizes gained, and at whose expense."""
    if not verdict.gains or verdict.best is None or alone is None:
        return []
    found = []
    gains = [(row['name'], row['gain']) for row in classes if row['gain'] is not None]
    if len(gains) > 1:
        found += _named('class', 'classes', gains)
    rows = [table[group.name] for group in (verdict.best, alone)]
    sizes = [
        (size, after['mean'] - before['mean'])
        for name, size in SIZES.items()
        if (after := rows[0].get(name)) and (before := rows[1].get(name)) and before['mean'] >= 0
    ]
    if sizes:
        text = ', '.join(f'{size} {gain:+.1f}' for size, gain in sizes)
        found.append(f'By size of the objects: {text} AP.')
    return found


def _named(one: str, many: str, gains: Sequence[tuple[str, float]]) -> list[str]:
    """Say how many gained and lost, and name the extremes."""
    sentences = []
    ordered = sorted(gains, key=lambda each: -each[1])
    for verb, sign in (('gained', 1), ('lost', -1)):
        some = [each for each in ordered[::sign] if sign * each[1] > LEVEL]
        if some:
            named = ', '.join(f'{name} ({gain:+.1f})' for name, gain in some[:NAMED])
            count = f'{len(some)} of {len(gains)} {many if len(gains) > 1 else one}'
            sentences.append(f'{count} {verb}{", most" if len(some) > NAMED else ""}: {named}.')
    return sentences


def _next(groups: Sequence[Group], verdict: Verdict, alone: Group | None) -> list[str]:
    """What to do next: what the guard rails said, then what the comparison lacks."""
    found: dict[str, None] = {}
    for group in groups:
        for run in group.runs:
            seed = '' if run.seed is None else f', seed {run.seed}'
            texts = [each['text'] for each in run.advice]
            found |= dict.fromkeys(f'{group.name}{seed}: {text}.' for text in texts)
    runs = [run for group in groups for run in group.runs]
    unfinished = [run for run in runs if run.planned and not run.is_finished]
    if unfinished:
        found[f'Continue what is not finished, with --resume: {unfinished[0].path}.'] = None
    taught = any(group.role == 'distilled' for group in groups)
    if taught and (alone is None or not alone.rows):
        found['Train the student alone as well: mmkd distill --baseline.'] = None
    if verdict.kind == 'one seed':
        found['Train with three seeds, so that the gain has an interval: --seeds 0 1 2.'] = None
    if verdict.kind == 'unclear':
        found['Train with more seeds: the interval shrinks with their number.'] = None
    if verdict.gains and verdict.best and verdict.gains[verdict.best.name].mean < 0:
        found['Try another loss_weight or another method: docs/choose-a-method.md.'] = None
    return [*found]
