"""Annotations from which a detector cannot learn are counted by kind."""

import numpy as np
import pytest

from mmkd.datasets.annotations.annotation_report import annotation_report

BOXES = [[10, 10, 20, 20], [50, 40, 20, 30], [30, 5, 5, 5], [0, 0, 100, 80]]


def report(boxes=BOXES, cat_ids=(1, 2), changes=(), **more):
    content = {
        'images': [{'id': i, 'file_name': f'{i}.jpg', 'width': 100, 'height': 80} for i in (0, 1)],
        'categories': [{'id': i, 'name': name} for i, name in enumerate('abc', 1)],
        'annotations': [
            {'id': i, 'image_id': i % 2, 'category_id': 1 + i % 2, 'bbox': box, 'area': 9, **more}
            for i, box in enumerate(boxes)
        ],
    }
    for index, change in enumerate(changes):
        content['annotations'][index].update(change)
    return annotation_report(content, cat_ids)


def test_good_annotations_have_no_problem():
    good = report()
    assert (good.total, good.lost, good.outside, good.problem()) == (4, (), None, '')
    assert good.labels == ('a', 'b')
    assert good.warnings() == []
    assert report(cat_ids=(2, 1)).labels == ('b', 'a')


def test_other_categories_of_the_file_are_not_counted():
    assert report(cat_ids=(1,)).total == 2
    assert report([], cat_ids=(3,)).problem() == ''
    assert report(changes=[{'ignore': 1}]).total == 3


@pytest.mark.parametrize(
    ('change', 'what'),
    [
        ({'category_id': 9}, '1 annotations of no category of the file'),
        ({'category_id': '1'}, '1 annotations of no category of the file'),
        ({'image_id': 7}, '1 annotations of no image of the file'),
        ({'image_id': '0'}, '1 annotations of no image of the file'),
        ({'bbox': [10, 10, 0, 5]}, '1 boxes with a width or height below 1'),
        ({'bbox': [10, 10, -4, -5]}, '1 boxes with a width or height below 1'),
        ({'bbox': [200, 10, 4, 5]}, '1 boxes outside of their image'),
        ({'bbox': [-50, 10, 4, 5]}, '1 boxes outside of their image'),
        ({'area': 0}, '1 annotations with an area of 0 or less'),
    ],
)
def test_flaws_are_counted_with_an_example(change, what):
    one = report(changes=[change])
    assert one.lost_count == 1
    assert one.problem() == ''
    (warning,) = one.warnings()
    assert warning.startswith(f'{what} (first: annotation 0, bbox [')
    most = report(changes=[change] * 3)
    assert 'expected annotations to learn from, but 3 of 4 are lost: 3 ' in most.problem()


def test_boxes_in_other_units_are_recognized():
    relative = [[x / 100, y / 80, w / 100, h / 80] for x, y, w, h in BOXES]
    assert 'most within [0, 1], relative to the image' in report(relative).problem()
    corners = [[x, y, x + w, y + h] for x, y, w, h in BOXES]
    assert 'they seem to be corners [x1, y1, x2, y2]' in report(corners).problem()


def many_boxes(as_stored, count=40):
    """A report of random boxes in images of 640 x 480, stored in another way."""
    draw = np.random.default_rng(0)
    size = np.array([640, 480])
    wh = size * draw.uniform(0.05, 0.6, (count, 2))
    start = draw.uniform(0, 1, (count, 2)) * (size - wh)
    image = {'width': 640, 'height': 480, 'file_name': '0.jpg', 'id': 0}
    content = {
        'images': [image],
        'categories': [{'id': 1, 'name': 'a'}],
        'annotations': [
            {'id': i, 'image_id': 0, 'category_id': 1, 'bbox': box.tolist(), 'area': 9}
            for i, box in enumerate(np.hstack(as_stored(start, wh, size)))
        ],
    }
    return annotation_report(content, (1,))


def test_percents_and_centers_are_doubted():
    assert many_boxes(lambda start, wh, size: (start, wh)).warnings() == []
    percents = many_boxes(lambda start, wh, size: (100 * start / size, 100 * wh / size))
    assert (percents.problem(), 'percents' in percents.warnings()[-1]) == ('', True)
    centers = many_boxes(lambda start, wh, size: (start + wh / 2, wh))
    assert (centers.problem(), 'may be centers' in centers.warnings()[-1]) == ('', True)
    few = many_boxes(lambda start, wh, size: (100 * start / size, 100 * wh / size), 10)
    assert few.warnings() == []


def test_boxes_that_end_a_little_outside_are_only_told():
    slightly = report([*BOXES, [90, 10, 30, 5]])
    assert slightly.problem() == ''
    assert slightly.warnings()[0].startswith('1 boxes that end outside of their image')
    assert report([*BOXES, [90, 10, 11.5, 5]]).warnings() == []  # rounding


def test_shifted_category_ids_are_recognized():
    shifted = report(cat_ids=(1, 2, 3), changes=[{'category_id': i} for i in (0, 1, 2, 0)])
    assert 'categories (1 to 3) in annotations, got 0 to 2' in shifted.problem()


def test_nothing_but_crowds_and_no_masks():
    assert 'all of 4 annotations are crowds' in report(iscrowd=1).problem()
    assert report(iscrowd=1, changes=[{'iscrowd': 0}]).problem() == ''
    assert 'expected a segmentation in each annotation, got 4' in report().problem(has_masks=True)
    assert report(segmentation=[[1, 1, 9, 1, 9, 9]]).problem(has_masks=True) == ''


@pytest.mark.parametrize(
    'mask',
    ['abc', [1, 2, 3, 4, 5, 6], [['1'] * 6], [[float('nan')] * 6], {'size': [1, 1], 'counts': []}],
)
def test_masks_that_cannot_be_read_are_missing(mask):
    content = {
        'images': [{'id': 1, 'file_name': 'a.png', 'width': 9, 'height': 9}],
        'categories': [{'id': 1, 'name': 'cat'}],
        'annotations': [
            {
                'id': 1,
                'image_id': 1,
                'category_id': 1,
                'bbox': [1, 1, 5, 5],
                'area': 25,
                'segmentation': mask,
            }
        ],
    }
    assert 'expected a segmentation' in annotation_report(content, [1]).problem(has_masks=True)
    assert not annotation_report(content, [1]).problem()
