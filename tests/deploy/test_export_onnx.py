"""From a trained student to boxes on a picture, with NumPy and onnxruntime alone."""

import json
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from mmdet.apis import inference_detector, init_detector

import mmkd
from mmkd.cli import export_student
from mmkd.cli import test as test_tool
from mmkd.deploy import export_onnx
from mmkd.deploy.graph import UnsupportedModelError
from mmkd.deploy.packages import check_packages
from mmkd.deploy.proof import ProofError, match
from mmkd.deploy.session import OnnxFile

SIZE = (160, 160)  # of the images that the data pipeline makes
onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')


@pytest.fixture(scope='module')
def exported(trained, tiny_digits, tmp_path_factory):
    """The ONNX file; plain checkpoint, card and record lie beside it."""
    folder = tmp_path_factory.mktemp('with space')
    trace = export_onnx._trace

    def traced_unless_teacher(graph, form, info, path):
        if info['task'] == 'teacher':  # its trace takes ten seconds
            raise UnsupportedModelError('model: expected a student')
        return trace(graph, form, info, path)

    options = ['--config', str(tiny_digits), '--onnx', str(folder / 'net.onnx'), '--evaluate']
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_onnx, '_trace', traced_unless_teacher)
        export_student.main([str(trained / 'epoch_12.pth'), str(folder / 'student.pth'), *options])
    return folder / 'net.onnx'


@pytest.fixture(scope='module')
def record(exported):
    return json.loads(exported.with_suffix('.json').read_text())


def test_files_lie_beside_one_another(exported):
    names = {path.name for path in exported.parent.iterdir()}
    assert names == {'student.pth', 'student.py', 'net.onnx', 'net.json', 'net.md'}


def test_record_tells_proof_metrics_and_costs(record, exported):
    assert record['proof']['number of boxes'] > 100
    assert record['proof']['largest difference of boxes (pixels)'] < 0.01
    metrics = record['metrics']
    assert metrics['PyTorch']['coco/bbox_mAP_50'] > 0
    assert abs(metrics['ONNX']['coco/bbox_mAP'] - metrics['PyTorch']['coco/bbox_mAP']) < 1e-3
    costs = record['costs']
    assert costs['student']['bytes'] == exported.stat().st_size
    student = torch.load(exported.with_name('student.pth'), weights_only=True)['state_dict']
    trainable = [v.numel() for k, v in student.items() if 'running' not in k and 'num_' not in k]
    assert costs['student']['parameters'] == pytest.approx(sum(trainable), abs=200)
    assert 0 < costs['student']['macs'] < costs['teacher']['macs']
    assert costs['student']['onnx_ms'] > 0
    assert costs['teacher']['pytorch_ms'] > 0
    assert 'onnx_ms' not in costs['teacher']  # which was not traced


def test_test_tool_gives_the_metrics_of_pytorch(exported, tiny_digits, record, tmp_path):
    metrics = test_tool.main([str(tiny_digits), str(exported), '--work-dir', str(tmp_path)])
    assert abs(metrics['coco/bbox_mAP'] - record['metrics']['PyTorch']['coco/bbox_mAP']) < 1e-3


def test_classes_in_another_order_stop_the_evaluation(exported, tiny_digits, tmp_path):
    classes = [str(digit) for digit in [1, 0, *range(2, 10)]]
    option = f'test_dataloader.dataset.metainfo.classes={json.dumps(classes)}'
    arguments = [str(tiny_digits), str(exported), '--work-dir', str(tmp_path)]
    with pytest.raises(ValueError, match=r"label 0 was '0' in its training and is '1' here"):
        test_tool.main([*arguments, '--cfg-options', option])


def test_script_of_the_card_finds_what_mmdetection_finds(exported, cache_dir):
    card = exported.with_suffix('.md').read_text()
    (script,) = re.findall(r'```python\n(.*?)```', card, re.DOTALL)
    assert set(re.findall(r'^import (\w+)', script, re.MULTILINE)) == {'numpy', 'onnxruntime'}
    image = next(cache_dir.glob('digit_scenes/*_train_*/images/000000.png'))
    picture = cv2.resize(cv2.imread(str(image)), SIZE)
    np.save(exported.parent / 'picture.npy', picture[..., ::-1])
    # The process has neither the packages of the training nor those of the export.
    absent = ['mmkd', 'torch', 'torchvision', 'mmengine', 'mmdet', 'onnx', 'onnxscript', 'cv2']
    blocked = f'import sys\nsys.modules.update(dict.fromkeys({absent}))\n'
    run = subprocess.run(
        [sys.executable, '-c', blocked + script],
        cwd=exported.parent, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (exported.parent / 'picture.npy').unlink()
    lines = [line.split(maxsplit=2) for line in run.stdout.splitlines()]
    plain = exported.with_name('student.pth')
    model = init_detector(str(plain.with_suffix('.py')), str(plain), device='cpu')
    expected = inference_detector(model, picture).pred_instances
    assert len(lines) == len(expected) > 0
    scores = [float(score) for _, score, _ in lines]
    np.testing.assert_allclose(scores, expected.scores.numpy(), atol=6e-4)
    best = json.loads(lines[0][2])
    np.testing.assert_allclose(best, expected.bboxes[0].numpy(), atol=0.06)


def test_card_names_data_classes_and_input(exported):
    card = exported.with_suffix('.md').read_text()
    for text in (
        '10: 0, 1, 2',
        'uint8 (batch, 3, 160, 160)',
        'pcka',
        '| metric | PyTorch | ONNX |',
        'torch 2.',
    ):
        assert text in card


def test_image_of_another_size_is_refused(exported):
    with pytest.raises(ValueError, match=r'expected uint8 of \(B, 3, 160, 160\).*\(1, 3, 64, 96\)'):
        OnnxFile(exported)(np.zeros((1, 3, 64, 96), np.uint8))


def test_larger_image_names_the_remedy(exported):
    with pytest.raises(ValueError, match=r'at most 160 x 160.* got 161 x 96; export with a larger'):
        OnnxFile(exported).format.padded(torch.zeros(3, 161, 96, dtype=torch.uint8))


def test_foreign_onnx_file_is_refused(tmp_path, tiny_digits):
    path = tmp_path / 'foreign.onnx'
    helper = onnx.helper
    value = helper.make_tensor_value_info('x', onnx.TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node('Identity', ['x'], ['y'])], 'g', [value], [
        helper.make_tensor_value_info('y', onnx.TensorProto.FLOAT, [1])
    ])  # fmt: skip
    opsets = [helper.make_opsetid('', 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    with pytest.raises(ValueError, match='expected a file that mmkd export wrote'):
        OnnxFile(path)


def test_damaged_onnx_file_is_named(tmp_path):
    (tmp_path / 'a.onnx').write_bytes(b'no model')
    with pytest.raises(ValueError, match=r'ONNX: cannot read .*a\.onnx'):
        OnnxFile(tmp_path / 'a.onnx')


def test_failed_proof_leaves_no_file(trained, tiny_digits, tmp_path, monkeypatch):
    def disagree(*_):
        raise ProofError('proof: expected onnxruntime and PyTorch to agree')

    monkeypatch.setattr(export_onnx, 'prove', disagree)
    monkeypatch.setattr(export_onnx, '_trace', lambda *_: (('boxes',), None))
    monkeypatch.setattr(export_onnx, 'OnnxFile', lambda *_: None)
    with pytest.raises(ProofError):
        mmkd.export(trained / 'epoch_12.pth', tmp_path / 'net.onnx', tiny_digits)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name', ['net.onnx', 'net.md', 'net.json'])
def test_file_of_the_user_stays(trained, tiny_digits, tmp_path, name):
    (tmp_path / name).write_text('mine')
    with pytest.raises(FileExistsError, match=rf'{name} exists and is no earlier export'):
        mmkd.export(trained / 'epoch_12.pth', tmp_path / 'net.onnx', tiny_digits)
    assert (tmp_path / name).read_text() == 'mine'


def test_folder_that_takes_no_file_is_named(trained, tiny_digits, tmp_path):
    (tmp_path / 'file').write_text('')
    for folder in ('/proc/none', tmp_path / 'file'):
        with pytest.raises(PermissionError, match=r'out: expected a folder to write net\.onnx'):
            mmkd.export(trained / 'epoch_12.pth', f'{folder}/net.onnx', tiny_digits)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'input': 'int16'}, 'input: expected one of'),
        ({'raw': True, 'evaluate': True}, 'raw: expected decoded outputs'),
        ({'size': (100, 96)}, r'size: expected height and width in multiples of 32, got \[100'),
        ({'size': (64, 64)}, 'expected images of at most 64 x 64'),
        ({'sise': (64, 64)}, 'sise'),
    ],
)
def test_wrong_options_are_named(trained, tiny_digits, tmp_path, options, message):
    out = tmp_path / 'net.onnx'
    with pytest.raises((ValueError, TypeError), match=message):
        mmkd.export(trained / 'epoch_12.pth', out, tiny_digits, **options)
    assert not out.exists()


def test_config_of_another_model_is_named(trained, tmp_path, repo):
    config = repo / 'configs/digits/gfl_r18w48_fpn_digits.py'
    with pytest.raises(ValueError, match='does not match GFL'):
        mmkd.export(trained / 'epoch_12.pth', tmp_path / 'net.onnx', config)


def test_missing_config_and_wrong_target_are_named(trained, tmp_path):
    with pytest.raises(ValueError, match=r"config: expected the run's config"):
        mmkd.export(trained / 'epoch_12.pth', tmp_path / 'net.onnx')
    with pytest.raises(ValueError, match=r'size: expected a target such as student\.onnx'):
        mmkd.export(trained / 'epoch_12.pth', tmp_path / 'net.pth', size=(64, 64))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['a.pth'], 'expected a file to write'),
        (['a.pth', '--onnx', 'b.pth'], '--onnx: expected a name that ends in .onnx'),
        (['a.pth', 'b.pth', '--raw'], '--raw: expected --onnx'),
        (['a.pth', 'b.onnx'], '--onnx: expected --config'),
    ],
)
def test_wrong_arguments_are_named(arguments, message, capsys):
    with pytest.raises(SystemExit, match='2'):
        export_student.parse_args(arguments)
    assert message in capsys.readouterr().err


def test_missing_packages_name_the_extra(monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(ImportError, match=r"got no onnx, onnxscript, onnxruntime;.*'mmkd\[onnx\]'"):
        check_packages()


def test_boxes_are_matched_within_their_class():
    mine = np.float32([[0, 0, 4, 4], [0, 0, 9, 9]]), np.float32([0.5, 0.4]), np.array([0, 1])
    theirs = np.float32([[0, 0, 9, 9], [0, 0, 4, 4.5]]), np.float32([0.4, 0.5]), np.array([1, 0])
    assert match(mine, theirs) == ([(0.5, 0.0), (0.0, 0.0)], 0)
    assert match(mine, (theirs[0], theirs[1], np.array([0, 0])))[1] == 2
