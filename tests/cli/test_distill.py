"""`mmkd distill`: what its options become, and what it prints."""

import os
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config
from tiny_pairs import CLASSES, write_models

import mmkd
from mmkd.cli import distill
from mmkd.models.building import build_model
from mmkd.storage.checkpoint import read_checkpoint


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('models')
    write_models(folder)
    return folder


REQUIRED = ['--teacher=t.py', '--teacher-checkpoint=t.pth', '--student=s.py']


def arguments(*options):
    return distill.arguments_of(distill.parse_args([*REQUIRED, *options]))


def test_unlabeled_images():
    assert arguments('--unlabeled=d')['unlabeled'] == 'd'
    options = ['score=0.5', 'classes.cat=pet', 'classes.dog=pet']
    assert arguments('--unlabeled=d', '--unlabeled-options', *options)['unlabeled'] == {
        'images': 'd',
        'score': 0.5,
        'classes': {'cat': 'pet', 'dog': 'pet'},
    }


def test_options_are_the_arguments_of_the_call():
    given = arguments(
        *('--method=pcka', '--epochs=3', '--batch-size=2', '--work-dir=w', '--amp'),
        *('--seeds', '0', '1', '--baseline', '--resume', '--tensorboard'),
        *('--auto-scale-lr', '--skip-teacher-evaluation', '--launcher=slurm', '--data=d'),
        *('--method-options', 'loss_weight=5', 'mimic.loss_weight=2.5'),
        *('--cfg-options', 'a.b=1'),
    )
    expected = distill.mmkd.distill.__kwdefaults__ | {
        'teacher': 't.py',
        'teacher_checkpoint': 't.pth',
        'student': 's.py',
        'method': 'pcka',
        'epochs': 3,
        'batch_size': 2,
        'amp': True,
        'auto_scale_lr': True,
        'evaluate_teacher': False,
        'launcher': 'slurm',
        'seeds': [0, 1],
        'baseline': True,
        'resume': True,
        'tensorboard': True,
        'data': 'd',
        'method_options': {'loss_weight': 5, 'mimic': {'loss_weight': 2.5}},
        'options': {'a.b': 1},
    }
    expected.pop('report')  # main adds it, as a dry run writes none
    given['work_dir'], expected['work_dir'] = str(given['work_dir']), 'w'
    assert given == expected


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (['--ann=a', '--img=b'], {'train': ('a', 'b')}),
        (
            ['--ann=a', '--img=b', '--val-ann=c', '--val-img=d'],
            {'train': ('a', 'b'), 'val': ('c', 'd')},
        ),
        ([], None),
    ],
)
def test_files_of_annotations_are_the_data(options, expected):
    assert arguments(*options)['data'] == expected


def test_several_methods_are_a_list():
    assert arguments('--method', 'pcka', 'pkd')['method'] == ['pcka', 'pkd']
    assert arguments('--method', 'pcka')['method'] == 'pcka'
    assert arguments()['method'] is None


def test_image_size_is_a_side_or_height_and_width():
    assert arguments('--image-size', '320')['image_size'] == 320
    assert arguments('--image-size', '320', '640')['image_size'] == [320, 640]


def test_earlier_name_of_the_checkpoint_stays():
    args = distill.parse_args(['--teacher=t', '--teacher-ckpt=c', '--student=s'])
    assert args.teacher_checkpoint == 'c'


@pytest.mark.parametrize(
    ('extra', 'message'),
    [
        (['--ann=a.json'], 'expected both or none of --ann and --img'),
        (['--val-ann=a.json', '--val-img=b'], '--val-ann: expected --ann beside it'),
        (['--ann=a', '--img=b', '--data=c'], 'not both'),
        (['--image-size', '1', '2', '3'], '--image-size: expected one side or H W'),
        (['--work-dir', __file__], '--work-dir: expected a folder, got the file'),
        (['--seeds', '1', '1'], '--seeds: expected each seed once'),
    ],
)
def test_options_that_belong_together(extra, message, capsys):
    with pytest.raises(SystemExit):
        arguments(*extra)
    assert message in capsys.readouterr().err


def test_dry_run_writes_checks_and_names_the_next_step(folder, tiny_coco, tmp_path, capsys):
    files = tiny_coco(*CLASSES)
    distill.main(
        [
            f'--teacher={folder}/big_retinanet.py',
            f'--teacher-checkpoint={folder}/big_retinanet.pth',
            f'--student={folder}/retinanet.py',
            *(f'--ann={files}/annotations.json', f'--img={files}/images'),
            *(f'--val-ann={files}/annotations.json', f'--val-img={files}/images'),
            *(f'--work-dir={tmp_path}', '--dry-run', '--image-size', '64', '96'),
        ]
    )
    out = capsys.readouterr().out
    path = tmp_path / 'pkd_big_retinanet_retinanet_64x96.py'
    assert f'config     {path}' in out
    assert 'checked    one training step and one validation batch' in out
    assert f'next       mmkd train {path}' in out
    assert 'data       2 classes: disc, square' in out
    assert Config.fromfile(path).train_pipeline[1].scale == (96, 64)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_options_reach_the_call(monkeypatch):
    calls = []
    monkeypatch.setattr(mmkd, 'distill', lambda **given: calls.append(given))
    distill.main([*REQUIRED, '--method=fkd'])
    assert (calls[0]['method'], calls[0]['student']) == ('fkd', 's.py')
    distill.main([*REQUIRED, '--no-report'])
    assert [call['report'] for call in calls] == [True, False]


@pytest.mark.slow
def test_two_processes_write_once_and_agree(tmp_path, free_port):
    teacher = 'mmkd::digits/resnet14_digits.py'
    checkpoint = tmp_path / 'teacher.pth'
    torch.save({'state_dict': build_model({'cfg_path': teacher}).state_dict()}, checkpoint)
    run = subprocess.run(
        [
            *(sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2'),
            *(f'--master_port={free_port}', '-m', 'mmkd.cli.main', 'distill'),
            *(f'--teacher={teacher}', f'--teacher-checkpoint={checkpoint}', '--method=kd'),
            *('--student=mmkd::digits/resnet8_digits.py', '--epochs=1', '--launcher=pytorch'),
            f'--work-dir={tmp_path}',
            *('--cfg-options', 'train_dataloader.dataset.num_samples=64'),
        ],
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.count('config     ') == 1
    assert run.stdout.count('student    ') == 2  # the decision, and the file at the end
    folder = tmp_path / 'kd_resnet14_digits_resnet8_digits_1e'
    assert (folder / 'student.pth').is_file()
    assert run.stdout.count(f'report     {folder / "report.html"}') == 1
    assert read_checkpoint(str(folder / 'epoch_1.pth'))['meta']['iter'] == 1  # of 64 images
