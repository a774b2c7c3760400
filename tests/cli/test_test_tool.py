import pickle

import pytest
import torch

from mmkd.cli import test as test_tool
from mmkd.exporting import export
from mmkd.models.building import build_model
from mmkd.storage.checkpoint import CheckpointMismatchError, read_checkpoint


@pytest.fixture(scope='module')
def checkpoint(trained):
    return str(trained / 'epoch_12.pth')


@pytest.fixture
def evaluate(tiny_digits, tmp_path):
    """Function: metrics and predictions of a checkpoint."""

    def run(checkpoint, *options):
        out = tmp_path / 'predictions.pkl'
        metrics = test_tool.main(
            [str(tiny_digits), checkpoint, '--out', str(out)]
            + ['--work-dir', str(tmp_path / 'work'), *options]
        )
        return metrics, pickle.loads(out.read_bytes())

    return run


def test_run_and_exported_student_give_the_same_metrics(evaluate, checkpoint, tmp_path):
    export(checkpoint, tmp_path / 'student.pth')
    metrics, predictions = evaluate(checkpoint)
    exported_metrics, exported_predictions = evaluate(str(tmp_path / 'student.pth'))
    assert metrics == exported_metrics
    assert metrics['coco/bbox_mAP_50'] > 0
    assert len(predictions) == len(exported_predictions) == 5
    for one, other in zip(predictions, exported_predictions, strict=True):
        assert one['img_id'] == other['img_id']
        for field in ('bboxes', 'scores', 'labels'):
            assert torch.equal(one['pred_instances'][field], other['pred_instances'][field])


def test_metrics_are_those_of_the_validation_in_training(evaluate, checkpoint, trained):
    log = next(trained.glob('*/*.log')).read_text()
    metrics, _ = evaluate(checkpoint)
    assert f'coco/bbox_mAP_50: {metrics["coco/bbox_mAP_50"]:.4f}' in log


def test_neither_teacher_nor_start_of_the_training_are_read(evaluate, checkpoint):
    settings = ['model.teacher.cfg_path=/no/such/config.py', 'load_from=/no/such.pth']
    metrics, _ = evaluate(checkpoint, '--cfg-options', *settings)
    assert metrics['coco/bbox_mAP_50'] > 0


def test_plain_config_with_the_exported_student(checkpoint, tmp_path, evaluate):
    export(checkpoint, tmp_path / 'student.pth')
    data = ['split=train', 'num_images=5', 'image_size=96']
    options = [f'test_dataloader.dataset.{setting}' for setting in data]
    metrics = test_tool.main(
        ['mmkd::digits/gfl_r18w16_fpn_digits.py', str(tmp_path / 'student.pth')]
        + ['--work-dir', str(tmp_path), '--cfg-options', 'model.test_cfg.score_thr=0.0', *options]
    )
    assert metrics == evaluate(checkpoint)[0]


def test_show_dir_takes_a_picture_an_image(tiny_digits, checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    test_tool.main([str(tiny_digits), checkpoint, '--work-dir', 'work', '--show-dir', 'drawn'])
    assert len(list((tmp_path / 'drawn').glob('*.png'))) == 5


def test_weights_of_another_model_are_listed(tiny_digits, tmp_path):
    teacher = str(tiny_digits.with_name('teacher.pth'))
    with pytest.raises(CheckpointMismatchError) as error:
        test_tool.main([str(tiny_digits), teacher, '--work-dir', str(tmp_path)])
    message = str(error.value)
    assert f'{teacher} does not match GFL' in message
    assert 'backbone.conv1.weight: the model has (16, 3, 7, 7), the file (48, 3, 7, 7)' in message


def test_missing_and_unexpected_weights_are_listed(tiny_digits, tmp_path):
    state_dict = build_model({'cfg_path': 'mmkd::digits/gfl_r18w16_fpn_digits.py'}).state_dict()
    state_dict['neck.surplus'] = state_dict.pop('neck.fpn_convs.0.conv.weight')
    torch.save(state_dict, tmp_path / 'renamed.pth')
    with pytest.raises(CheckpointMismatchError) as error:
        test_tool.main(
            [str(tiny_digits), str(tmp_path / 'renamed.pth'), '--work-dir', str(tmp_path)]
        )
    missing, unexpected = str(error.value).split('not in the model (1)')
    assert 'missing in the file (1)' in missing
    assert 'neck.fpn_convs.0.conv.weight' in missing
    assert 'neck.surplus' in unexpected


def test_missing_and_unreadable_files_are_named(tiny_digits, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'checkpoint: no such file: nowhere\.pth'):
        test_tool.main([str(tiny_digits), 'nowhere.pth', '--work-dir', str(tmp_path)])
    (tmp_path / 'text.pth').write_text('no checkpoint')
    with pytest.raises(ValueError, match=r'checkpoint: cannot read .*text\.pth \(13 bytes\)'):
        test_tool.main([str(tiny_digits), str(tmp_path / 'text.pth'), '--work-dir', str(tmp_path)])


def test_out_needs_a_pickle_file(tiny_digits, checkpoint, capsys):
    with pytest.raises(SystemExit) as stop:
        test_tool.main([str(tiny_digits), checkpoint, '--out', 'predictions.json'])
    assert stop.value.code == 2
    assert '--out: expected a .pkl or .pickle file, got predictions.json' in capsys.readouterr().err


@pytest.mark.parametrize('swap', [True, False])
def test_classes_of_the_checkpoint_in_another_order_stop(evaluate, checkpoint, tmp_path, swap):
    saved = read_checkpoint(checkpoint)
    first, second, *others = saved['meta']['dataset_meta']['classes']
    # The same names written otherwise are no other classes.
    names = (second, first) if swap else (f' {first}', second)
    saved['meta']['dataset_meta']['classes'] = (*names, *others)
    torch.save(saved, tmp_path / 'odd.pth')
    if not swap:
        assert evaluate(str(tmp_path / 'odd.pth'))[0]['coco/bbox_mAP_50'] > 0
        return
    with pytest.raises(
        ValueError, match=f'label 0 was {second!r} in its training and is {first!r}'
    ):
        evaluate(str(tmp_path / 'odd.pth'))
