"""The picture has a row an image and a column a model, with the models' confident boxes."""

import itertools

import matplotlib.axes
import pytest
import torch
from mmengine.structures import InstanceData

from mmkd.analysis import draw_detections
from mmkd.analysis.detections import _label_place
from mmkd.analysis.score_threshold import best_threshold
from mmkd.datasets.digits import DigitScenesDataset


class Sample:
    def __init__(self, boxes, scores):
        self.pred_instances = InstanceData(
            bboxes=torch.tensor(boxes), scores=torch.tensor(scores), labels=torch.tensor([3, 7])
        )


class Detector:
    """Finds the same two boxes in every image."""

    def eval(self):
        return self

    def test_step(self, batch):
        boxes = [[10.0, 20.0, 40.0, 60.0], [1.0, 1.0, 5.0, 5.0]]
        return [Sample(boxes, [0.75, 0.1]) for _ in batch['image']]


@pytest.fixture
def dataset():
    return DigitScenesDataset(
        split='val', num_images=3, image_size=96, test_mode=True, pipeline=[Image()]
    )


class Image:
    def __call__(self, results):
        return {'image': results['img_path']}


def test_picture(dataset, tmp_path, monkeypatch):
    titles, texts, patches = [], [], []
    original = matplotlib.axes.Axes.set_title
    monkeypatch.setattr(
        matplotlib.axes.Axes,
        'set_title',
        lambda self, title, **k: titles.append(title) or original(self, title, **k),
    )
    text = matplotlib.axes.Axes.text
    monkeypatch.setattr(
        matplotlib.axes.Axes,
        'text',
        lambda self, x, y, s, **k: texts.append(s) or text(self, x, y, s, **k),
    )
    patch = matplotlib.axes.Axes.add_patch
    monkeypatch.setattr(
        matplotlib.axes.Axes,
        'add_patch',
        lambda self, p: (
            patches.append((*p.get_xy(), p.get_width(), p.get_height())) or patch(self, p)
        ),
    )
    path = tmp_path / 'picture.png'
    draw_detections({'one': Detector(), 'two': Detector()}, dataset, [0, 2], path)
    # Neither box is an object's: the threshold is the default.
    assert titles == ['ground truth', 'one\nscore ≥ 0.30', 'two\nscore ≥ 0.30']
    assert texts.count('3 0.75') == 4  # two images, two models; the doubtful box is left out
    assert not any('0.10' in t for t in texts)
    assert patches.count((10, 20, 30, 40)) == 4
    annotated = sum(len(dataset.get_data_info(i)['instances']) for i in (0, 2))
    assert len(texts) == 4 + annotated
    assert path.stat().st_size > 10_000


def detections(*scores_and_labels):
    """Boxes 0, 1, ... in a row, with scores and labels."""
    scores, labels = zip(*scores_and_labels, strict=True)
    left = torch.arange(len(scores)) * 20.0
    boxes = torch.stack([left, left * 0, left + 10, left * 0 + 10], 1)
    return boxes, torch.tensor(scores), torch.tensor(labels)


@pytest.mark.parametrize(
    ('found', 'objects', 'expected'),
    [
        ([(0.9, 0), (0.06, 0), (0.05, 0), (0.04, 0)], [0, 1], 0.06),  # an unsure model
        ([(0.9, 0), (0.8, 1), (0.7, 0)], [0, 2], 0.7),  # one of three is of the wrong class
        ([(0.9, 1), (0.8, 1)], [0, 1], 0.3),  # nothing is found
        ([(0.9, 0)], [], 0.3),
    ],
)
def test_threshold_has_the_best_f1(found, objects, expected):
    boxes, scores, labels = detections(*found)
    truth = boxes[objects]
    zeros = torch.zeros(len(objects), dtype=torch.long)
    threshold = best_threshold([(boxes, scores, labels, truth, zeros)])
    assert threshold == pytest.approx(expected)


def test_an_object_is_found_once():
    boxes, scores, labels = detections((0.9, 0), (0.5, 0))
    boxes[1] = boxes[0]
    assert best_threshold([(boxes, scores, labels, boxes[:1], labels[:1])]) == pytest.approx(0.9)


def test_labels_of_boxes_in_one_place_do_not_overlap():
    placed = []
    for _ in range(5):
        _label_place(90.0, 3.0, 6, (100, 100), placed)
    lines = sorted(y for _, y, _ in placed)
    assert all(low + 5 <= high + 1e-6 for low, high in itertools.pairwise(lines))
    assert lines[0] >= 5
    assert all(x + width <= 100 for x, _, width in placed)
