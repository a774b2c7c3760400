"""Features and labels of ground-truth instances."""

import contextlib
import math

import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.structures import InstanceData
from torch.nn import functional as F

from mmkd.recorders import InstanceFeaturesRecorder, InstanceLabelsRecorder
from mmkd.recorders.step_context import StepContext, open_step

HEIGHT, WIDTH = 256, 320
BOXES = [
    [[30.0, 40.0, 90.0, 100.0], [100.5, 60.25, 290.0, 211.0]],
    [[200.0, 33.0, 213.0, 47.0]],
]
NO_BOXES = torch.zeros(0, 4)


def samples_of(*images, kind=torch.tensor, size=(HEIGHT, WIDTH)):
    """Samples with these boxes, whose labels count through the batch."""
    samples, label = [], 0
    for boxes in images:
        labels = torch.arange(label, label + len(boxes))
        label += len(boxes)
        boxes = kind(boxes) if len(boxes) else NO_BOXES
        sample = DetDataSample(gt_instances=InstanceData(bboxes=boxes, labels=labels))
        sample.set_metainfo({'img_shape': size})
        samples.append(sample)
    return samples


def recorder_of(features, **arguments):
    """A recorder after a forward pass in which its module returned ``features``."""
    recorder = InstanceFeaturesRecorder('neck', **arguments)
    recorder.data_buffer.append(features)
    return recorder


def step_of(samples, seed=0):
    return open_step(StepContext(samples, seed))


def pooled(features, samples, *, seed=0, data_idx=None, **arguments):
    """What a recorder makes of features in a step of their own."""
    with step_of(samples, seed):
        return recorder_of(features, **arguments).get_record_data(data_idx=data_idx)


def ramps(strides, directions=((1.0, 0.0), (0.0, 1.0)), *, images=2, size=(HEIGHT, WIDTH)):
    """Maps whose value at a place of the image is its x and y in pixels, in given directions."""
    levels = []
    for stride in strides:
        x = (torch.arange(size[1] // stride) + 0.5) * stride
        y = (torch.arange(size[0] // stride) + 0.5) * stride
        level = torch.stack([a * x[None] + b * y[:, None] for a, b in directions])
        levels.append(level.expand(images, -1, -1, -1))
    return tuple(levels)


def centers(images):
    return torch.tensor([[(b[0] + b[2]) / 2, (b[1] + b[3]) / 2] for boxes in images for b in boxes])


def sampled(level, box, cells):
    """A box in bilinear samples, one a feature pixel: their mean in each of the cells."""
    stride = WIDTH / level.shape[-1]
    each = [math.ceil((box[i + 2] - box[i]) / stride / cells) for i in (0, 1)]
    x, y = (
        box[i]
        + (torch.arange(cells * n, dtype=torch.float64) + 0.5) * (box[i + 2] - box[i]) / (cells * n)
        for i, n in enumerate(each)
    )
    grid = torch.stack(torch.meshgrid(2 * x / WIDTH - 1, 2 * y / HEIGHT - 1, indexing='xy'), -1)
    samples = F.grid_sample(level[None], grid[None], padding_mode='border', align_corners=False)
    return F.avg_pool2d(samples[0], each[::-1])


@pytest.mark.parametrize('output_size', [1, 3, 7])
def test_a_box_is_the_mean_of_bilinear_samples(output_size):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 3, HEIGHT // 8, WIDTH // 8, generator=generator).double()
    arguments = {'strides': [8], 'output_size': output_size}
    cells = pooled((features,), samples_of(*BOXES), mean=False, **arguments)
    expected = [sampled(features[i], box, output_size) for i in (0, 1) for box in BOXES[i]]
    torch.testing.assert_close(cells, torch.stack(expected))
    rows = pooled(features, samples_of(*BOXES), **arguments)  # a lone level is one, too
    torch.testing.assert_close(rows, torch.stack(expected).mean((2, 3)))


def fpn_level(box, finest, count):
    """Lin et al. (2017), eq. 1: k = 4 + log2(side / 224), level 2 having a stride of 4."""
    side = math.sqrt((box[2] - box[0]) * (box[3] - box[1]))
    level = math.floor(4 + math.log2(side / 224)) - int(math.log2(finest))
    return min(max(level, 0), count - 1)


@pytest.mark.parametrize('strides', [(4, 8, 16, 32), (8, 16, 32), (16, 32, 64, 128), (8,)])
def test_a_box_is_pooled_from_the_level_of_its_size(strides):
    sides = [1, 20, 60, 111, 112, 113, 200, 224, 300, 447, 448, 500, 900, 1000]
    boxes = [[8.0, 8.0, 8.0 + 2 * side, 8.0 + side / 2] for side in sides]
    levels = tuple(
        torch.full((1, 1, 2048 // stride, 2048 // stride), float(index))
        for index, stride in enumerate(strides)
    )
    expected = [[float(fpn_level(box, strides[0], len(strides)))] for box in boxes]
    rows = pooled(levels, samples_of(boxes), strides=strides)
    torch.testing.assert_close(rows, torch.tensor(expected))
    assert len(strides) == 1 or len({level for (level,) in expected}) > 1


def test_finest_scale():
    levels = (torch.zeros(1, 1, 40, 40), torch.ones(1, 1, 20, 20))
    boxes = [[0.0, 0.0, side, side] for side in (39.0, 41.0, 100.0, 223.0, 225.0)]
    of = [
        pooled(levels, samples_of(boxes), strides=(8, 16), **arguments).flatten().round().tolist()
        for arguments in ({}, {'finest_scale': 20}, {'finest_scale': 112})
    ]
    assert of == [[0, 0, 0, 0, 1], [0, 1, 1, 1, 1], [0, 0, 0, 0, 1]]


@pytest.mark.parametrize('kind', [torch.tensor, lambda rows: HorizontalBoxes(torch.tensor(rows))])
def test_a_ramp_has_its_value_at_the_center(kind):
    rows = pooled(ramps((8, 16, 32)), samples_of(*BOXES, kind=kind), strides=(8, 16, 32))
    torch.testing.assert_close(rows, centers(BOXES))


def test_networks_of_other_strides_and_channels_see_the_same_place():
    directions = ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (2.0, -1.0))
    teacher = ramps((4, 8, 16), directions)
    student = ramps((8, 16, 32, 64))
    views = {'num_views': 3, 'jitter': 0.2}
    teachers = pooled(teacher, samples_of(*BOXES), strides=(4, 8, 16), **views)
    students = pooled(student, samples_of(*BOXES), strides=(8, 16), output_size=5, **views)
    assert teachers.shape == (9, 4)
    torch.testing.assert_close(students, teachers[:, :2])
    torch.testing.assert_close(teachers[:3, :2], centers(BOXES))
    torch.testing.assert_close(teachers[:, 2], students.sum(1))


def test_views_are_near_the_ground_truth_view_by_view():
    boxes = [
        [[100.0, 100.0, 140.0, 140.0], [200.0, 100.0, 220.0, 180.0]],
        [[60.0, 60.0, 90.0, 90.0]],
    ]
    views = pooled(ramps((4,)), samples_of(*boxes), strides=(4,), num_views=4, jitter=0.3)
    sides = torch.tensor([[40.0, 40.0], [20.0, 80.0], [30.0, 30.0]])
    shift = (views.view(4, 3, 2) - centers(boxes)) / sides
    torch.testing.assert_close(shift[0], torch.zeros(3, 2), atol=1e-5, rtol=0)
    assert (shift.abs() < 0.3).all()
    assert len(shift[1:].flatten().unique()) == 18  # no two draws alike
    still = pooled(ramps((4,)), samples_of(*boxes), strides=(4,), num_views=2, jitter=0.0)
    torch.testing.assert_close(still, centers(boxes).repeat(2, 1))


def test_both_networks_see_the_same_boxes_in_a_step():
    with step_of(samples_of(*BOXES)):
        one, other = (
            recorder_of(ramps((8,)), strides=(8,), num_views=2).get_record_data() for _ in range(2)
        )
    assert torch.equal(one, other)


def counted(recorder):
    """The recorder, and its calls of RoIAlign."""
    calls = []
    recorder._extractor.register_forward_hook(lambda *_: calls.append(1))
    return recorder, calls


def test_a_recorder_pools_once_a_step_for_all_losses():
    features = tuple(level.clone().requires_grad_() for level in ramps((8, 16)))
    recorder, calls = counted(recorder_of(features, strides=(8, 16), num_views=4))
    with step_of(samples_of(*BOXES)):
        rows = recorder.get_record_data()
        views = [recorder.get_record_data(data_idx=view) for view in range(4)]
        assert recorder.get_record_data() is rows
    assert len(calls) == 1
    assert torch.equal(torch.cat(views), rows)
    total = rows.square().sum() + 2 * views[0].square().sum()
    shared = torch.autograd.grad(total, features)
    with step_of(samples_of(*BOXES)):
        alone = recorder_of(features, strides=(8, 16), num_views=4).get_record_data()
    first = alone[:3].square().sum()
    expected = torch.autograd.grad(alone.square().sum() + 2 * first, features)
    torch.testing.assert_close(shared, expected)
    recorder.reset_data_buffer()
    recorder.data_buffer.append(features)
    with step_of(samples_of(*BOXES)):
        recorder.get_record_data()
    assert len(calls) == 2


def test_strides_are_those_of_the_recorded_maps():
    recorder = recorder_of(ramps((8, 16, 32)))
    recorder.infer_strides(HEIGHT)
    assert recorder.strides == (8, 16, 32)
    recorder = recorder_of(ramps((8, 16, 32)), num_levels=2)
    recorder.infer_strides(HEIGHT)
    assert recorder.strides == (8, 16)
    given = recorder_of(ramps((8, 16)), strides=(4, 8))
    given.infer_strides(HEIGHT)
    assert given.strides == (4, 8)
    with pytest.raises(
        ValueError, match=r'strides: expected at least one, ascending, got \(8, 8\)'
    ):
        recorder_of((ramps((8,))[0],) * 2).infer_strides(HEIGHT)
    with step_of(samples_of(*BOXES)), pytest.raises(ValueError, match='strides: expected the str'):
        recorder_of(ramps((8,))).get_record_data()


def test_the_seed_of_the_step_says_what_is_drawn():
    arguments = {'strides': (8,), 'num_views': 2}
    one, again, other = (
        pooled(ramps((8,)), samples_of(*BOXES), seed=seed, **arguments) for seed in (1, 1, 2)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_views_stay_inside_the_image():
    boxes = [[0.0, 0.0, 64.0, 64.0], [256.0, 192.0, 320.0, 256.0]]
    arguments = {'strides': (8,), 'num_views': 50, 'jitter': 0.49}
    for mean, elsewhere in ((False, float('nan')), (True, 1e30)):
        outside = torch.full((1, 1, 80, 80), elsewhere)  # of a batch padded to 640 x 640
        outside[..., : HEIGHT // 8 + 1, : WIDTH // 8 + 1] = 1.0
        rows = pooled((outside,), samples_of(boxes), mean=mean, **arguments)
        torch.testing.assert_close(rows, torch.ones_like(rows))


@pytest.mark.parametrize('mean', [True, False])
@pytest.mark.parametrize('strides', [(8,), (8, 16)])
def test_batches_with_few_instances_or_none(strides, mean):
    features = [x.clone().requires_grad_() for x in ramps(strides, images=3)]
    some = pooled(features, samples_of([], BOXES[0], []), strides=strides, num_views=2, mean=mean)
    assert some.shape[:2] == (4, 2)
    assert some.isfinite().all()
    none = pooled(features, samples_of([], [], []), strides=strides, num_views=2, mean=mean)
    assert none.shape == ((0, 2) if mean else (0, 2, 7, 7))


@pytest.mark.parametrize(
    ('dtype', 'left'), [(torch.float16, 2000.5), (torch.bfloat16, 1000.5), (torch.float32, 2000.5)]
)
def test_boxes_are_exact_beside_half_precision_features(dtype, left):
    columns = torch.arange(256.0).expand(1, 1, 8, 256)  # each is a number of half precision, too
    samples = samples_of([[left, 30.0, left + 3, 60.0]], size=(128, 4096))
    with torch.autocast('cpu', torch.bfloat16, enabled=dtype == torch.bfloat16):
        rows = pooled((columns.to(dtype),), samples, strides=(16,))
    assert rows.dtype == torch.float32
    torch.testing.assert_close(rows, torch.tensor([[(left + 1.5) / 16 - 0.5]]), rtol=1e-6, atol=0)


def test_gradient():
    # One large box on the second level, one small on the first.
    boxes = [[2.0, 3.0, 13.0, 15.0]], [[4.5, 5.0, 7.0, 9.0]]
    samples = samples_of(*boxes, size=(16, 16))
    generator = torch.Generator().manual_seed(0)
    fine, coarse = (
        torch.randn(2, 2, side, side, dtype=torch.float64, generator=generator).requires_grad_()
        for side in (8, 4)
    )

    def rows_of(*levels):
        return pooled(levels, samples, strides=(2, 4), output_size=2, finest_scale=4)

    assert torch.autograd.gradcheck(rows_of, (fine, coarse))
    rows_of(fine, coarse).sum().backward()
    reached = [bool(level.grad[image].any()) for level in (fine, coarse) for image in (0, 1)]
    assert reached == [False, True, True, False]


def test_labels_are_in_the_order_of_the_features():
    labels = InstanceLabelsRecorder()
    samples = samples_of(*BOXES, [], BOXES[0])
    samples[0].gt_instances.labels = torch.tensor([7, 3])
    with step_of(samples):
        assert labels.get_record_data().tolist() == [7, 3, 2, 3, 4]
    rows = pooled(ramps((8,), images=4), samples, strides=(8,))
    torch.testing.assert_close(rows, centers([*BOXES, BOXES[0]]))
    with step_of(samples_of([], [])):
        assert labels.get_record_data().shape == (0,)
        assert labels.get_record_data().dtype == torch.long


@pytest.mark.parametrize('step', [None, StepContext()])
@pytest.mark.parametrize('name', ['InstanceFeatures', 'InstanceLabels'])
def test_no_ground_truth(name, step):
    recorder = recorder_of(ramps((8,)), strides=(8,))
    if name == 'InstanceLabels':
        recorder = InstanceLabelsRecorder()
    message = f'^{name}: expected a batch with ground truth; it works in a training step of mmkd'
    opened = contextlib.nullcontext() if step is None else open_step(step)
    with opened, pytest.raises(ValueError, match=message):
        recorder.get_record_data()


@pytest.mark.parametrize(
    ('indices', 'message'),
    [
        ({'record_idx': 1}, 'record_idx: expected 0, got 1'),
        ({'data_idx': 2}, 'data_idx: expected a view below 2, got 2'),
        ({'data_idx': -1}, 'data_idx: expected a view below 2, got -1'),
    ],
)
def test_wrong_indices(indices, message):
    with step_of(samples_of(*BOXES)), pytest.raises(ValueError, match=message):
        recorder_of(ramps((8,)), strides=(8,), num_views=2).get_record_data(**indices)


@pytest.mark.parametrize(
    ('features', 'error', 'message'),
    [
        (ramps((8,)), ValueError, r'features: expected levels of strides \[8, 16\], got 1'),
        (ramps((8,))[0], ValueError, r'features: expected levels of strides \[8, 16\], got 1'),
        (
            (torch.zeros(2, 4, 8, 8), torch.zeros(2, 8, 4, 4)),
            ValueError,
            r'features: expected levels of the same channels, got \[4, 8\]; record the neck',
        ),
        ((ramps((8,)), ramps((8,))), TypeError, r'features: expected a Tensor .*, got tuple of'),
        (None, TypeError, 'features: expected a Tensor .*, got NoneType'),
    ],
)
def test_wrong_features(features, error, message):
    with pytest.raises(error, match=message):
        pooled(features, samples_of(*BOXES), strides=(8, 16))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'strides': ()}, r'strides: expected at least one, ascending, got \(\)'),
        ({'strides': (16, 8)}, r'strides: expected at least one, ascending, got \(16, 8\)'),
        ({'strides': (8, 8)}, 'strides: expected at least one, ascending'),
        ({'strides': (0, 8)}, 'strides: expected a positive integer, got 0'),
        ({'strides': (8.0,)}, 'strides: expected a positive integer, got 8.0'),
        ({'output_size': 0}, 'output_size: expected a positive integer, got 0'),
        ({'num_views': 0}, 'num_views: expected a positive integer, got 0'),
        ({'jitter': 0.5}, r'jitter: expected a number in \[0, 0.5\), got 0.5'),
        ({'jitter': -0.1}, r'jitter: expected a number in \[0, 0.5\), got -0.1'),
        ({'jitter': float('nan')}, r'jitter: expected a number in \[0, 0.5\), got nan'),
        ({'num_levels': 0}, 'num_levels: expected a positive integer, got 0'),
        ({'finest_scale': 0}, 'finest_scale: expected a finite number > 0, got 0'),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        InstanceFeaturesRecorder('neck', **{'strides': (8, 16), **arguments})
