"""Scores of detections, counted by hand and by COCO's metric."""

import numpy as np
import pytest

from mmkd.reporting.classification_scores import score_classifications
from mmkd.reporting.detection_scores import score_detections
from mmkd.reporting.pictures import most_changed
from mmkd.reporting.predictions import Classifications, Detections, digest_of, load, save

A, B = (0, 0, 10, 10), (50, 50, 60, 60)


def detections(truth, found, classes=('cat', 'dog'), ignored=()):
    """Predictions of images, each a list of (box, label) or (box, label, score)."""

    def column(images, index, kind):
        return np.array([each[index] for image in images for each in image], kind)

    flags = np.zeros(sum(map(len, truth)), bool)
    flags[list(ignored)] = True
    return Detections(
        classes=classes,
        truth=column(truth, 1, int),
        answers=column(found, 1, int),
        scores=column(found, 2, np.float32),
        truth_boxes=column(truth, 0, np.float32).reshape(-1, 4),
        truth_counts=np.array([len(image) for image in truth]),
        truth_ignored=flags,
        boxes=column(found, 0, np.float32).reshape(-1, 4),
        counts=np.array([len(image) for image in found]),
        paths=np.array([f'{index}.png' for index in range(len(truth))]),
    )


def test_counts_of_a_small_case():
    truth = [[(A, 0), (B, 1)], [(A, 1)], []]
    found = [
        [(A, 0, 0.9), (B, 0, 0.8)],  # a cat, and a dog taken for a cat
        [((30, 30, 40, 40), 1, 0.7), (A, 1, 0.6)],  # one box on background, one dog
        [],
    ]
    scores = score_detections(detections(truth, found))
    # F1 of the boxes with the best n scores: 2/4, 2/5, 2/6, 4/7. The last is best.
    assert scores.threshold == pytest.approx(0.6)
    #                                cat dog missed
    assert scores.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 0]]
    assert scores.right.tolist() == [1, 1, 0]
    assert scores.wrong.tolist() == [1, 1, 0]
    assert scores.missed.tolist() == [1, 0, 0]
    assert scores.quality() == pytest.approx([50, 200 / 3, 100])
    assert scores.is_right.tolist() == [True, False, False, True]
    # Cats: precision 1 at each recall. Dogs: one of two found as the second box: 1/2 up to 0.5.
    assert scores.by_class == pytest.approx([100, 100 * 0.5 * 51 / 101])
    assert scores.ap == pytest.approx(np.mean(scores.by_class))
    assert scores.precision[0] == pytest.approx(75)
    assert scores.precision[-1] == pytest.approx(50)


def test_crowds_count_neither_way():
    truth = [[(A, 0), (B, 0)]]
    found = [[(A, 0, 0.9), ((50, 50, 56, 60), 0, 0.8)]]
    scores = score_detections(detections(truth, found, ignored=[1]))
    assert (scores.right.tolist(), scores.wrong.tolist(), scores.missed.tolist()) == ([1], [0], [0])
    assert scores.confusion.sum() == 1
    assert scores.ap == pytest.approx(100)


@pytest.mark.parametrize('found', [[[], []], [[(B, 1, 0.4)], []]])
def test_nothing_found(found):
    scores = score_detections(detections([[(A, 0)], [(A, 0)]], found))
    assert scores.ap == 0
    assert scores.by_class == [0, None]  # no dog is there
    assert scores.missed.tolist() == [1, 1]
    assert scores.confusion[0].tolist() == [0, 0, 2]


def test_no_object_at_all():
    scores = score_detections(detections([[]], [[(A, 0, 0.9)]]))
    assert (scores.ap, scores.by_class) == (0, [None, None])
    assert scores.confusion[2].tolist() == [1, 0, 0]


def test_every_object_is_in_one_row_of_the_confusions():
    rng = np.random.default_rng(0)

    def boxes(count, *more):
        corners = rng.uniform(0, 60, (count, 2))
        sides = rng.uniform(10, 40, (count, 2))
        rows = np.concatenate([corners, corners + sides], 1)
        return [(tuple(row), int(rng.integers(3)), *(f() for f in more)) for row in rows]

    truth = [boxes(rng.integers(6)) for _ in range(20)]
    found = [boxes(rng.integers(9), rng.random) for _ in range(20)]
    predictions = detections(truth, found, classes=('a', 'b', 'c'))
    scores = score_detections(predictions)
    counts = np.bincount(predictions.truth, minlength=3)
    assert scores.confusion[:3].sum(1).tolist() == counts.tolist()
    kept = predictions.scores >= scores.threshold
    columns = np.bincount(predictions.answers[kept], minlength=3)
    assert scores.confusion[:, :3].sum(0).tolist() == columns.tolist()
    assert scores.confusion.diagonal().sum() == scores.right.sum()


def test_images_that_changed_most():
    truth = [[(A, 0)], [(A, 0), (B, 0)], [(A, 0)], [(A, 0)]]
    hit, none = [(A, 0, 0.9)], []
    before = score_detections(detections(truth, [none, none, hit, hit]))
    after = score_detections(detections(truth, [hit, [*hit, (B, 0, 0.9)], none, hit]))
    assert most_changed(before, after) == ([1, 0], [2])  # among equals the fuller image first


def classifications():
    return Classifications(
        classes=('a', 'b', 'c'),
        truth=np.array([0, 0, 0, 1]),
        answers=np.array([0, 0, 1, 1]),
        scores=np.array([0.9, 0.8, 0.7, 0.6], np.float32),
        costs=dict(parameters=3, flops=None),
    )


def test_classifier():
    scores = score_classifications(classifications())
    assert scores.accuracy == 75
    assert scores.by_class == [pytest.approx(200 / 3), 100, None]
    assert scores.precision == [100, 50, None]
    assert scores.confusion.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert scores.quality().tolist() == [100, 100, 0, 100]


def test_predictions_are_read_back_only_if_made_of_the_same(tmp_path):
    path = tmp_path / 'predictions.npz'
    made = detections([[(A, 0)]], [[(A, 1, 0.5)]], classes=('<b>', 'x'))
    for each in (made, classifications()):
        save(each, path, 'digest')
        again = load(path, 'digest')
        assert type(again) is type(each)
        assert (again.classes, again.costs) == (each.classes, each.costs)
        assert again.same_truth(each)
        assert again.scores.tolist() == each.scores.tolist()
        assert load(path, 'another') is None
    for damaged in (b'', b'PK\x03\x04', path.read_bytes()[:-200]):
        path.write_bytes(damaged)
        assert load(path, 'digest') is None


def test_digest_follows_settings_checkpoint_and_annotations(tmp_path):
    (tmp_path / 'val.json').write_text('[]')
    (tmp_path / 'epoch_1.pth').write_text('w')
    data = {'dataset': {'data_root': str(tmp_path), 'ann_file': 'val.json'}, 'batch_size': 2}
    files = [tmp_path / 'epoch_1.pth']
    digests = [digest_of(data, files), digest_of(data, files)]
    digests.append(digest_of({**data, 'batch_size': 3}, files))
    (tmp_path / 'val.json').write_text('[1]')
    digests.append(digest_of(data, files))
    (tmp_path / 'epoch_1.pth').write_text('other')
    digests.append(digest_of(data, files))
    assert digests[0] == digests[1]
    assert len({*digests}) == 4
