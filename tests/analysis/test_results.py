"""What is read of a run is what MMEngine logged."""

import json
import os

import pytest

from mmkd.analysis import plot_curves, read_run
from mmkd.analysis.summary_table import summarize, to_markdown

ROWS = [
    {'lr': 0.1, 'loss': 5.0, 'student.loss_cls': 2.0, 'distill.loss_pcka': 3.0, 'time': 0.5,
     'epoch': 1, 'step': 2},
    {'similarity': 0.25, 'step': 1},
    {'lr': 0.1, 'loss': 4.0, 'student.loss_cls': 1.5, 'distill.loss_pcka': 2.5, 'time': 1.0,
     'epoch': 1, 'step': 4},
    {'coco/bbox_mAP': 0.10, 'coco/bbox_mAP_50': 0.2, 'coco/bbox_mAP_75': 0.05,
     'coco/bbox_mAP_s': 0.1, 'coco/bbox_mAP_m': 0.3, 'coco/bbox_mAP_l': -1.0, 'step': 1},
    {'coco/bbox_mAP': 0.125, 'coco/bbox_mAP_50': 0.25, 'coco/bbox_mAP_75': 0.075,
     'coco/bbox_mAP_s': 0.1, 'coco/bbox_mAP_m': 0.3, 'coco/bbox_mAP_l': -1.0, 'step': 2},
]  # fmt: skip


def write(folder, rows, name='20260101_000000'):
    log = folder / name / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text(''.join(json.dumps(row) + '\n' for row in rows))


def test_run_is_read_from_its_scalars(tmp_path):
    write(tmp_path, ROWS)
    run = read_run(tmp_path)
    assert run.metrics == pytest.approx(
        {'AP': 12.5, 'AP50': 25, 'AP75': 7.5, 'AP_S': 10, 'AP_M': 30, 'AP_L': -100}
    )
    assert run.task_loss == [(2, 2.0), (4, 1.5)]
    assert run.similarity == [(1, 0.25)]
    assert run.seconds == pytest.approx(2 * 0.5 + 2 * 1.0)


def test_latest_run_counts(tmp_path):
    write(tmp_path, ROWS)
    write(tmp_path, ROWS[:1], name='20260102_000000')
    assert read_run(tmp_path).metrics == {}


def test_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        read_run(tmp_path)


def test_table_states_mean_spread_gain_and_missing_sizes():
    rows = {
        'teacher': [{'AP': 30.0, 'AP_L': -100.0}],
        'student': [{'AP': 10.0, 'AP_L': -100.0}, {'AP': 14.0, 'AP_L': -100.0}],
        'PCKA': [{'AP': 13.0, 'AP_L': -100.0}, {'AP': 12.0, 'AP_L': -100.0}],
    }
    assert to_markdown(summarize(rows), 'student').splitlines() == [
        '| | AP | AP_L | gain |',
        '|---|---|---|---|',
        '| teacher | 30.0 | - | |',
        '| student | 12.0 ± 2.8 | - | |',
        '| PCKA | 12.5 ± 0.7 | - | +0.5 [-31.3, +32.3] |',
    ]


def test_curves_are_drawn(tmp_path):
    import matplotlib.image

    write(tmp_path, ROWS)
    plot_curves({'student': read_run(tmp_path)}, tmp_path / 'curves.png')
    picture = matplotlib.image.imread(tmp_path / 'curves.png')
    assert picture.shape[1] > 1000
    assert len({tuple(pixel) for pixel in picture[::7, ::7].reshape(-1, picture.shape[2])}) > 5
    assert os.path.getsize(tmp_path / 'curves.png') < 200_000


def test_without_similarity_there_is_no_empty_panel(tmp_path):
    import matplotlib.image

    write(tmp_path, [row for row in ROWS if 'similarity' not in row])
    plot_curves({'student': read_run(tmp_path)}, tmp_path / 'curves.png')
    assert matplotlib.image.imread(tmp_path / 'curves.png').shape[1] == 600
