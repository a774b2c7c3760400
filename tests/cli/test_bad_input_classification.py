"""Each mistake in a classification run stops it with its name, before the first step if it can."""

import json

import numpy as np
import pytest
import torch
from tiny_images import IMAGES, LABELS, names, write_pickles

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.cli import train
from mmkd.datasets.superclass_file import encode_superclasses
from mmkd.models.building import build_model

METHODS = {
    'rcka': 'rcka/rcka',
    'fkd': 'fkd/fkd',
    'cckd': 'cckd/cckd',
    'cmkd': 'cmkd/cmkd',
    'dlkd': 'dlkd/dlkd',
    'kd': 'baselines/kd/kd',
}
# A pair's config on the eight images, of which training makes one batch.
TINY = """
_base_ = {base!r}
model = dict(teacher=dict(checkpoint=None))
train_dataloader = dict(batch_size=8, dataset=dict(root={root!r}))
val_dataloader = dict(dataset=dict(root={root!r}))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=1)
log_level = 'ERROR'
"""
SAMPLER = """
train_dataloader['sampler'] = dict(_delete_=True, **{sampler!r})
"""
ONE_BY_ONE = """
train_dataloader['batch_size'] = 1
train_dataloader['sampler'] = dict(_delete_=True, type='DefaultSampler', shuffle=True)
"""
CIFAR10 = """
model['architecture'] = dict(head=dict(num_classes=10))
data_preprocessor = dict(num_classes=10)
train_dataloader['dataset']['type'] = val_dataloader['dataset']['type'] = 'mmkd.CIFAR10Dataset'
"""
NO_INTER = """
model['distiller'] = dict(losses=dict(rcka_logits=dict(inter_weight=0.0)))
"""
# Half as wide as the teacher.
NARROW_STUDENT = """
model['architecture'] = dict(
    backbone=dict(widths=(16, 16, 16, 32)), head=dict(in_channels=32)
)
"""
# DLKD's alignment alone.
ALIGN = """
loss = dict(type='mmkd.DLKDAlignLoss', on=dict(source='neck', data_idx=0), **{connector!r})
model['distiller'] = dict(losses=dict(_delete_=True, align=loss))
"""


def with_sampler(**sampler):
    return SAMPLER.format(sampler=sampler)


@pytest.fixture
def run(repo, tiny_images, tmp_path):
    """Function: train a method with changes to its config; what was logged of the last step."""

    def start(method, *changes, data=tiny_images):
        base = repo / f'configs/{METHODS[method]}_resnet20_resnet8_cifar100.py'
        # A name of its own: runs of one name in one second share MMEngine's logged scalars.
        config = tmp_path / f'{tmp_path.name}.py'
        config.write_text(TINY.format(base=str(base), root=str(data)) + ''.join(changes))
        train.main([str(config), '--work-dir', str(tmp_path / 'work')])
        (scalars,) = (tmp_path / 'work').glob('*/vis_data/scalars.json')
        rows = map(json.loads, scalars.read_text().splitlines())
        return [row for row in rows if 'loss' in row][-1]

    return start


@pytest.fixture
def no_step(monkeypatch):
    """A step would fail in its own way."""

    def step(*_):
        raise AssertionError('a step was taken')

    monkeypatch.setattr(FrozenTeacherDistill, 'loss', step)


@pytest.mark.usefixtures('no_step')
@pytest.mark.parametrize(
    ('method', 'loss'), [('kd', 'loss_kd'), ('cmkd', 'loss_cmkd'), ('rcka', 'loss_rcka_logits')]
)
def test_teacher_of_other_classes_is_named(run, method, loss):
    message = (
        rf"{loss}: expected equal shapes, got \(10,\) of the student's head\.fc and "
        r"\(100,\) of the teacher's head\.fc; logits need .* mmkd\.LCKALoss\(inter_weight=0\) do"
    )
    with pytest.raises(ValueError, match=message):
        run(method, CIFAR10)


@pytest.mark.parametrize(
    ('method', 'change'), [('fkd', ''), ('rcka', NO_INTER)], ids=['fkd', 'rcka']
)
def test_losses_between_samples_take_a_teacher_of_other_classes(run, method, change):
    losses = run(method, CIFAR10, change)
    distilled = [value for name, value in losses.items() if name.startswith('distill.')]
    assert distilled
    assert min(distilled) > 0


@pytest.mark.parametrize(
    ('method', 'zero'),
    [
        ('rcka', ['loss_rcka_features']),
        ('fkd', []),
        ('cckd', []),
        ('cmkd', []),
        ('dlkd', ['loss_dlkd_corr']),
    ],
)
def test_batches_of_one_sample_are_trained_on(run, method, zero):
    losses = run(method, ONE_BY_ONE)
    assert losses['step'] == 8
    assert np.isfinite([*losses.values()]).all()
    distilled = {name: value for name, value in losses.items() if name.startswith('distill.')}
    assert [name for name, value in distilled.items() if value == 0] == [
        f'distill.{name}' for name in zero
    ]


def test_views_that_are_left_out_are_missed(run):
    message = 'student: expected rows of 4 views, a multiple of 4, got 1'
    with pytest.raises(ValueError, match=message):
        run('dlkd', ONE_BY_ONE, "\nmodel['views'] = None\n")


@pytest.mark.usefixtures('no_step')
def test_class_with_too_few_samples_is_named(run):
    sampler = with_sampler(type='mmkd.CURSampler', batch_size=8, num_per_class=8)
    message = (
        r'num_per_class: expected at least 8 samples of each class, got 4 of class 0 \(class 0\); '
        "set small_classes='repeat' or lower num_per_class"
    )
    with pytest.raises(ValueError, match=message):
        run('cckd', sampler)


def test_class_with_too_few_samples_is_repeated_on_demand(run):
    sampler = {'type': 'mmkd.CURSampler', 'batch_size': 8, 'num_per_class': 8}
    assert run('cckd', with_sampler(**sampler, small_classes='repeat'))['step'] == 2


@pytest.mark.usefixtures('no_step')
def test_sampler_of_another_batch_size_is_named(run):
    sampler = with_sampler(type='mmkd.CURSampler', batch_size=4, num_per_class=2)
    with pytest.raises(ValueError, match='train_dataloader: does not fit') as error:
        run('cckd', sampler)
    assert 'sampler (CURSampler): draws batches of 4, but the loader has batch_size=8' in str(
        error.value
    )


@pytest.mark.usefixtures('no_step')
@pytest.mark.parametrize(
    ('labels', 'message'),
    [
        (
            LABELS[:6],
            r'the 8 samples of this data set, .*has those of 6; is it a file of another data set',
        ),
        (
            1 - LABELS,
            r'labels of this data set differ from those of .*of\.npz; .* of another data set',
        ),
    ],
    ids=['number', 'order'],
)
def test_superclasses_of_another_data_set_are_refused(run, tmp_path, labels, message):
    file = tmp_path / 'of.npz'
    file.write_bytes(encode_superclasses(np.zeros_like(labels), labels))
    sampler = with_sampler(type='mmkd.SURSampler', batch_size=8, superclasses=str(file))
    with pytest.raises(ValueError, match=rf'superclasses: .*{message}'):
        run('cckd', sampler)


@pytest.mark.usefixtures('no_step')
def test_missing_file_of_superclasses_is_named(run):
    sampler = with_sampler(type='mmkd.SURSampler', batch_size=8, superclasses='absent.npz')
    with pytest.raises(FileNotFoundError, match=r'absent\.npz'):
        run('cckd', sampler)


@pytest.mark.usefixtures('no_step')
@pytest.mark.parametrize(('split', 'label'), [('train', 100), ('test', -1)])
def test_label_out_of_range_is_named(run, tmp_path, split, label):
    parts = {}
    for name in ('train', 'test'):
        labels = [*LABELS[:7].tolist(), label if name == split else 1]
        parts[name] = {b'data': IMAGES.reshape(8, -1), b'fine_labels': labels}
    write_pickles(tmp_path / 'data', {**parts, 'meta': {b'fine_label_names': names(100)}})
    loader = 'train_dataloader' if split == 'train' else 'val_dataloader'
    message = (
        rf'{loader}: does not fit[\s\S]*label {label} of sample 7 is outside \[0, 100\), the '
        r'outputs of model\.architecture\.head; '
    )
    with pytest.raises(ValueError, match=message):
        run('kd', data=tmp_path / 'data')


PROJECT = {'type': 'mmkd.ProjectionMLP', 'in_channels': 64, 'out_channels': 64}


@pytest.mark.parametrize(
    ('connector', 'message'),
    [
        (
            None,
            r'loss_align: expected equal shapes, got \(32,\) .* \(64,\) .*mmkd\.ProjectionMLP',
        ),
        (PROJECT, r'align_student\.in_channels: .* 32, got 64; leave it out'),
        (
            {**PROJECT, 'in_channels': 32, 'out_channels': 48},
            r'got \(48,\) of .* through the connector align_student and \(64,\)',
        ),
    ],
    ids=['none', 'input', 'output'],
)
def test_features_of_another_width_are_refused(run, connector, message):
    align = ALIGN.format(connector={'student_connector': connector} if connector else {})
    with pytest.raises(ValueError, match=message):
        run('dlkd', NARROW_STUDENT, align)


@pytest.mark.usefixtures('no_step')
def test_connectors_to_different_widths_are_named(run):
    connector = "dict(type='mmkd.LinearEmbed', out_channels=64)"
    loss = f'dict(dlkd_sup=dict(student_connector={connector}))'
    widths = f"\nmodel['distiller'] = dict(losses={loss})\n"
    message = (
        r"loss_dlkd_sup: .* got \(64,\) of the student's neck through the connector "
        r"dlkd_sup_student and \(128,\) of the teacher's neck through .* dlkd_sup_teacher"
    )
    with pytest.raises(ValueError, match=message):
        run('dlkd', widths)


@pytest.mark.usefixtures('no_step')
def test_teacher_of_a_diverged_run_is_named(run, repo, tmp_path):
    teacher = build_model({'cfg_path': str(repo / 'configs/cifar100/resnet20_cifar100.py')})
    state = teacher.state_dict()
    state['head.fc.weight'][3, 5] = float('nan')
    torch.save({'state_dict': state}, tmp_path / 'diverged.pth')
    path = str(tmp_path / 'diverged.pth')
    message = (
        r'expected numbers in .*diverged\.pth, got NaN; did .*\nNaN \(1\):\n  head\.fc\.weight'
    )
    with pytest.raises(ValueError, match=message):
        run('kd', f"\nmodel['teacher']['checkpoint'] = {path!r}\n")
