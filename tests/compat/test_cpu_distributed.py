"""MMEngine's launcher and runner with several processes and no accelerator."""

import mmkd  # noqa: F401  # isort: skip  (before MMEngine is imported)
import os
import socket
from types import SimpleNamespace

import mmengine.device
import pytest
import torch
import torch.distributed as dist
from mmengine.dist import init_dist
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import multiprocessing, nn
from torch.utils.data import Dataset

from mmkd.compat import cpu_distributed

LR, ITERATIONS, WORLD = 0.1, 2, 2
WRAPPERS = {
    'default': {'find_unused_parameters': True},
    'configured': {'model_wrapper_cfg': {'find_unused_parameters': True}},
}

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason='the runner would choose the accelerator'
)


class Numbers(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return torch.tensor([index / 8, 1.0])


def collate(batch):
    return {'x': torch.stack(batch)}


class Toy(BaseModel):
    """Fits twice the first number; ``unused`` asks for ``find_unused_parameters``."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.5, -0.5]))
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x, mode='tensor'):
        if mode == 'predict':
            return list(x[:, 0])
        return {'loss': (x @ self.weight - 2 * x[:, 0]).square().mean()}


class Seen(BaseMetric):
    """Which samples were evaluated, over all processes."""

    def process(self, data_batch, data_samples):
        self.results += [int(sample * 8) for sample in data_samples]

    def compute_metrics(self, results):
        return {'seen': sum(2**index for index in results)}


def free_port():
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return server.getsockname()[1]


def train(rank, folder, ports):
    """One process, as ``torchrun`` would start it, of a run with each wrapper."""
    torch.set_num_threads(1)
    os.environ |= {
        'RANK': str(rank),
        'LOCAL_RANK': str(rank),
        'WORLD_SIZE': str(WORLD),
        'MASTER_ADDR': '127.0.0.1',
    }
    for (name, config), port in zip(WRAPPERS.items(), ports, strict=True):
        os.environ['MASTER_PORT'] = str(port)
        torch.save(run(name, config, folder), f'{folder}/{name}_{rank}.pth')
        dist.destroy_process_group()


def run(name, config, folder):
    loader = {
        'batch_size': 2,
        'dataset': Numbers(),
        'sampler': {'type': 'DefaultSampler', 'shuffle': False},
        'collate_fn': collate,
    }
    runner = Runner(
        model=Toy(),
        work_dir=folder,
        cfg=config,
        launcher='pytorch',  # and MMEngine's own backend, nccl
        train_dataloader=loader,
        train_cfg={'by_epoch': True, 'max_epochs': 1},
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': LR}},
        val_dataloader=loader,
        val_cfg={},
        val_evaluator=Evaluator(Seen(prefix='toy')),
        default_hooks={'checkpoint': None},
        default_scope='mmengine',
        log_level='ERROR',
        experiment_name=name,
    )
    runner.train()
    return {
        'backend': dist.get_backend(),
        'wrapper': type(runner.model).__name__,
        'weight': runner.model.module.weight.detach(),
        'seen': runner.message_hub.get_scalar('val/toy/seen').current(),
    }


def train_alone():
    """Plain gradient descent with the batches that the processes share."""
    model, data = Toy(), [Numbers()[index] for index in range(8)]
    for step in range(ITERATIONS):
        # Rank r gets the samples r, r + 2, ...; two of them an iteration.
        batch = collate(data[4 * step : 4 * step + 4])
        (gradient,) = torch.autograd.grad(model(**batch)['loss'], model.weight)
        model.weight.data -= LR * gradient
    return model.weight.detach()


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    """The folder where both processes left the result of each run."""
    folder = tmp_path_factory.mktemp('runs')
    ports = [free_port() for _ in WRAPPERS]
    multiprocessing.spawn(train, (str(folder), ports), nprocs=WORLD)
    return folder


@pytest.mark.parametrize('wrapper', WRAPPERS)
def test_two_processes_train_as_one(wrapper, runs):
    for rank in range(WORLD):
        result = torch.load(runs / f'{wrapper}_{rank}.pth')
        assert result['backend'] == 'gloo'
        assert result['wrapper'] == 'MMDistributedDataParallel'
        assert result['seen'] == 2**8 - 1
        torch.testing.assert_close(result['weight'], train_alone())


@pytest.fixture
def slurm(monkeypatch):
    """The environment of a Slurm job with a single task."""
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT'):
        monkeypatch.delenv(name, raising=False)
    # The launcher writes to the environment and fixes how processes start: keep both to this test.
    monkeypatch.setattr(os, 'environ', os.environ.copy())
    monkeypatch.setattr(multiprocessing, 'set_start_method', lambda method: None)
    os.environ |= {'SLURM_PROCID': '0', 'SLURM_NTASKS': '1', 'SLURM_LOCALID': '0'}


@pytest.mark.usefixtures('slurm')
def test_slurm_job():
    os.environ['MASTER_ADDR'] = '127.0.0.1'
    init_dist('slurm', port=free_port())
    try:
        assert (dist.get_backend(), dist.get_rank(), dist.get_world_size()) == ('gloo', 0, 1)
        assert os.environ['LOCAL_RANK'] == '0'
    finally:
        dist.destroy_process_group()


@pytest.mark.usefixtures('slurm')
def test_slurm_job_without_an_address():
    with pytest.raises(KeyError, match='MASTER_ADDR: expected the first node'):
        init_dist('slurm')
    assert not dist.is_initialized()


def test_with_an_accelerator_the_original_launcher_is_called(monkeypatch):
    calls = []

    def record(name):
        return lambda *args, **kwargs: calls.append((name, args, kwargs))

    launcher = SimpleNamespace(
        _init_dist_pytorch=record('pytorch'), _init_dist_slurm=record('slurm')
    )
    monkeypatch.setattr(mmengine.device, 'get_device', lambda: 'cuda')
    cpu_distributed._without_device(launcher)
    launcher._init_dist_pytorch('nccl', timeout=3)
    launcher._init_dist_slurm('nccl', port=5)
    assert calls == [
        ('pytorch', ('nccl',), {'init_backend': 'torch', 'timeout': 3}),
        ('slurm', ('nccl',), {'port': 5, 'init_backend': 'torch'}),
    ]
