"""Options of the training tool on two processes."""

import pytest
from launching import assert_same_training
from mmengine.config import Config

pytestmark = pytest.mark.slow


def test_resumed_equals_uninterrupted(start, two_processes, jittered_digits):
    checkpoint = two_processes.work_dir / 'epoch_1.pth'
    run = start('dist_train.sh', jittered_digits, 2, '--resume', checkpoint)
    run.succeed()
    assert not (run.work_dir / 'epoch_1.pth').exists()
    assert_same_training(run.checkpoint(), two_processes.checkpoint())
    with pytest.raises(AssertionError):
        assert_same_training(run.checkpoint(), two_processes.checkpoint(1))


def test_auto_scale_lr_counts_all_processes(start, tiny_digits):
    options = ['auto_scale_lr.base_batch_size=16', 'train_dataloader.batch_size=4']
    run = start(
        'dist_train.sh', tiny_digits, 2, '--auto-scale-lr',
        '--cfg-options', 'train_cfg.max_epochs=1', *options,
    )  # fmt: skip
    run.succeed()
    (group,) = run.checkpoint(1)['optimizer']['param_groups']
    assert group['lr'] == 0.5 * Config.fromfile(tiny_digits).optim_wrapper.optimizer.lr
