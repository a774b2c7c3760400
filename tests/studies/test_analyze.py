"""`mmkd.analyze` and its command: files, networks of any kind, and mistakes."""

import json

import numpy as np
import pytest
import torch
from helpers import FASTER_RCNN, RETINANET
from PIL import Image
from sklearn.metrics import accuracy_score

import mmkd
from mmkd.cli import analyze as command
from mmkd.cli.main import COMMANDS
from mmkd.datasets.digits import DigitsDataset
from mmkd.models.building import build_model
from mmkd.studies.kinds import STUDIES, knowledge
from mmkd.studies.networks import Network
from mmkd.studies.object_logits import best_in_boxes
from mmkd.studies.pair_networks import student_names

CLASSIFIERS = 'configs/cmkd/cmkd_resnet14_resnet8_digits.py'
DETECTORS = 'configs/pcka/pcka_gfl_r18w48_r18w16_fpn_digits.py'
FEW = {'train_dataloader.dataset.num_samples': 60, 'val_dataloader.dataset.num_samples': 60}


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Random weights of the digits' networks: a teacher's, and two of a student."""
    folder = tmp_path_factory.mktemp('weights')
    names = {
        'teacher': 'resnet14', 'student': 'resnet8', 'other': 'resnet8',
        'big': 'gfl_r18w48_fpn', 'small': 'gfl_r18w16_fpn',
    }  # fmt: skip
    for seed, (name, config) in enumerate(names.items()):
        torch.manual_seed(seed)
        model = build_model({'cfg_path': f'mmkd::digits/{config}_digits.py'})
        content = {'state_dict': model.state_dict(), 'meta': {'epoch': seed}}
        torch.save(content, folder / f'{name}.pth')
    return folder


def numbers_of(path):
    return json.loads(path.read_bytes())


def test_classifiers_get_every_study(weights, tmp_path, repo, capsys):
    out = tmp_path / 'with space'
    arguments = [
        str(repo / CLASSIFIERS), str(weights / 'student.pth'),
        '--teacher-checkpoint', str(weights / 'teacher.pth'), '--out', str(out), '--samples', '20',
        '--cfg-options', *(f'{key}={value}' for key, value in FEW.items()),
    ]  # fmt: skip
    command.main(arguments)
    found = numbers_of(out / 'analysis.json')
    assert {*found['studies']} == {*STUDIES} - {'knowledge'}
    assert 'takes long' in found['left_out']['knowledge']
    assert found['checkpoints'] == {'student': str(weights / 'student.pth')}
    assert found['images'] == found['studies']['logits']['samples'] == 60
    assert found['studies']['logits']['students']['student']['epoch'] == 1
    lines = capsys.readouterr().out.splitlines()
    for name, study in found['studies'].items():
        assert any(line.startswith(f'{name}: {study["line"]}') for line in lines)
        for picture in study['pictures']:
            Image.open(out / picture).verify()
    assert found['studies']['cka']['teacher_layers'][-2:] == ['neck', 'logits']


def test_accuracy_is_that_of_the_model(weights, tmp_path, repo):
    path = mmkd.analyze(
        repo / CLASSIFIERS, weights / 'student.pth', weights / 'other.pth', options=FEW,
        studies='calibration', out=tmp_path / 'a', teacher_checkpoint=weights / 'teacher.pth',
    )  # fmt: skip
    networks = numbers_of(path)['studies']['calibration']['networks']
    assert [*networks] == ['teacher', 'student', 'other']
    found = networks['student']['accuracy']
    model = build_model({'cfg_path': 'mmkd::digits/resnet8_digits.py'}).eval()
    model.load_state_dict(torch.load(weights / 'student.pth')['state_dict'])
    data = DigitsDataset(split='val', num_samples=60, device='cpu')
    samples = model.test_step(data.__getitems__(range(60)))
    answers = [int(sample.pred_score.argmax()) for sample in samples]
    truth = [int(sample.gt_label) for sample in samples]
    assert found == pytest.approx(accuracy_score(truth, answers), abs=1e-5)


def test_knowledge_of_a_few_images(weights, tmp_path, repo, monkeypatch):
    monkeypatch.setattr(knowledge, 'STEPS', 3)
    path = mmkd.analyze(
        repo / CLASSIFIERS, weights / 'student.pth', studies=['knowledge'], images=2,
        out=tmp_path / 'a', teacher_checkpoint=weights / 'teacher.pth',
    )  # fmt: skip
    found = numbers_of(path)['studies']['knowledge']
    assert found['images'] == 2
    for each in found['networks'].values():
        assert 0 <= each['consistency'] <= 1
        assert 0 < each['concept_share'] < 1


def test_detectors_are_compared_at_objects(weights, tmp_path, repo):
    path = mmkd.analyze(
        repo / DETECTORS, weights / 'small.pth', out=tmp_path / 'a', images=6,
        studies=['cka', 'logits', 'samples', 'agreement'], layers=['backbone.layer4', 'neck'],
        teacher_checkpoint=weights / 'big.pth',
        options={'val_dataloader.dataset.num_images': 8, 'val_dataloader.dataset.image_size': 96},
    )  # fmt: skip
    found = numbers_of(path)
    assert found['kind'] == 'detector'
    assert found['images'] == 6
    objects = found['studies']['agreement']['samples']
    assert objects == found['studies']['samples']['samples'] > 6
    assert found['studies']['cka']['students']['student']['layers'] == ['backbone.layer4', 'neck']


@pytest.mark.parametrize(('config', 'sigmoid'), [(RETINANET, True), (FASTER_RCNN, False)])
def test_detectors_have_logits_at_boxes(config, sigmoid):
    torch.manual_seed(0)
    network = Network('student', build_model(config))
    assert network.object_logits.sigmoid is sigmoid
    boxes = torch.tensor([[0.0, 4, 4, 40, 40], [1.0, 10, 20, 60, 60]])
    with torch.no_grad():
        pyramid = network.model.extract_feat(torch.randn(2, 3, 64, 64))
        assert network.object_logits(pyramid, boxes).shape == (2, 3)


def test_the_most_confident_location_by_a_loop():
    generator = torch.Generator().manual_seed(0)
    levels = [torch.randn(2, 6, side, side, generator=generator) for side in (8, 4)]
    boxes = torch.tensor([[0, 3, 3, 21, 14], [1, 30.0, 30, 31, 31], [1, 0, 0, 64, 64]])
    found = best_in_boxes(levels, boxes, [(8, 8), (16, 16)], channels=3)
    for (image, *corners), logits in zip(boxes.tolist(), found, strict=True):
        answers = []
        for level, stride in zip(levels, (8, 16), strict=True):
            for y, x in np.ndindex(*level.shape[2:]):
                center = [(x + 0.5) * stride, (y + 0.5) * stride]
                inside = all(corners[i] < center[i] < corners[i + 2] for i in (0, 1))
                middle = [(corners[i] + corners[i + 2]) / 2 // stride for i in (0, 1)]
                if inside or middle == [x, y]:
                    answers += [*level[int(image), :, y, x].view(2, 3)]
        best = max(answers, key=lambda row: float(row.max()))
        assert torch.equal(logits, best)


def test_names_are_the_parts_that_differ():
    assert student_names(['/x/a/y/e.pth', '/x/b/y/e.pth']) == ['a', 'b']
    assert student_names(['/x/a/e1.pth', '/x/b/e1.pth', '/x/b/e2.pth']) == ['a/e1', 'b/e1', 'b/e2']
    assert student_names(['/x/teacher.pth', '/x/b.pth']) == ['x/teacher', 'x/b']


def test_the_help_lists_all_studies():
    assert tuple(STUDIES) == command.STUDY_NAMES
    assert COMMANDS['analyze'][0] == 'analyze'


@pytest.mark.parametrize(
    ('arguments', 'error', 'message'),
    [
        ({'studies': ['ckaa']}, ValueError, "some of cka.*'ckaa'; did you mean cka"),
        ({'studies': []}, ValueError, 'study: expected some of .*, got none'),
        ({'split': 'valid'}, ValueError, "split: expected one of .*'valid'"),
        ({'images': 0}, ValueError, 'images'),
        ({'samples': -1}, ValueError, 'samples'),
        ({'layers': ['backbone.layer9']}, ValueError, "layers: the student.*'backbone.layer9'"),
        ({'teacher_layers': ['nek']}, ValueError, "teacher_layers: the teacher.*'nek'; close"),
        ({'teacher_checkpoint': 'no.pth'}, FileNotFoundError, 'no.pth; name its file by --teacher'),
        ({'teacher': 'mmkd::digits/resnet14_digits.py', 'teacher_checkpoint': None}, ValueError,
         'teacher_checkpoint: expected the weights of mmkd::digits'),
        ({'checkpoints': []}, ValueError, 'checkpoints: expected at least one'),
        ({'checkpoints': ['teacher.pth']}, ValueError, 'teacher.pth'),
        ({'checkpoints': ['student.pth', 'student.pth']}, ValueError, 'expected different files'),
        ({'config': 'mmkd::digits/resnet8_digits.py'}, ValueError,
         'teacher: expected the config of a distillation, or --teacher CONFIG'),
        ({'config': 'no.py'}, FileNotFoundError, 'config: no file no.py'),
        ({'options': {'val_dataloader.datset.x': 1}}, ValueError, 'datset'),
    ],
)  # fmt: skip
def test_mistakes_are_named(weights, tmp_path, repo, arguments, error, message):
    given = {
        'config': repo / CLASSIFIERS, 'checkpoints': ['student.pth'], 'options': FEW,
        'teacher_checkpoint': weights / 'teacher.pth', 'out': tmp_path / 'out', **arguments,
    }  # fmt: skip
    if given['config'] == 'mmkd::digits/resnet8_digits.py':
        given['teacher_checkpoint'] = None
    paths = [weights / name for name in given.pop('checkpoints')]
    with pytest.raises(error, match=message):
        mmkd.analyze(given.pop('config'), *paths, **given)
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('name', ['out', 'out/holiday.txt'])
def test_nothing_else_is_overwritten(weights, tmp_path, repo, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text('mine')
    with pytest.raises(FileExistsError, match=r'out: .*out'):
        mmkd.analyze(repo / CLASSIFIERS, weights / 'student.pth', out=tmp_path / 'out')
    assert path.read_text() == 'mine'
