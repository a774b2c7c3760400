"""Runs of several methods and seeds in one table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmkd.analysis.summary_table import (
    columns_of,
    describe_gain,
    paired_gain,
    summarize,
    to_markdown,
)
from mmkd.api.planning import STUDENT

if TYPE_CHECKING:
    from mmkd.api.training import StudentRun

TEACHER = 'teacher'


def compare(runs: Sequence['StudentRun']) -> tuple[str, list[str]]:
    """Return a Markdown table of runs, and what the gains over the student alone show.

    Args:
        runs: The runs, those of one seed side by side.

    Returns:
        The table, empty if there are no metrics; and a sentence for each method beside the student
        alone.
    """
    rows: dict[str, list[dict[str, float]]] = {}
    for run in runs:
        rows.setdefault(run.method, []).append(columns_of(run.metrics['student']))
    teachers = [columns for run in runs if (columns := columns_of(run.metrics['teacher']))]
    if teachers:
        rows[TEACHER] = teachers[:1]
    names = next((list(row) for several in rows.values() for row in several if row), [])
    if not names:
        return '', []
    # Without a single detection CocoMetric gives no AP.
    full = {
        method: [dict.fromkeys(names, 0.0) | {k: row[k] for k in names if k in row} for row in each]
        for method, each in rows.items()
    }
    summary = summarize(full)
    if STUDENT not in summary:
        return to_markdown(summary, None), []
    findings = [
        describe_gain(
            method,
            paired_gain(row[names[0]]['values'], summary[STUDENT][names[0]]['values']),
            names[0],
        )
        for method, row in summary.items()
        if method not in (STUDENT, TEACHER)
    ]
    # The teacher stands first: rows below the student show their gain.
    order = [name for name in (TEACHER, STUDENT) if name in summary]
    order += [name for name in summary if name not in order]
    table = to_markdown({name: summary[name] for name in order}, STUDENT, names[0])
    return table, findings
