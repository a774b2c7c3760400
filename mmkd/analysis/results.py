"""Results of a run, read from MMEngine's log."""

import json
from dataclasses import dataclass, field
from pathlib import Path

AP_KEYS = {
    'AP': 'coco/bbox_mAP',
    'AP50': 'coco/bbox_mAP_50',
    'AP75': 'coco/bbox_mAP_75',
    'AP_S': 'coco/bbox_mAP_s',
    'AP_M': 'coco/bbox_mAP_m',
    'AP_L': 'coco/bbox_mAP_l',
}
ACCURACY_KEYS = {'top-1': 'accuracy/top1', 'top-5': 'accuracy/top5'}


@dataclass
class Run:
    """A finished training run.

    Attributes:
        metrics: Metrics of the last evaluation, in percent: AP, AP50, AP75, AP_S, AP_M and AP_L
            (-100 if the data has no box of that size), or top-1 and perhaps top-5 accuracy.
        evaluated_at: Step of that evaluation: its epoch, or iteration; 0 if there is none.
        task_loss: (step, task loss without distillation) of each logged step.
        similarity: (epoch, similarity to the teacher) of each measurement.
        seconds: Duration of all training steps, from the log.
        steps: Number of training steps.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    evaluated_at: int = 0
    task_loss: list[tuple[int, float]] = field(default_factory=list)
    similarity: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0
    steps: int = 0


def _task_loss(row: dict) -> float:
    """Return the total loss of a logged step without the distillation losses."""
    return row['loss'] - sum(v for k, v in row.items() if k.startswith('distill.') and 'loss' in k)


def read_run(work_dir: str | Path) -> Run:
    """Read the last run in a work directory.

    Args:
        work_dir: Work directory of the runner, with ``<timestamp>/vis_data/scalars.json``.

    Raises:
        FileNotFoundError: If the directory has no scalars of a run.
    """
    logs = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    if not logs:
        raise FileNotFoundError(f'work_dir: expected */vis_data/scalars.json in {work_dir}')
    run = Run()
    for line in logs[-1].read_text().splitlines():
        row = json.loads(line)
        if 'loss' in row:
            run.task_loss.append((row['step'], _task_loss(row)))
            run.seconds += row['time'] * (row['step'] - run.steps)
            run.steps = row['step']
        elif 'similarity' in row:
            run.similarity.append((row['step'], row['similarity']))
        elif AP_KEYS['AP'] in row:
            run.metrics = {name: 100 * row[key] for name, key in AP_KEYS.items()}
            run.evaluated_at = row['step']
        elif ACCURACY_KEYS['top-1'] in row:
            # Accuracy is logged in percent.
            run.metrics = {name: row[key] for name, key in ACCURACY_KEYS.items() if key in row}
            run.evaluated_at = row['step']
    return run
