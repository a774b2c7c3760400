"""One step of a written config: what it finds, and what it needs not yet."""

import json

import pytest
from tiny_pairs import CLASSES, coco, pair, write_models

import mmkd


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('models')
    write_models(folder)
    return folder


@pytest.fixture
def planned(folder, tiny_coco, tmp_path):
    """Function: a written plan of tiny detectors."""

    def make(**changes):
        data = coco(tiny_coco(*CLASSES))
        plan = mmkd.plan(**{**pair(folder), 'data': data, 'work_dir': tmp_path, **changes})
        plan.write()
        return plan

    return make


@pytest.mark.parametrize(
    ('checkpoint', 'why'),
    [
        ('later.pth', 'later.pth is not there yet'),
        ('https://example.com/a-deadbeef.pth', 'is not downloaded for this check'),
    ],
)
def test_teacher_may_be_missing(checkpoint, why, planned):
    plan = planned(teacher_checkpoint=checkpoint, batch_size=2, epochs=6)
    text = plan.check()
    assert text.startswith('one training step and one validation batch; the teacher')
    assert why in text
    assert not plan.work_dir.exists()
    assert ('lr', '0.01 for 16 images a step -> 0.00125 for 2') in plan.decisions
    warm_up = 'LinearLR.end 500 -> 2 iterations, a tenth of the 24 of the run'
    assert ('schedule', warm_up) in plan.decisions


def test_warnings_of_the_data_are_told(planned, tiny_coco, tmp_path):
    root = tiny_coco(*CLASSES)
    content = json.loads((root / 'annotations.json').read_text())
    content['annotations'][0]['bbox'][0] = 5000
    (tmp_path / 'far.json').write_text(json.dumps(content))
    data = {'train': (tmp_path / 'far.json', root / 'images'), 'val': None}
    assert 'warning: train_dataloader: ' in planned(data=data).check()


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        (
            {'val_evaluator.metric': 'boxes'},
            ValueError,
            r'metric should be one of',
        ),
        ({'train_dataloader.num_workers': 'a'}, ValueError, r'train_dataloader\.num_workers'),
        ({'model.distiller.losses.pkd.loss_weight': 1e39}, FloatingPointError, r'loss_pkd=inf'),
        (
            {'train_dataloader.dataset.data_prefix.img': '/nowhere/'},
            FileNotFoundError,
            r'/nowhere/\d\.png',
        ),
    ],
)
def test_what_stops_the_first_step_is_named(options, error, message, planned):
    plan = planned(options=options)
    with pytest.raises(error, match=message):
        plan.check()
    assert not plan.work_dir.exists()


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({'options': {'optim_wrapper.optimizer.lr': 0.5}}, '0.5, as options set it'),
        ({'options': {'auto_scale_lr.enable': False}}, 'as options set auto_scale_lr'),
        ({'auto_scale_lr': True}, '0.01 for 16 images a step -> 0.00125 for 2'),
    ],
)
def test_learning_rate_is_decided(changes, text, planned):
    assert ('lr', text) in planned(batch_size=2, **changes).decisions
