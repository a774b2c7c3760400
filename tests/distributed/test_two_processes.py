"""Two CPU processes through the shell scripts do what one process does."""

import pickle

import pytest
import torch
from launching import assert_same_metrics

from mmkd.cli import train
from mmkd.storage.checkpoint import read_checkpoint

pytestmark = pytest.mark.slow

# Everything here is a mean over images or is normalized over all ranks, so that two batches of two
# are mathematically one of four: frozen batch statistics; PCKA averaged over images; GFL, whose
# normalizers MMDetection averages over the ranks (they are clamped to 1, hence a head that is
# confident enough throughout); and SGD, as Adam's division would blow rounding up where gradients
# are about 0.
SHARDABLE = """
_base_ = {base!r}
model = dict(
    architecture=dict(
        backbone=dict(norm_eval=True),
        bbox_head=dict(
            init_cfg=dict(
                type='Normal',
                layer='Conv2d',
                std=0.01,
                override=dict(type='Normal', name='gfl_cls', std=0.01, bias_prob=0.2),
            )
        ),
    ),
    distiller=dict(losses=dict(pcka=dict(average='batch'))),
)
train_dataloader = dict(batch_size={batch_size}, dataset=dict(num_images=12))
train_cfg = dict(max_epochs=2, val_interval=2)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='SGD', lr=0.001, momentum=0.9), clip_grad=None
)
"""


def test_training_equals_one_process_with_the_whole_batch(start, tiny_digits, tmp_path):
    configs = {}
    for batch_size in (2, 4):
        configs[batch_size] = tmp_path / f'batch_of_{batch_size}.py'
        text = SHARDABLE.format(base=str(tiny_digits), batch_size=batch_size)
        configs[batch_size].write_text(text)
    train.main([str(configs[4]), '--work-dir', str(tmp_path)])
    two = start('dist_train.sh', configs[2], 2)
    two.succeed()

    expected, got = read_checkpoint(str(tmp_path / 'epoch_2.pth')), two.checkpoint()
    assert got['meta']['iter'] == expected['meta']['iter'] == 6
    assert got['state_dict'].keys() == expected['state_dict'].keys()
    for name, value in expected['state_dict'].items():
        torch.testing.assert_close(
            got['state_dict'][name], value, rtol=1e-5, atol=1e-6, msg=lambda m, n=name: f'{n}: {m}'
        )


def test_evaluation_equals_one_process(start, evaluated, tiny_digits, trained):
    metrics, predictions = evaluated
    run = start('dist_test.sh', tiny_digits, trained / 'epoch_12.pth', 2, '--out', 'two.pkl')
    run.succeed()
    assert_same_metrics(run.metrics(), metrics)
    got = pickle.loads((run.folder / 'two.pkl').read_bytes())
    # Five images on two processes: the sampler's repeated sixth is cut off again.
    assert [sample['img_id'] for sample in got] == [sample['img_id'] for sample in predictions]
    assert len(got) == 5


def test_failure_of_a_process_fails_the_script(start, tiny_digits):
    options = ['--cfg-options', 'model.teacher.checkpoint=nowhere.pth']
    status, stderr = start('dist_train.sh', tiny_digits, 2, *options).wait()
    assert status != 0
    assert 'no such file: nowhere.pth' in stderr
