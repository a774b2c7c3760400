"""The converter on files as the public repository writes them, with random weights."""

import argparse
import os
import subprocess
import sys
from collections import OrderedDict

import cv2
import numpy as np
import pytest
import torch
from published_cifar import (
    MODEL_FILES,
    PUBLISHED,
    cifar_model,
    public_state_dict,
    published_logits,
    randomize,
)

from mmkd.cli import convert_repdistiller as command
from mmkd.storage.checkpoint import CheckpointMismatchError

MEAN, STD = 120.0, 64.0

EVALUATED = """
_base_ = {base!r}
data_preprocessor = dict(num_classes=100, mean=[{mean}] * 3, std=[{std}] * 3, to_rgb=True)
test_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CustomDataset',
        data_root={root!r},
        ann_file='labels.txt',
        pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')],
    ),
)
test_evaluator = dict(type='Accuracy', topk=(1, 5))
test_cfg = dict()
"""


def public_file(path, name='resnet8', *, seed=0, zipped=True, **content):
    """Write a file as the public repository does, and return its state dict."""
    torch.manual_seed(seed)
    model = cifar_model(name)
    randomize(model)
    state_dict = content.pop('model', OrderedDict(public_state_dict(name, model)))
    torch.save({'model': state_dict, **content}, path, _use_new_zipfile_serialization=zipped)
    return state_dict


def load_into(name, path):
    """An MMPretrain model with the weights of a converted file, and the file's notes."""
    converted = torch.load(path, weights_only=True)
    assert set(converted) == {'meta', 'state_dict'}
    model = cifar_model(name).eval()
    model.load_state_dict(converted['state_dict'], strict=True)
    return model, converted['meta']


def test_converted_network_computes_what_the_public_one_does(tmp_path, capsys):
    source, out = tmp_path / 'ckpt_epoch_240.pth', tmp_path / 'new' / 'teacher.pth'
    optimizer = {'state': {0: {'momentum_buffer': torch.ones(2)}}, 'param_groups': [{'lr': 5e-4}]}
    accuracy = torch.tensor([79.42])
    public = public_file(source, 'wrn16_2', epoch=240, accuracy=accuracy, optimizer=optimizer)
    command.main(['wrn16_2', str(source), str(out)])
    model, meta = load_into('wrn16_2', out)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model(x), published_logits('wrn16_2', public, x))
    assert meta == {'epoch': 240, 'accuracy': pytest.approx(79.42)}
    assert capsys.readouterr().out == f'{out}: 83 tensors, 703284 parameters\n'


@pytest.mark.parametrize('name', PUBLISHED)
def test_every_network_is_converted(name, tmp_path):
    public = public_file(tmp_path / 'in.pth', name)
    command.main([name, str(tmp_path / 'in.pth'), str(tmp_path / 'out.pth')])
    converted = torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
    assert len(converted) == len(public) == PUBLISHED[name].num_tensors
    head = f'{PUBLISHED[name].classifier}.'
    for key, value in public.items():
        is_head = key.startswith(head)
        new = f'head.fc.{key.removeprefix(head)}' if is_head else f'backbone.{key}'
        assert torch.equal(converted[new], value)


def test_file_of_the_end_of_a_run_holds_its_options(tmp_path):
    options = argparse.Namespace(model='resnet8', lr_decay_epochs=[150, 180], learning_rate=0.05)
    for zipped in (True, False):
        public_file(tmp_path / 'resnet8_last.pth', zipped=zipped, opt=options)
        command.main(['resnet8', str(tmp_path / 'resnet8_last.pth'), str(tmp_path / 'out.pth')])
        assert load_into('resnet8', tmp_path / 'out.pth')[1] == {}


@pytest.mark.parametrize('accuracy', [np.float64(72.5), np.float32(72.5), 72.5, torch.tensor(72.5)])
def test_accuracy_of_any_kind_of_number(tmp_path, accuracy):
    public_file(tmp_path / 'in.pth', zipped=False, best_acc=accuracy, epoch=np.int64(7))
    command.main(['resnet8', str(tmp_path / 'in.pth'), str(tmp_path / 'out.pth')])
    meta = load_into('resnet8', tmp_path / 'out.pth')[1]
    assert meta == {'epoch': 7, 'accuracy': 72.5}
    assert [*map(type, meta.values())] == [int, float]


def test_data_parallel_prefix_and_missing_counters(tmp_path):
    public = public_file(tmp_path / 'in.pth')
    old = {f'module.{k}': v for k, v in public.items() if not k.endswith('num_batches_tracked')}
    assert len(old) < len(public)
    public_file(tmp_path / 'old.pth', model=old)
    command.main(['resnet8', str(tmp_path / 'old.pth'), str(tmp_path / 'out.pth')])
    model, _ = load_into('resnet8', tmp_path / 'out.pth')
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model(x), published_logits('resnet8', public, x))


def test_script_in_tools(repo, tmp_path):
    public_file(tmp_path / 'in.pth')
    config = str(MODEL_FILES / 'resnet8.py')
    command = [sys.executable, str(repo / 'tools/convert_repdistiller.py'), config]
    environment = {**os.environ, 'PYTHONPATH': str(repo)}
    subprocess.run(
        [*command, 'in.pth', 'out.pth'],
        cwd=tmp_path, env=environment, check=True, capture_output=True,
    )  # fmt: skip
    load_into('resnet8', tmp_path / 'out.pth')


def mismatch(tmp_path, config, *options):
    with pytest.raises(CheckpointMismatchError) as error:
        command.main([config, str(tmp_path / 'in.pth'), str(tmp_path / 'out.pth'), *options])
    assert not (tmp_path / 'out.pth').exists()
    return str(error.value)


def test_file_of_another_network_is_named(tmp_path):
    public_file(tmp_path / 'in.pth', 'resnet8x4')
    message = mismatch(tmp_path, 'resnet8')
    assert 'in.pth does not match ImageClassifier' in message
    assert 'not in the model (6)' in message
    assert 'backbone.layer1.0.downsample.0.weight' in message
    assert 'backbone.conv1.weight: the model has (16, 3, 3, 3), the file (32, 3, 3, 3)' in message
    assert message.endswith('\nThe backbone in the file is resnet8x4.')


def test_old_file_of_another_network_is_named(tmp_path):
    public = public_file(tmp_path / 'in.pth', 'resnet14')
    old = {k: v for k, v in public.items() if not k.endswith('num_batches_tracked')}
    public_file(tmp_path / 'in.pth', model=old)
    assert mismatch(tmp_path, 'resnet8').endswith('\nThe backbone in the file is resnet14.')


def test_missing_tensors_are_listed_and_no_network_fits(tmp_path):
    public = public_file(tmp_path / 'in.pth')
    del public['layer2.0.bn2.bias'], public['fc.weight']
    public_file(tmp_path / 'in.pth', model=public)
    message = mismatch(tmp_path, 'resnet8')
    assert 'missing in the file (2)' in message
    assert 'backbone.layer2.0.bn2.bias' in message
    assert 'head.fc.weight' in message
    assert "The backbone in the file is none of ['mobilenetv2_half', 'resnet110'," in message


def test_other_number_of_classes_keeps_the_name_of_the_backbone(tmp_path):
    public = public_file(tmp_path / 'in.pth')
    public.update({'fc.weight': torch.zeros(10, 64), 'fc.bias': torch.zeros(10)})
    public_file(tmp_path / 'in.pth', model=public)
    message = mismatch(tmp_path, 'resnet8')
    assert 'head.fc.weight: the model has (100, 64), the file (10, 64)' in message
    assert message.endswith('The backbone in the file is resnet8.')
    out, options = tmp_path / 'out.pth', ['--cfg-options', 'model.head.num_classes=10']
    command.main(['resnet8', str(tmp_path / 'in.pth'), str(out), *options])
    assert torch.load(out, weights_only=True)['state_dict']['head.fc.bias'].shape == (10,)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    public = public_file(tmp_path / 'in.pth')
    public['layer1.0.bn1.running_var'][3] = float('nan')
    public_file(tmp_path / 'in.pth', model=public)
    with pytest.raises(ValueError, match=r'expected finite weights .*layer1\.0\.bn1\.running_var'):
        command.main(['resnet8', str(tmp_path / 'in.pth'), str(tmp_path / 'out.pth')])
    assert not (tmp_path / 'out.pth').exists()


@pytest.mark.parametrize(
    'content', [{'state_dict': {'a': torch.ones(1)}}, {'model': 'resnet8'}, {'model': {'a': 1}}]
)
def test_file_of_another_kind(tmp_path, content):
    torch.save(content, tmp_path / 'in.pth')
    with pytest.raises(
        ValueError, match=rf'tensors under `model` .*keys \[{next(iter(content))!r}\]'
    ):
        command.main(['resnet8', str(tmp_path / 'in.pth'), str(tmp_path / 'out.pth')])


def test_unknown_network(tmp_path):
    with pytest.raises(
        ValueError, match=r"config: expected a \.py file .*'wrn16_2', .*, got 'wrn_16_2'"
    ):
        command.main(['wrn_16_2', 'in.pth', 'out.pth'])


class Attack:
    """Unpickles to a call that makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_file_that_would_run_code_is_refused(tmp_path):
    harm = tmp_path / 'harm'
    public_file(tmp_path / 'in.pth', opt=argparse.Namespace(model=Attack(str(harm))))
    with pytest.raises(ValueError, match='holds more than weights'):
        command.main(['resnet8', str(tmp_path / 'in.pth'), str(tmp_path / 'out.pth')])
    assert not harm.exists()


def test_options_are_allowed_in_the_files_it_converts_only(tmp_path):
    public_file(tmp_path / 'in.pth', opt=argparse.Namespace(model='resnet8'))
    command.main(['resnet8', str(tmp_path / 'in.pth'), str(tmp_path / 'out.pth')])
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


@pytest.fixture
def evaluated(tmp_path):
    """Config with ten test images, weights that get some of them right, and their accuracy."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (10, 32, 32, 3), dtype=np.uint8)  # RGB
    public = public_file(tmp_path / 'in.pth')
    x = (torch.tensor(images).permute(0, 3, 1, 2) - MEAN) / STD
    predicted = published_logits('resnet8', public, x).argmax(1)
    labels = predicted.clone()
    labels[:3] = (labels[:3] + 1) % 100
    lines = []
    for index, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        cv2.imwrite(str(tmp_path / f'{index}.png'), image[..., ::-1])
        lines.append(f'{index}.png {label}\n')
    (tmp_path / 'labels.txt').write_text(''.join(lines))
    config = tmp_path / 'evaluated.py'
    base = str(MODEL_FILES / 'resnet8.py')
    config.write_text(EVALUATED.format(base=base, mean=MEAN, std=STD, root=str(tmp_path)))
    return config, public, 70.0


def test_evaluated_accuracy_is_the_recorded_one(evaluated, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config, public, accuracy = evaluated
    public_file('in.pth', model=public, best_acc=torch.tensor(accuracy + 0.05))
    before = {path.name for path in tmp_path.iterdir()}
    command.main([str(config), 'in.pth', 'out.pth', '--evaluate'])
    assert {path.name for path in tmp_path.iterdir()} == before | {'out.pth'}
    assert 'top-1 70.00, recorded 70.05\n' in capsys.readouterr().out
    load_into('resnet8', 'out.pth')


@pytest.mark.parametrize('difference', [0.2, -0.2, float('nan')])
def test_nothing_is_written_if_the_accuracy_differs(evaluated, tmp_path, difference):
    config, public, accuracy = evaluated
    source, out = str(tmp_path / 'in.pth'), tmp_path / 'out.pth'
    public_file(source, model=public, best_acc=accuracy + difference)
    with pytest.raises(ValueError, match=r'recorded accuracy .*, got 70\.00; are data, normaliz'):
        command.main([str(config), source, str(out), '--evaluate'])
    assert not out.exists()


def test_evaluation_needs_a_recorded_accuracy_data_and_the_metric(evaluated, tmp_path):
    config, public, accuracy = evaluated
    source, out = str(tmp_path / 'in.pth'), str(tmp_path / 'out.pth')
    with pytest.raises(ValueError, match=r'an accuracy \(best_acc or accuracy\) recorded in .*in'):
        command.main([str(config), source, out, '--evaluate'])
    public_file(source, model=public, best_acc=accuracy)
    with pytest.raises(ValueError, match='--evaluate: expected a config with a `test_dataloader`'):
        command.main(['resnet8', source, out, '--evaluate'])
    options = ['--cfg-options', 'test_evaluator.topk=(5,)']
    with pytest.raises(ValueError, match=r"metric accuracy/top1, got \['accuracy/top5'\]"):
        command.main([str(config), source, out, '--evaluate', *options])
    assert not (tmp_path / 'out.pth').exists()
