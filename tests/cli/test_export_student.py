import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

import mmkd
from mmkd.cli import export_student
from mmkd.cli import test as test_tool
from mmkd.storage.checkpoint import read_checkpoint


@pytest.fixture(scope='module')
def exported(trained, tiny_digits, tmp_path_factory):
    """The exported student; its plain config lies beside it."""
    out = tmp_path_factory.mktemp('exported') / 'new' / 'student.pth'
    export_student.main([str(trained / 'epoch_12.pth'), str(out), '--config', str(tiny_digits)])
    return out


def test_tensors_are_the_trained_ones_under_plain_names(exported, trained):
    student = torch.load(exported, weights_only=True)['state_dict']
    run = read_checkpoint(str(trained / 'epoch_12.pth'))['state_dict']
    assert {f'architecture.{name}' for name in student} == set(run)
    assert all(torch.equal(run[f'architecture.{name}'], value) for name, value in student.items())


def test_nothing_of_the_run_is_left_but_what_describes_the_student(exported):
    checkpoint = torch.load(exported, weights_only=True)
    assert set(checkpoint) == {'meta', 'state_dict'}
    assert checkpoint['meta']['dataset_meta']['classes'] == tuple('0123456789')
    assert checkpoint['meta']['epoch'] == 12
    assert 'cfg' not in checkpoint['meta']


def test_plain_mmdetection_loads_all_of_it_with_the_same_ap(exported, tiny_digits, tmp_path):
    cfg = Config.fromfile(exported.with_suffix('.py'))
    assert cfg.model.type == 'GFL'
    cfg.work_dir = str(tmp_path / 'plain')
    runner = Runner.from_cfg(cfg)
    state_dict = torch.load(exported, weights_only=True)['state_dict']
    runner.model.load_state_dict(state_dict, strict=True)
    ours = test_tool.main([str(tiny_digits), str(exported), '--work-dir', str(tmp_path / 'ours')])
    assert runner.test() == ours
    assert ours['coco/bbox_mAP_50'] > 0


def test_high_level_api_of_mmdetection_detects_with_it(exported, cache_dir):
    from mmdet.apis import inference_detector, init_detector

    model = init_detector(str(exported.with_suffix('.py')), str(exported), device='cpu')
    image = next(cache_dir.glob('digit_scenes/*_train_*/images/000000.png'))
    result = inference_detector(model, str(image))
    assert model.dataset_meta['classes'] == tuple('0123456789')
    assert len(result.pred_instances) > 0


def test_count_of_tensors_is_told(trained, tmp_path, capsys):
    out = tmp_path / 'student.pth'
    export_student.main([str(trained / 'epoch_12.pth'), str(out)])
    count = len(torch.load(out, weights_only=True)['state_dict'])
    assert capsys.readouterr().out == f'{out}: {count} tensors\n'


def test_data_parallel_prefix_is_dropped(tmp_path):
    state_dict = {'module.architecture.neck.w': torch.ones(2), 'module.distiller.c': torch.ones(1)}
    torch.save({'state_dict': state_dict}, tmp_path / 'run.pth')
    out = mmkd.export(tmp_path / 'run.pth', tmp_path / 'student.pth')
    assert out == tmp_path / 'student.pth'
    student = torch.load(out, weights_only=True)['state_dict']
    assert list(student) == ['neck.w']


def test_checkpoint_without_a_student_is_refused(tmp_path):
    torch.save({'state_dict': {'backbone.w': torch.ones(1)}}, tmp_path / 'plain.pth')
    with pytest.raises(ValueError, match=r'plain\.pth has no student'):
        mmkd.export(tmp_path / 'plain.pth', tmp_path / 'student.pth')
    assert not (tmp_path / 'student.pth').exists()


def test_names_of_neither_student_nor_distillation_are_refused(tmp_path):
    state_dict = {'architecture.w': torch.ones(1), 'surplus.w': torch.ones(1)}
    torch.save({'state_dict': state_dict}, tmp_path / 'odd.pth')
    with pytest.raises(ValueError, match=r"got \['surplus\.w'\]"):
        mmkd.export(tmp_path / 'odd.pth', tmp_path / 'student.pth')


def test_earlier_export_survives_a_full_disk(trained, tmp_path, full_disk):
    out = tmp_path / 'student.pth'
    out.write_bytes(b'earlier')
    with full_disk(), pytest.raises(OSError, match=r'student\.pth needs \d+ bytes'):
        mmkd.export(trained / 'epoch_12.pth', out, overwrite=True)
    assert out.read_bytes() == b'earlier'
    assert [path.name for path in tmp_path.iterdir()] == ['student.pth']
