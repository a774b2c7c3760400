"""A table of several methods over several seeds, and what its gains show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from mmkd.analysis.results import ACCURACY_KEYS, AP_KEYS

# Mean, standard deviation and values of a column.
Summary = dict[str, dict[str, Any]]
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Gain:
    """A difference of means, with its confidence interval over paired seeds.

    Attributes:
        mean: Mean of the differences.
        low: Lower end of the 95 % interval; None with one seed, or without pairs.
        high: Upper end.
        pairs: Number of pairs.
    """

    mean: float
    low: float | None
    high: float | None
    pairs: int

    def __str__(self) -> str:
        interval = '' if self.low is None else f' [{self.low:+.1f}, {self.high:+.1f}]'
        return f'{self.mean:+.1f}{interval}'


def summarize(runs: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Summary]:
    """Return mean and sample standard deviation of each column, for each method.

    Args:
        runs: For each method, one mapping a seed from columns to values. The seeds of all methods
            have one order.

    Returns:
        ``{method: {column: {'mean': ..., 'std': ..., 'runs': ..., 'values': [...]}}}``. A single
        run has the deviation 0.

    Example:
        >>> summarize({'student': [{'AP': 10.0}, {'AP': 14.0}]})['student']['AP']['mean']
        12.0
    """
    return {
        method: {column: _statistics([row[column] for row in rows]) for column in rows[0]}
        for method, rows in runs.items()
    }


def _statistics(values: Sequence[float]) -> dict[str, Any]:
    std = stdev(values) if len(values) > 1 else 0.0
    return {'mean': mean(values), 'std': std, 'runs': len(values), 'values': [*values]}


def paired_gain(values: Sequence[float], baseline: Sequence[float]) -> Gain:
    """Return the gain over a baseline, with the paired 95 % interval of Student's t.

    Args:
        values: A value for each seed.
        baseline: The baseline's value for each of the same seeds. With another number of seeds
            there are no pairs, and so no interval.

    Example:
        >>> str(paired_gain([12.0, 13.0, 14.0], [10.0, 12.0, 11.0]))
        '+2.0 [-0.5, +4.5]'
    """
    if len(values) != len(baseline) or len(values) < 2:
        return Gain(mean(values) - mean(baseline), None, None, min(len(values), len(baseline)))
    from scipy.stats import t  # takes a second to import

    differences = [value - base for value, base in zip(values, baseline, strict=True)]
    count = len(differences)
    half = t.ppf((1 + CONFIDENCE) / 2, count - 1) * stdev(differences) / count**0.5
    center = mean(differences)
    return Gain(center, float(center - half), float(center + half), count)


def describe_gain(method: str, gain: Gain, column: str) -> str:
    """Say in a sentence what a gain over the student alone shows.

    Example:
        >>> describe_gain('pkd', Gain(0.4, -0.5, 1.3, 3), 'AP')
        'pkd: +0.4 AP over the student alone; the 95 % interval [-0.5, +1.3] includes 0: no gain \
shown.'
    """
    if gain.mean < 0:
        text = f'{method} is behind the student alone by {-gain.mean:.1f} {column}'
    else:
        text = f'{method}: {gain.mean:+.1f} {column} over the student alone'
    if gain.low is None or gain.high is None:
        return f'{text}; one seed gives no interval, so this may be chance (try three seeds).'
    interval = f'the 95 % interval [{gain.low:+.1f}, {gain.high:+.1f}]'
    if gain.low <= 0 <= gain.high:
        return f'{text}; {interval} includes 0: no {"loss" if gain.mean < 0 else "gain"} shown.'
    return f'{text}; {interval} of {gain.pairs} seeds excludes 0.'


def columns_of(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return metrics as a table shows them: AP and accuracy in percent by short names.

    Example:
        >>> columns_of({'coco/bbox_mAP': 0.25, 'coco/segm_mAP': 0.5})
        {'AP': 25.0, 'mask AP': 50.0}
    """
    known = {**AP_KEYS, 'mask AP': 'coco/segm_mAP'}
    found = {name: 100 * metrics[key] for name, key in known.items() if key in metrics}
    found |= {name: metrics[key] for name, key in ACCURACY_KEYS.items() if key in metrics}
    return found or {name: v for name, v in metrics.items() if isinstance(v, int | float)}


def _cell(value: Mapping[str, Any]) -> str:
    if value['mean'] < 0 and value['std'] == 0:
        return '-'  # COCO's value for "no object of this size"
    spread = f' ± {value["std"]:.1f}' if value['runs'] > 1 else ''
    return f'{value["mean"]:.1f}{spread}'


def to_markdown(summary: Mapping[str, Summary], baseline: str | None, gain_in: str = 'AP') -> str:
    """Format a summary as a Markdown table.

    Args:
        summary: As :func:`summarize` returns it.
        baseline: The methods below this one show their gain over it, with a paired 95 % interval
            if there are several seeds. None leaves the column out.
        gain_in: Column of the gain.

    Example:
        >>> rows = {'student': [{'AP': 10.0}], 'PCKA': [{'AP': 12.5}]}
        >>> print(to_markdown(summarize(rows), 'student'))
        | | AP | gain |
        |---|---|---|
        | student | 10.0 | |
        | PCKA | 12.5 | +2.5 |
    """
    methods = [*summary]
    columns = [*summary[baseline or methods[0]]]
    head = columns if baseline is None else [*columns, 'gain']
    lines = ['| | ' + ' | '.join(head) + ' |', '|---' * (len(head) + 1) + '|']
    for index, (method, row) in enumerate(summary.items()):
        line = f'| {method} | ' + ' | '.join(_cell(row[column]) for column in columns) + ' |'
        if baseline is not None:
            below = index > methods.index(baseline)
            values = (summary[name][gain_in]['values'] for name in (method, baseline))
            line += f' {paired_gain(*values)} |' if below else ' |'
        lines.append(line)
    return '\n'.join(lines)
