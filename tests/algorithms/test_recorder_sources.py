"""What the algorithm reads off MMRazor's recorders."""

import pytest
from helpers import toy_detector
from mmrazor.models.task_modules import RecorderManager

from mmkd.algorithms.recorder_sources import cheapest_mode, check_sources, release


def manager(*sources):
    """Recorders of (type, source) pairs."""
    return RecorderManager(
        {
            f'r{i}': {'type': f'mmrazor.{kind}', 'source': source}
            for i, (kind, source) in enumerate(sources)
        }
    )


BACKBONE = ('ModuleOutputs', 'backbone.0')
NECK = ('ModuleInputs', 'neck')
HEAD = ('ModuleOutputs', 'bbox_head')
HEAD_WEIGHT = ('Parameter', 'bbox_head.weight')
METHOD = ('MethodOutputs', 'helpers.ToyDetector.extract_feat')
FUNCTION = ('FunctionOutputs', 'helpers.toy_detector')


@pytest.mark.parametrize(
    ('sources', 'mode'),
    [
        ([], 'features'),
        ([BACKBONE, NECK], 'features'),
        ([NECK, HEAD_WEIGHT], 'features'),
        ([NECK, HEAD], 'tensor'),
        ([('ModuleInputs', 'bbox_head')], 'tensor'),
        ([('ModuleOutputs', 'backbone_of_another_kind')], 'tensor'),
        ([METHOD, NECK], 'loss'),
        ([HEAD, FUNCTION], 'loss'),
    ],
)
def test_cheapest_mode(sources, mode):
    assert cheapest_mode(manager(*sources)) == mode
    assert cheapest_mode(manager(*sources), deliveries=True) == 'loss'


def test_known_sources_pass():
    check_sources(manager(BACKBONE, NECK, HEAD, HEAD_WEIGHT, METHOD, FUNCTION), toy_detector(), 'x')


@pytest.mark.parametrize(
    ('kind', 'source', 'close'),
    [
        ('ModuleOutputs', 'nek', 'neck'),
        ('ModuleInputs', 'backbone.9', 'backbone.0'),
        ('Parameter', 'bbox_head.wieght', 'bbox_head.weight'),
        ('ModuleOutputs', 'bbox_head.weight', 'bbox_head'),  # a parameter is no module
        ('ModuleOutputs', '???', 'backbone, neck, bbox_head'),
    ],
)
def test_unknown_source_lists_close_names(kind, source, close):
    with pytest.raises(ValueError, match='student_recorders') as caught:
        check_sources(manager(NECK, (kind, source)), toy_detector(), 'student')
    noun = 'parameter' if kind == 'Parameter' else 'module'
    start = f'student_recorders.r1: the student (ToyDetector) has no {noun} {source!r}; close to it'
    message, names = str(caught.value).split(': ', 2)[0::2]
    assert str(caught.value).startswith(start)
    assert message == 'student_recorders.r1'
    assert close in names


def test_release_drops_records_but_not_parameters():
    model, recorders = toy_detector(), manager(HEAD_WEIGHT, METHOD)
    recorders.initialize(model)
    recorders.get_recorder('r1').data_buffer.append('feature')
    release(recorders)
    assert recorders.get_recorder('r0').get_record_data() is model.bbox_head.weight
    assert recorders.get_recorder('r1').data_buffer == []
