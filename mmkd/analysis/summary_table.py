"""A table of several methods over several seeds."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev

Summary = dict[str, dict[str, float]]


def summarize(runs: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Summary]:
    """Return mean and sample standard deviation of each column, for each method.

    Args:
        runs: For each method, one mapping a seed from columns to values.

    Returns:
        ``{method: {column: {'mean': ..., 'std': ..., 'runs': ...}}}``. A single run has the
        deviation 0.

    Example:
        >>> summarize({'student': [{'AP': 10.0}, {'AP': 14.0}]})['student']['AP']['mean']
        12.0
    """
    return {
        method: {
            column: {
                'mean': mean(row[column] for row in rows),
                'std': stdev(row[column] for row in rows) if len(rows) > 1 else 0.0,
                'runs': len(rows),
            }
            for column in rows[0]
        }
        for method, rows in runs.items()
    }


def _cell(value: Mapping[str, float]) -> str:
    if value['mean'] < 0 and value['std'] == 0:
        return '-'  # COCO's value for "no object of this size"
    spread = f' ± {value["std"]:.1f}' if value['runs'] > 1 else ''
    return f'{value["mean"]:.1f}{spread}'


def to_markdown(summary: Mapping[str, Summary], baseline: str, gain_in: str = 'AP') -> str:
    """Format a summary as a Markdown table, with the gain over ``baseline`` in ``gain_in``.

    Example:
        >>> rows = {'student': [{'AP': 10.0}], 'PCKA': [{'AP': 12.5}]}
        >>> print(to_markdown(summarize(rows), 'student'))
        | | AP | gain |
        |---|---|---|
        | student | 10.0 | |
        | PCKA | 12.5 | +2.5 |
    """
    columns = list(summary[baseline])
    lines = ['| | ' + ' | '.join([*columns, 'gain']) + ' |', '|---' * (len(columns) + 2) + '|']
    base = list(summary).index(baseline)
    for index, (method, row) in enumerate(summary.items()):
        gain = ''
        if index > base:
            gain = f'{row[gain_in]["mean"] - summary[baseline][gain_in]["mean"]:+.1f} '
        cells = ' | '.join(_cell(row[column]) for column in columns)
        lines.append(f'| {method} | {cells} | {gain}|')
    return '\n'.join(lines)
