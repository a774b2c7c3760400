"""The shell scripts on several CPU processes, and one such run that others are compared with."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from launching import Launched
from torch.distributed.elastic.utils.distributed import get_free_port

from mmkd.cli import test as test_tool

# Color jitter draws from NumPy's generator, so each process needs a random state of its own.
JITTERED = """
_base_ = {base!r}
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='PhotoMetricDistortion'),
            dict(type='PackDetInputs'),
        ]
    ),
)
train_cfg = dict(val_interval=10)
"""
SETTINGS = {'PORT', 'NNODES', 'NODE_RANK', 'MASTER_ADDR', 'MASTER_PORT', 'RANK', 'WORLD_SIZE'}


@pytest.fixture(scope='session')
def start(repo, tmp_path_factory):
    """Function: start a script of the folder ``tools``, with settings for its environment.

    Its work directory is ``work`` in the folder of what is returned.
    """
    clean = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    clean |= {'PYTHON': sys.executable, 'CUDA_VISIBLE_DEVICES': '', 'OMP_NUM_THREADS': '1'}
    clean['PYTHONPATH'] = str(Path(__file__).parent)

    def run(script, *arguments, **settings):
        folder = tmp_path_factory.mktemp('launched')
        command = ['bash', str(repo / 'tools' / script), *map(str, arguments)]
        with open(folder / 'stderr', 'w') as stderr:
            process = subprocess.Popen(
                [*command, '--work-dir', str(folder / 'work')],
                env=clean | {'PORT': str(get_free_port())} | settings,
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        return Launched(process, folder)

    return run


@pytest.fixture
def start_nodes(start, free_port):
    """Function: start a script on two nodes of one group, both this machine."""

    def run(*arguments):
        settings = {'NNODES': '2', 'MASTER_ADDR': '127.0.0.1', 'PORT': str(free_port)}
        return [start(*arguments, NODE_RANK=str(rank), **settings) for rank in range(2)]

    return run


@pytest.fixture(scope='session')
def jittered_digits(tiny_digits, tmp_path_factory):
    """Config file: ``tiny_digits`` with random colors."""
    config = tmp_path_factory.mktemp('jittered') / 'jittered.py'
    config.write_text(JITTERED.format(base=str(tiny_digits)))
    return config


@pytest.fixture(scope='session')
def two_processes(start, jittered_digits):
    """Two epochs of ``jittered_digits`` on two processes of one node."""
    launched = start('dist_train.sh', jittered_digits, 2)
    launched.succeed()
    return launched


@pytest.fixture(scope='session')
def evaluated(tiny_digits, trained, tmp_path_factory):
    """Metrics of ``trained``, and its predictions, by one process."""
    folder = tmp_path_factory.mktemp('evaluated')
    arguments = [tiny_digits, trained / 'epoch_12.pth', '--work-dir', folder]
    metrics = test_tool.main([*map(str, arguments), '--out', str(folder / 'one.pkl')])
    assert metrics['coco/bbox_mAP_50'] > 0
    return metrics, pickle.loads((folder / 'one.pkl').read_bytes())
