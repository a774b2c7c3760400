"""Labels mean the classes of ``metainfo``, whatever the order of a file's categories."""

import json

import numpy as np
import pytest
import torch
from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation import CocoMetric

NAMES = ('cat', 'dog', 'bird')
IDS = {'cat': 7, 'dog': 3, 'bird': 5}


@pytest.fixture
def write(tmp_path):
    """Function: a file of nine boxes whose categories stand in a given order."""

    def write(order=NAMES, name='file.json'):
        annotations = [
            {'id': i, 'image_id': i // 3, 'category_id': IDS[NAMES[i % 3]], 'area': 400}
            | {'bbox': [30 * (i % 3), 10 * (i // 3), 20, 20], 'iscrowd': 0}
            for i in range(9)
        ]
        content = {
            'images': [
                {'id': i, 'file_name': f'{i}.jpg', 'width': 100, 'height': 80} for i in range(3)
            ],
            'categories': [{'id': IDS[name], 'name': name} for name in order],
            'annotations': annotations,
        }
        path = tmp_path / name
        path.write_text(json.dumps(content))
        return str(path)

    return write


def dataset(path, classes=NAMES):
    return CocoDataset(
        ann_file=path,
        metainfo={'classes': classes},
        data_prefix={'img': ''},
        serialize_data=False,  # collects garbage, which takes a second
    )


def labels(data):
    return [item['bbox_label'] for info in data for item in info['instances']]


@pytest.mark.parametrize('order', [NAMES, NAMES[::-1], ('dog', 'bird', 'cat')])
def test_labels_follow_metainfo(write, order):
    path = write(order)
    assert labels(dataset(path)) == [0, 1, 2] * 3
    assert labels(dataset(path, ('bird', 'cat', 'dog'))) == [1, 2, 0] * 3
    assert labels(dataset(path, ('bird', 'dog'))) == [1, 0] * 3
    assert dataset(path).annotation_report.labels == NAMES


@pytest.mark.parametrize(
    ('order', 'use_mp_eval'),
    [(NAMES, False), (('bird', 'cat', 'dog'), False), (('dog', 'bird', 'cat'), True)],
)
def test_predictions_are_compared_by_name(write, order, use_mp_eval):
    """Everything is found but dogs, in a file of another order than in training.

    The annotation of id 0 counts, too.
    """
    train = dataset(write())
    metric = CocoMetric(write(order, 'val.json'), classwise=True, use_mp_eval=use_mp_eval)
    metric.dataset_meta = train.metainfo
    for info in train:
        found = [item for item in info['instances'] if item['bbox_label'] != 1]
        prediction = {
            'bboxes': torch.tensor([item['bbox'] for item in found]),
            'scores': torch.ones(len(found)),
            'labels': torch.tensor([item['bbox_label'] for item in found]),
        }
        sample = {'img_id': info['img_id'], 'ori_shape': (80, 100), 'pred_instances': prediction}
        metric.process({}, [sample])
    metrics = metric.evaluate(3)
    assert metrics['coco/bbox_mAP'] == pytest.approx(2 / 3, abs=1e-3)
    by_class = [metrics[f'coco/{name}_precision'] for name in NAMES]
    np.testing.assert_allclose(by_class, [1, 0, 1], atol=1e-3)


def test_names_that_are_no_list_or_missing_are_as_before(write):
    coco = COCO(write(('dog', 'cat', 'bird')))
    assert coco.get_cat_ids() == [3, 7, 5]
    assert coco.get_cat_ids(cat_names='a dog') == [3]
    assert coco.get_cat_ids(cat_names=('zebra', 'cat')) == [7]
    assert coco.get_cat_ids(cat_ids=[7, 5]) == [7, 5]


@pytest.mark.parametrize('build', [dataset, CocoMetric])
def test_errors_name_the_entry(write, build, tmp_path):
    path = write()
    content = json.loads((tmp_path / 'file.json').read_text())
    del content['annotations'][4]['area']
    (tmp_path / 'file.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r'file\.json: annotations\[4\] \(id 4\): expected area'):
        build(path)


def test_a_data_set_keeps_its_class_of_files(write):
    assert 'COCOAPI' not in vars(dataset(write()))
    assert CocoDataset.COCOAPI is COCO
