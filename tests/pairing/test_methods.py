"""What each method makes of a pair: which levels, instances, logits and connectors."""

import pytest
import torch
from mmengine.model import BaseModel

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.pairing.inspection.head_classes import Classes, classes_of
from mmkd.pairing.inspection.pyramid import match
from mmkd.pairing.inspection.trace import Output
from mmkd.pairing.methods import CLASSIFIER_METHODS, DETECTOR_METHODS, Pair
from mmkd.pairing.methods.dense_layers import class_layer
from mmkd.pairing.methods.logit_methods import compare_locations, compare_proposals
from mmkd.pairing.methods.method import published
from mmkd.pairing.methods.method_options import set_options
from mmkd.teachers import FrozenTeacher

PYRAMID_METHODS = ('pcka', 'pcka-mimic', 'mimic', 'pkd', 'cwd')


def losses_of(method, pair):
    return DETECTOR_METHODS[method](pair).distiller['losses']


# --- levels


@pytest.mark.parametrize(
    ('student', 'teacher', 'expected'),
    [
        ((8, 16, 32), (8, 16, 32), ((0, 1, 2), (0, 1, 2), 1, 1, (8, 16, 32))),
        ((8, 16, 32, 64, 128),) * 2 + (((0, 1, 2, 3), (0, 1, 2, 3), 1, 1, (8, 16, 32, 64)),),
        (
            (8, 16, 32, 64, 128),
            (4, 8, 16, 32, 64),
            ((0, 1, 2, 3), (1, 2, 3, 4), 1, 1, (8, 16, 32, 64)),
        ),
        ((32,), (8, 16, 32, 64), ((0,), (2,), 1, 1, (32,))),
        # Nothing is common: the finer one is pooled, by the smallest factor for the most pairs.
        ((32,), (8, 16), ((0,), (1,), 1, 2, (32,))),
        ((32, 64), (4, 8, 16), ((0, 1), (1, 2), 1, 4, (32, 64))),
        ((4, 8), (16, 32), ((0, 1), (0, 1), 4, 1, (16, 32))),
    ],
)
def test_levels_of_equal_strides_are_matched(student, teacher, expected):
    assert match(student, teacher) == expected
    swapped = (expected[1], expected[0], expected[3], expected[2], expected[4])
    assert match(teacher, student) == swapped


def test_no_common_stride_is_said():
    with pytest.raises(ValueError, match=r"teacher: .* the student's 8 16 .* got 12 20"):
        match((8, 16), (12, 20))


def maps(*levels):
    """Calls of a neck or backbone that returns (channels, stride) maps of 128 x 128 images."""
    return [
        tuple(
            Output((1, channels, 128 // stride, 128 // stride), (stride, stride))
            for channels, stride in levels
        )
    ]


PAIRS = {
    'equal': Pair({'neck': maps((8, 8), (8, 16))}, {'neck': maps((8, 8), (8, 16))}),
    'more levels': Pair(
        {'neck': maps(*[(8, 2**i) for i in range(2, 7)])},
        {'neck': maps(*[(8, 2**i) for i in range(2, 7)])},
    ),
    'widths': Pair({'neck': maps((8, 8), (8, 16))}, {'neck': maps((12, 4), (12, 8), (12, 16))}),
    'pooled': Pair({'neck': maps((8, 16), (8, 32))}, {'neck': maps((12, 4), (12, 8))}),
    'pooled student': Pair({'neck': maps((8, 4), (8, 8))}, {'neck': maps((8, 16), (8, 32))}),
    'student without neck': Pair(
        {'backbone': maps((4, 4), (8, 8), (16, 16))}, {'neck': maps((12, 8), (12, 16))}
    ),
    'no neck': Pair({'backbone': maps((4, 8), (8, 16))}, {'backbone': maps((8, 8), (16, 16))}),
}


class Recorded(BaseModel):
    """Stands for a network whose neck or backbone returns these levels of 128 x 128 images."""

    def __init__(self, calls, seed=0):
        super().__init__()
        self.source, self.outputs = next((name, call[0]) for name, call in calls.items())
        self.seed = seed
        self.add_module(self.source, torch.nn.Identity())
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.levels = ()

    def extract_feat(self, inputs):
        generator = torch.Generator().manual_seed(self.seed)
        scale = len(inputs), *(side / 128 for side in inputs.shape[2:])
        shapes = [
            (scale[0], out.shape[1], round(out.shape[2] * scale[1]), round(out.shape[3] * scale[2]))
            for out in self.outputs
        ]
        levels = tuple(torch.randn(shape, generator=generator) for shape in shapes)
        self.levels = tuple(level.requires_grad_() for level in levels)
        return getattr(self, self.source)(self.levels)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        levels = self.extract_feat(inputs)
        return {'loss_task': levels[0].sum() * 0} if mode == 'loss' else levels


def algorithm_of(method, pair, seed=1):
    student, teacher = Recorded(pair.student, seed), Recorded(pair.teacher)
    return FrozenTeacherDistill(
        student, FrozenTeacher(teacher), DETECTOR_METHODS[method](pair).distiller
    )


def run(algorithm):
    """Losses of the distiller, and the student's levels."""
    losses = algorithm.loss(torch.zeros(2, 3, 128, 128))
    distilled = {name: loss for name, loss in losses.items() if name.startswith('distill.')}
    return distilled, algorithm.student.levels


@pytest.mark.parametrize('method', PYRAMID_METHODS)
@pytest.mark.parametrize('name', PAIRS)
def test_pyramids_of_any_shape_are_compared(method, name):
    pair = PAIRS[name]
    losses, levels = run(algorithm_of(method, pair))
    assert losses
    assert all(loss.isfinite() and loss > 0 for loss in losses.values())
    sum(losses.values()).backward()
    sides = pair.sides.values()
    strides = [[out.stride[0] for out in next(iter(calls.values()))[0]] for calls in sides]
    compared = match(*strides).student
    trained = [i for i, level in enumerate(levels) if level.grad is not None and level.grad.any()]
    assert trained == list(compared)


@pytest.mark.parametrize('method', ['pcka', 'cwd', 'pkd'])
@pytest.mark.parametrize('name', ['equal', 'more levels'])
def test_equal_pyramids_are_compared_as_they_are(method, name):
    algorithm = algorithm_of(method, PAIRS[name], seed=0)
    assert not [*algorithm.distiller.parameters()]
    losses, _ = run(algorithm)
    assert sum(losses.values()).item() == pytest.approx(0, abs=1e-4)


def convolutions(method, pair):
    connectors = algorithm_of(method, pair).distiller.connectors
    modules = connectors.modules()
    convs = [module for module in modules if isinstance(module, torch.nn.Conv2d)]
    return [(conv.in_channels, conv.out_channels) for conv in convs]


def test_projection_is_from_the_students_width_to_the_teachers():
    assert convolutions('mimic', PAIRS['student without neck']) == [(8, 12), (16, 12)]


def test_imitation_projects_equal_widths_too():
    assert convolutions('mimic', PAIRS['equal']) == [(8, 8), (8, 8)]


def test_every_convolution_is_trained():
    """DDP waits for a gradient of each parameter."""
    for name, pair in PAIRS.items():
        algorithm = algorithm_of('pcka-mimic', pair)
        losses, _ = run(algorithm)
        sum(losses.values()).backward()
        assert all(p.grad is not None for p in algorithm.distiller.parameters()), name


def test_loss_without_a_choice_of_levels_gets_no_others():
    loss = losses_of('pkd', PAIRS['more levels'])['pkd']
    chosen = {'type': 'mmkd.SelectLevels', 'levels': (0, 1, 2, 3)}
    assert loss['student_connector'] == loss['teacher_connector'] == chosen


def test_equal_pyramids_need_two_lines():
    loss = losses_of('pcka', PAIRS['equal'])['pcka']
    assert loss == {
        'type': 'mmkd.PCKALoss',
        'on': 'neck',
        'levels': (0, 1),
        'patch_size': 16,
        'center': False,
        'loss_weight': 10.0,
    }


def test_maps_are_expected():
    tokens = {'backbone': [(Output((1, 197, 192), None),)]}
    with pytest.raises(
        ValueError, match=r'student: expected feature maps of its backbone, got 1x197'
    ):
        losses_of('pcka', Pair(tokens, PAIRS['equal'].teacher))


# --- instances


def test_each_network_pools_instances_from_its_own_module():
    pair = Pair({'backbone': maps((8, 8), (8, 16))}, PAIRS['equal'].teacher)
    for method, views in (('fkd', None), ('dlkd', 4)):
        distiller = DETECTOR_METHODS[method](pair).distiller
        assert 'recorders' not in distiller
        sides = {side: distiller[f'{side}_recorders']['instances'] for side in pair.sides}
        assert sides['student']['source'] == 'backbone'
        assert sides['teacher']['source'] == 'neck'
        assert {side.get('num_views') for side in sides.values()} == {views}


@pytest.mark.parametrize(
    ('levels', 'message'),
    [
        (((8, 8), (4, 16)), r'student: expected levels of one width, .* compares levels'),
        (((8, 16), (8, 8)), r'student: expected levels of ascending strides'),
    ],
)
def test_instances_that_cannot_be_pooled(levels, message):
    with pytest.raises(ValueError, match=message):
        losses_of('fkd', Pair({'neck': maps(*levels)}, PAIRS['equal'].teacher))


# --- class logits


def a_level(channels, *strides):
    """Calls of a layer that returns a map a call, of 128 x 128 images."""
    return [call for stride in strides for call in maps((channels, stride))]


def a_proposal(logits):
    return [(Output((7, logits), None),)]


# Parts of heads of three classes; towers of as many channels as logits are no reason to take them.
HEADS = {
    'retina_cls': {
        'cls_convs.0': a_level(18, 8, 16),
        'retina_cls': a_level(27, 8, 16),
        'retina_reg': a_level(36, 8, 16),
    },
    'tood_cls': {
        'cls_decomp': a_level(18, 8, 16),
        'tood_cls': a_level(3, 8, 16),
        'cls_prob_module': a_level(3, 8, 16),
    },
    'reppoints_cls_out': {
        'cls_convs.0': a_level(3, 8, 16),
        'reppoints_cls_conv': a_level(18, 8, 16),
        'reppoints_cls_out': a_level(3, 8, 16),
        'reppoints_pts_out': a_level(18, 8, 16),
    },
    'rtm_cls': {
        'cls_convs.0.0': a_level(18, 8),
        'rtm_cls.0': a_level(3, 8),
        'rtm_cls.1': a_level(3, 16),
        'rtm_reg.0': a_level(4, 8),
    },
    'shared_cls': {'shared_cls.0': a_level(3, 8, 16)},
}


@pytest.mark.parametrize('name', HEADS)
def test_class_logits_are_found(name):
    calls = {f'bbox_head.{part}': outputs for part, outputs in HEADS[name].items()}
    elsewhere = {'rpn_head.rpn_cls': a_level(3, 8, 16), 'bbox_head.deeper.0.cls': a_level(3, 8, 16)}
    layer = class_layer({**calls, **elsewhere}, Classes(3, background=False), 'student')
    assert layer.source == f'bbox_head.{name}'
    assert [output.stride for output in layer.levels] == [(8, 8), (16, 16)]


@pytest.mark.parametrize(
    'head',
    [
        {'heatmap_head': a_level(3, 4)},
        {'convs_pred.0': a_level(24, 8), 'convs_pred.1': a_level(24, 16)},
        {'cls_branches.0': [(Output((1, 300, 3), None),)] * 6},
        {'conv_cls': a_level(4, 8, 16)},  # not of three classes
        {'cls_convs.0': a_level(18, 8, 16), 'cls_convs.1': a_level(18, 8, 16)},
    ],
)
def test_heads_without_class_maps_are_refused(head):
    calls = {f'bbox_head.{part}': outputs for part, outputs in head.items()}
    message = r"teacher: expected in bbox_head .*'\.\.\.cls\.\.\.'.* 3 classes.* got none; use pcka"
    with pytest.raises(ValueError, match=message):
        class_layer(calls, Classes(3, background=False), 'teacher')


def module(**parts):
    built = torch.nn.Module()
    for name, part in parts.items():
        setattr(built, name, part)
    return built


def test_classes_are_those_of_the_box_head():
    sigmoid = module(num_classes=3, cls_out_channels=3)
    softmax = module(num_classes=3, cls_out_channels=4)
    stages = torch.nn.ModuleList([module(num_classes=1), module(num_classes=5)])
    assert classes_of(module(bbox_head=sigmoid)) == Classes(3, background=False, kind='Module')
    assert classes_of(module(bbox_head=softmax)) == Classes(3, background=True, kind='Module')
    roi_head = module(bbox_head=stages)
    assert classes_of(module(roi_head=roi_head, bbox_head=sigmoid)).number == 5
    assert classes_of(module(roi_head=roi_head)) == Classes(5, background=False, kind='Module')
    assert classes_of(module(mask_head=sigmoid)) is None
    assert classes_of(module(bbox_head=module())) is None


def test_background_hides_objects():
    with pytest.raises(ValueError, match=r'student: expected .* 3 classes alone .* \(softmax\)'):
        class_layer({'bbox_head.conv_cls': a_level(4, 8)}, Classes(3, background=True), 'student')


def fit_logits(method, student, teacher, classes=(3, 3)):
    found = tuple(None if number is None else Classes(number, False) for number in classes)
    return method(Pair(student, teacher, found), 'cmkd').distiller['losses']['cmkd']


def sources(loss):
    """Where a loss looks in the student and the teacher."""
    on = loss['on']
    places = [on['student'], on['teacher']] if 'student' in on else [on, on]
    return [place if isinstance(place, str) else place['source'] for place in places]


@pytest.mark.parametrize('swap', [False, True])
def test_locations_are_compared_on_the_levels_of_both(swap):
    pair = [{'bbox_head.a_cls': a_level(3, 8, 16)}, {'bbox_head.b_cls': a_level(3, 8, 16, 32)}]
    student, teacher = pair[::-1] if swap else pair
    loss = fit_logits(compare_locations, student, teacher)
    assert sources(loss) == [*student, *teacher]
    who = 'student' if swap else 'teacher'
    picked = {key: loss[key] for key in loss if key.endswith('connector')}
    assert picked == {f'{who}_connector': dict(type='mmkd.SelectLevels', levels=(0, 1))}


@pytest.mark.parametrize('other', [a_level(9, 8, 16), a_level(3, 16, 32)])
def test_other_locations_or_anchors_are_refused(other):
    student = {'bbox_head.a_cls': a_level(3, 8, 16)}
    message = (
        r"teacher: expected the student's locations and anchors, .* bbox_head\.a_cls: 3x16x16 /8, "
        r'3x8x8 /16; got bbox_head\.b_cls: .*; use pcka or fkd'
    )
    with pytest.raises(ValueError, match=message):
        fit_logits(compare_locations, student, {'bbox_head.b_cls': other})


def test_first_stage_learns_from_the_last():
    cascade = {f'roi_head.bbox_head.{stage}.fc_cls': a_proposal(4) for stage in range(3)}
    loss = fit_logits(compare_proposals, cascade, cascade)
    assert sources(loss) == ['roi_head.bbox_head.0.fc_cls', 'roi_head.bbox_head.2.fc_cls']


FC = 'roi_head.bbox_head.fc_cls'


@pytest.mark.parametrize(
    ('teacher', 'classes', 'message'),
    [
        ({'bbox_head.a_cls': a_level(3, 8)}, (3, 3), r'teacher: expected a two-stage detector'),
        ({FC: [(Output((1, 100, 4), None),)]}, (3, 3), r'teacher: expected a two-stage detector'),
        (
            {FC: a_proposal(3)},
            (3, 3),
            r"the student's 4 logits for a proposal, got 3: one of the models",
        ),
        ({FC: a_proposal(81)}, (3, 80), r"the student's 3 classes, .* got 80; .* pcka or fkd"),
        ({FC: a_proposal(4)}, (3, None), r'teacher: expected a bbox_head with classes, got none'),
    ],
)
def test_proposals_that_cannot_be_compared(teacher, classes, message):
    with pytest.raises(ValueError, match=message):
        fit_logits(compare_proposals, {FC: a_proposal(4)}, teacher, classes)


def test_two_logits_have_no_correlation_to_learn():
    message = r'student: expected 3 logits or more .*, got 2; use pcka or fkd'
    dense, proposals = {'bbox_head.a_cls': a_level(2, 8)}, {FC: a_proposal(2)}
    with pytest.raises(ValueError, match=message):
        fit_logits(compare_locations, dense, dense, (2, 2))
    with pytest.raises(ValueError, match=message):
        fit_logits(compare_proposals, proposals, proposals, (1, 1))


# --- scores and boxes of dense heads


def a_head(classes, *, kind='YOLOXHead', objectness=False, bins=None):
    """Calls of a dense head, and what is known of it."""
    calls = {'neck': maps((8, 8), (8, 16))}
    calls |= {'bbox_head.cls.0': a_level(classes, 8), 'bbox_head.cls.1': a_level(classes, 16)}
    boxes = 'scales' if bins else 'reg'
    for index, stride in enumerate((8, 16)):
        calls[f'bbox_head.{boxes}.{index}'] = a_level(4 * (bins or 1), stride)
        if objectness:
            calls[f'bbox_head.obj.{index}'] = a_level(1, stride)
    return calls, Classes(classes, False, bins, kind)


def pair_of(student, teacher, labels=None):
    return Pair(student[0], teacher[0], (student[1], teacher[1]), labels)


def test_recipe_takes_the_students_classes_and_objectness_of_the_teacher():
    pair = pair_of(a_head(1, objectness=True), a_head(80, objectness=True), labels=(7,))
    losses = losses_of('recipe', pair)
    assert [*losses] == ['pkd', 'scores', 'boxes']
    picked = dict(type='mmkd.SelectClasses', labels=(7,), num_classes=80)
    assert losses['scores']['teacher_connector'] == picked
    assert losses['boxes']['inputs']['scores']['connector'] == picked
    inputs = losses['scores']['inputs']
    assert {name: (of['source'], of['from_student']) for name, of in inputs.items()} == {
        'objectness': ('bbox_head.obj', True),
        'teacher_objectness': ('bbox_head.obj', False),
    }
    assert losses['boxes']['type'] == 'mmkd.DenseBoxesLoss'
    assert losses['boxes']['inputs']['objectness']['source'] == 'bbox_head.obj'


def test_heads_of_distributions_compare_these():
    losses = losses_of('boxes', pair_of(*[a_head(3, kind='GFLHead', bins=9)] * 2))
    assert losses['boxes']['type'] == 'mmkd.LDLoss'
    assert losses['boxes']['on'] == dict(type='mmkd.LevelOutputs', source='bbox_head.scales')


def test_recipe_leaves_out_what_the_heads_do_not_share():
    fitted = DETECTOR_METHODS['recipe'](pair_of(a_head(1), a_head(80, kind='GFLHead', bins=9)))
    assert [*fitted.distiller['losses']] == ['pkd']
    reasons = {topic: text for topic, text in fitted.decisions if text.startswith('left out')}
    assert "the student's 1 classes" in reasons['scores']
    assert "the student's head YOLOXHead" in reasons['boxes']


@pytest.mark.parametrize('method', ['scores', 'boxes'])
def test_classes_without_a_name_are_not_compared(method):
    with pytest.raises(ValueError, match="teacher: expected logits of the student's 1 classes"):
        losses_of(method, pair_of(a_head(1), a_head(80)))


def test_one_class_has_no_softmax():
    pair = pair_of(a_head(1), a_head(1))
    with pytest.raises(ValueError, match='student: expected 2 logits or more'):
        losses_of('kd', pair)
    assert 'scores' in losses_of('scores', pair)


# --- arguments of the losses


@pytest.fixture
def losses():
    return losses_of('pcka-mimic', PAIRS['equal'])


def test_an_argument_reaches_every_loss_that_takes_it(losses):
    set_options(losses, {'loss_weight': 5.0, 'patch_size': 4})
    assert (losses['pcka']['loss_weight'], losses['mimic']['loss_weight']) == (5.0, 5.0)
    assert losses['pcka']['patch_size'] == 4
    assert 'patch_size' not in losses['mimic']


def test_an_argument_of_one_loss(losses):
    set_options(losses, {'mimic': {'loss_weight': 2.0, 'student_connector': 'declared'}})
    assert losses['mimic']['loss_weight'] == 2.0
    assert losses['mimic']['student_connector'] == 'declared'
    assert losses['pcka']['loss_weight'] == 10.0


def test_losses_of_levels_listen_to_their_common_name():
    losses = losses_of('cwd', PAIRS['equal'])
    set_options(losses, {'cwd': {'tau': 2.0}, 'cwd_stride16': {'loss_weight': 1.0}})
    assert [(loss['tau'], loss['loss_weight']) for loss in losses.values()] == [
        (2.0, 10.0),
        (2.0, 1.0),
    ]


def test_arguments_of_a_wrapped_loss():
    calls = {'bbox_head.a_cls': a_level(3, 8, 16)}
    loss = fit_logits(compare_locations, calls, calls)
    set_options({'cmkd': loss}, {'tau': 2.0, 'top_k': 7})
    assert (loss['loss']['tau'], loss['top_k']) == (2.0, 7)
    assert fit_logits(compare_locations, calls, calls)['loss']['tau'] == 1.0


@pytest.mark.parametrize('options', [{'weight': 1.0}, {'mimic': {'weight': 1.0}}])
def test_unknown_arguments_name_the_losses_and_theirs(options, losses):
    message = r"method_options: no loss takes 'weight'; .* mimic: .*loss_weight"
    with pytest.raises(ValueError, match=message):
        set_options(losses, options)


# --- the same as the configs


@pytest.mark.parametrize('name', CLASSIFIER_METHODS)
def test_a_plain_pair_of_classifiers_takes_the_published_distiller(name):
    calls = {
        'backbone': maps((8, 32)),
        'neck': [(Output((1, 8), None),)],
        'head.fc': [(Output((1, 10), None),)],
    }
    ours = CLASSIFIER_METHODS[name](Pair(calls, calls)).distiller
    assert ours == published(name)


@pytest.mark.parametrize('name', ['fkd', 'cckd', 'dlkd', 'rcka'])
def test_equal_pyramids_take_the_published_instance_distiller(name):
    ours = DETECTOR_METHODS[name](PAIRS['more levels']).distiller
    assert ours == published(f'{name}_instances')


@pytest.mark.parametrize('file', ['pcka_pyramid', 'pcka_mimic_pyramid'])
def test_equal_pyramids_take_the_published_level_losses(file):
    method = file.removesuffix('_pyramid').replace('_', '-')
    assert losses_of(method, PAIRS['more levels']) == published(file)['losses']
