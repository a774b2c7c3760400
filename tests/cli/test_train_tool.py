import pytest
import torch

from mmkd.api import running
from mmkd.cli import train
from mmkd.storage.checkpoint import read_checkpoint

LR = 2e-3  # of the digits config


@pytest.fixture
def built(monkeypatch):
    """The configs that reach the runner, which does nothing."""
    configs = []

    class Idle:
        def __init__(self, cfg):
            self.cfg = cfg

        def train(self):
            pass

    def build(cfg):
        configs.append(cfg)
        return Idle(cfg)

    monkeypatch.setattr(running, 'build_runner', build)
    return configs


def test_run_leaves_whole_checkpoints_without_the_teacher(trained):
    kept = sorted(path.name for path in trained.glob('*.pth'))
    assert kept == ['epoch_11.pth', 'epoch_12.pth']
    assert (trained / 'last_checkpoint').read_text() == str(trained / 'epoch_12.pth')
    rooms = {
        name.partition('.')[0]
        for name in read_checkpoint(str(trained / 'epoch_12.pth'))['state_dict']
    }
    assert rooms == {'architecture'}


def test_run_logs_task_and_distillation_losses(trained):
    log = next(trained.glob('*/*.log')).read_text()
    for name in ('student.loss_cls', 'student.loss_bbox', 'student.loss_dfl', 'distill.loss_pcka'):
        assert f'{name}: ' in log
    assert 'coco/bbox_mAP: ' in log


def test_plain_config_of_the_package_trains_without_a_teacher(tmp_path):
    options = [
        'train_cfg.max_epochs=1',
        'train_dataloader.dataset.num_images=2',
        'train_dataloader.dataset.image_size=96',
        'train_dataloader.num_workers=0',
        'val_dataloader.dataset.num_images=1',
    ]
    train.main(
        ['mmkd::digits/gfl_r18w16_fpn_digits.py', '--work-dir', str(tmp_path)]
        + ['--cfg-options', *options]
    )
    names = read_checkpoint(str(tmp_path / 'epoch_1.pth'))['state_dict']
    assert {name.partition('.')[0] for name in names} == {'backbone', 'neck', 'bbox_head'}


def test_auto_scale_lr_follows_the_batch(tiny_digits, tmp_path):
    train.main(
        [str(tiny_digits), '--work-dir', str(tmp_path), '--auto-scale-lr']
        + ['--cfg-options', 'train_cfg.max_epochs=1', 'auto_scale_lr.base_batch_size=8']
    )
    optimizer = read_checkpoint(str(tmp_path / 'epoch_1.pth'))['optimizer']
    assert optimizer['param_groups'][0]['lr'] == pytest.approx(LR * 2 / 8)


def test_auto_scale_lr_needs_the_base_batch(tiny_digits):
    with pytest.raises(ValueError, match=r'auto_scale_lr: expected auto_scale_lr.base_batch_size'):
        train.main(
            [str(tiny_digits), '--auto-scale-lr', '--cfg-options', 'auto_scale_lr._delete_=True']
        )


def test_amp_changes_the_optimizer_wrapper_alone(tiny_digits, built, monkeypatch):
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cuda')
    train.main([str(tiny_digits), '--amp'])
    train.main([str(tiny_digits)])
    mixed, plain = (cfg.optim_wrapper.to_dict() for cfg in built)
    assert mixed == plain | {'type': 'AmpOptimWrapper', 'loss_scale': 'dynamic'}
    assert mixed['clip_grad'] == {'max_norm': 10, 'norm_type': 2}


def test_amp_keeps_a_loss_scale_of_the_config(tiny_digits, built, monkeypatch):
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cuda')
    train.main([str(tiny_digits), '--amp', '--cfg-options', 'optim_wrapper.loss_scale=512.0'])
    assert built[0].optim_wrapper.loss_scale == 512.0


def test_amp_needs_a_gpu(tiny_digits, monkeypatch, capsys):
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cpu')
    with pytest.raises(SystemExit) as stop:
        train.main([str(tiny_digits), '--amp'])
    assert stop.value.code == 2
    assert '--amp: expected a GPU' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('options', 'resume', 'load_from'),
    [
        ([], False, None),
        (['--resume'], True, None),
        (['--resume', 'some.pth'], True, 'some.pth'),
        (['--resume', '--cfg-options', 'load_from=other.pth'], True, None),
        (['--cfg-options', 'load_from=other.pth'], False, 'other.pth'),
    ],
)
def test_resume_option(tiny_digits, built, tmp_path, monkeypatch, options, resume, load_from):
    monkeypatch.chdir(tmp_path)
    torch.save({}, 'some.pth')
    train.main([str(tiny_digits), *options])
    assert (built[0].resume, built[0].load_from) == (resume, load_from)


def test_work_directory_defaults_to_the_name_of_the_config(tiny_digits, built):
    train.main([str(tiny_digits)])
    train.main([str(tiny_digits), '--cfg-options', 'work_dir=elsewhere'])
    train.main([str(tiny_digits), '--work-dir', 'given', '--cfg-options', 'work_dir=elsewhere'])
    assert [cfg.work_dir for cfg in built] == ['work_dirs/tiny_digits', 'elsewhere', 'given']


def test_options_reach_the_student_and_its_teacher(tiny_digits, built):
    options = ['model.teacher.precision=bf16', 'model.architecture.bbox_head.num_classes=2']
    train.main([str(tiny_digits), '--cfg-options', *options])
    assert built[0].model.teacher.precision == 'bf16'
    assert built[0].model.architecture.bbox_head.num_classes == 2


def test_missing_config_is_named():
    with pytest.raises(FileNotFoundError, match=r'no_such_config\.py'):
        train.main(['no_such_config.py'])
