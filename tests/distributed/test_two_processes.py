"""Two CPU processes through the shell scripts do what one process does."""

import json
import os
import pickle
import subprocess
import sys

import pytest
import torch

from mmkd.checkpoint import read_checkpoint
from mmkd.tools import test as test_tool
from mmkd.tools import train

pytestmark = pytest.mark.slow

# Everything here is a mean over images or is normalised over all ranks, so that two batches of two
# are mathematically one of four: frozen batch statistics; PCKA averaged over images; GFL, whose
# normalisers MMDetection averages over the ranks (they are clamped to 1, hence a head that is
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
    distiller=dict(distill_losses=dict(loss_pcka=dict(average='batch'))),
)
train_dataloader = dict(batch_size={batch_size}, dataset=dict(num_images=12))
train_cfg = dict(max_epochs=2, val_interval=2)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='SGD', lr=0.001, momentum=0.9), clip_grad=None
)
"""


@pytest.fixture
def launch(repo, free_port, tmp_path):
    """Function: run a script of the folder ``tools`` on CPU processes."""
    environment = os.environ | {
        'PORT': str(free_port),
        'PYTHON': sys.executable,
        'CUDA_VISIBLE_DEVICES': '',
        'OMP_NUM_THREADS': '1',
    }

    def run(script, *arguments):
        return subprocess.run(
            ['bash', str(repo / 'tools' / script), *map(str, arguments)],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


def test_training_equals_one_process_with_the_whole_batch(launch, tiny_digits, tmp_path):
    configs = {}
    for batch_size in (2, 4):
        configs[batch_size] = tmp_path / f'batch_of_{batch_size}.py'
        text = SHARDABLE.format(base=str(tiny_digits), batch_size=batch_size)
        configs[batch_size].write_text(text)
    one, two = tmp_path / 'one', tmp_path / 'two'
    train.main([str(configs[4]), '--work-dir', str(one)])
    process = launch('dist_train.sh', configs[2], 2, '--work-dir', two)
    assert process.returncode == 0, process.stderr

    expected, got = (read_checkpoint(str(run / 'epoch_2.pth')) for run in (one, two))
    assert got['meta']['iter'] == expected['meta']['iter'] == 6
    assert got['state_dict'].keys() == expected['state_dict'].keys()
    for name, value in expected['state_dict'].items():
        torch.testing.assert_close(
            got['state_dict'][name], value, rtol=1e-5, atol=1e-6, msg=lambda m, n=name: f'{n}: {m}'
        )


def test_evaluation_equals_one_process(launch, tiny_digits, trained, tmp_path):
    checkpoint = trained / 'epoch_12.pth'
    arguments = [tiny_digits, checkpoint]
    work_dir = tmp_path / 'one'
    alone = test_tool.main(
        [*map(str, arguments), '--work-dir', str(work_dir), '--out', str(tmp_path / 'one.pkl')]
    )
    options = ['--work-dir', tmp_path / 'two', '--out', tmp_path / 'two.pkl']
    process = launch('dist_test.sh', *arguments, 2, *options)
    assert process.returncode == 0, process.stderr

    (metrics,) = tmp_path.glob('two/*/*.json')
    together = json.loads(metrics.read_text())
    assert {name: together[name] for name in alone} == alone
    assert alone['coco/bbox_mAP_50'] > 0
    expected, got = (
        pickle.loads((tmp_path / name).read_bytes()) for name in ('one.pkl', 'two.pkl')
    )
    # Five images on two processes: the sampler's repeated sixth is cut off again.
    assert [sample['img_id'] for sample in got] == [sample['img_id'] for sample in expected]
    assert len(got) == 5


def test_failure_of_a_process_fails_the_script(launch, tiny_digits, tmp_path):
    process = launch(
        'dist_train.sh', tiny_digits, 2, '--work-dir', tmp_path / 'work',
        '--cfg-options', 'model.teacher.checkpoint=nowhere.pth',
    )  # fmt: skip
    assert process.returncode != 0
    assert 'no such file: nowhere.pth' in process.stderr
