"""Gains with their paired intervals, in a table and in sentences."""

import re

import pytest
from scipy import stats

from mmkd.analysis.summary_table import (
    Gain,
    columns_of,
    describe_gain,
    paired_gain,
    summarize,
    to_markdown,
)


@pytest.mark.parametrize('values', [[12.0, 13.0, 14.5], [9.0, 30.0, -4.0], [1.0, 2.0, 3.0]])
def test_interval_is_that_of_students_t(values):
    baseline = [10.0, 12.0, 11.0]
    gain = paired_gain(values, baseline)
    test = stats.ttest_rel(values, baseline)
    low, high = test.confidence_interval(0.95)
    assert (gain.low, gain.high) == pytest.approx((low, high))
    assert gain.mean == pytest.approx((low + high) / 2)
    assert (gain.low > 0 or gain.high < 0) == (test.pvalue < 0.05)


def test_equal_differences_have_an_interval_of_no_width():
    assert paired_gain([2.0, 3.0], [1.0, 2.0]) == Gain(1.0, 1.0, 1.0, 2)


@pytest.mark.parametrize(('values', 'baseline'), [([2.0], [1.0]), ([2.0, 4.0], [2.0])])
def test_without_pairs_there_is_no_interval(values, baseline):
    gain = paired_gain(values, baseline)
    assert (gain.mean, gain.low, gain.high) == (1.0, None, None)
    assert str(gain) == '+1.0'


@pytest.mark.parametrize(
    ('gain', 'text'),
    [
        (Gain(1.0, 0.5, 1.5, 3), r'\+1\.0 AP over the student alone; .* of 3 seeds excludes 0'),
        (Gain(1.0, -0.5, 2.5, 3), r'\[-0\.5, \+2\.5\] includes 0: no gain shown'),
        (Gain(-1.0, -2.5, 0.5, 3), 'behind the student alone by 1.0 AP; .* no loss shown'),
        (Gain(-1.0, -1.5, -0.5, 3), 'behind the student alone by 1.0 AP; .* excludes 0'),
        (Gain(1.0, None, None, 1), 'one seed gives no interval, so this may be chance'),
        (Gain(-1.0, None, None, 1), 'behind the student alone by 1.0 AP; one seed'),
    ],
)
def test_sentence_says_what_is_shown(gain, text):
    sentence = describe_gain('pkd', gain, 'AP')
    assert sentence.startswith('pkd')
    assert re.search(text, sentence), sentence


def test_table_without_a_baseline_has_no_gain():
    assert to_markdown(summarize({'pkd': [{'AP': 1.0}]}), None).splitlines() == [
        '| | AP |',
        '|---|---|',
        '| pkd | 1.0 |',
    ]


def test_columns_are_short_names_or_the_metrics_own():
    assert columns_of({'coco/bbox_mAP': 0.5, 'coco/bbox_mAP_copypaste': '0.5'}) == {'AP': 50.0}
    assert columns_of({'accuracy/top1': 70.0, 'other': 1}) == {'top-1': 70.0}
    assert columns_of({'pascal_voc/mAP': 0.5, 'text': 'a'}) == {'pascal_voc/mAP': 0.5}
    assert columns_of({}) == {}
