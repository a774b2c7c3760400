"""The picture has a row an image and a column a model, with the models' confident boxes."""

import matplotlib.axes
import pytest
import torch
from mmengine.structures import InstanceData

from mmkd.analysis import draw_detections
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
    assert titles == ['ground truth', 'one', 'two']
    assert texts.count('3 0.75') == 4  # two images, two models; the doubtful box is left out
    assert not any('0.10' in t for t in texts)
    assert patches.count((10, 20, 30, 40)) == 4
    annotated = sum(len(dataset.get_data_info(i)['instances']) for i in (0, 2))
    assert len(texts) == 4 + annotated
    assert path.stat().st_size > 10_000
