"""Multi-process runs on machines without a GPU: gloo, and DDP without ``device_ids``.

MMEngine 0.10 selects a CUDA device and passes it to DDP with every backend.
"""

import functools
import os
from types import ModuleType
from typing import TYPE_CHECKING

from mmkd.compat.import_hooks import after_import

if TYPE_CHECKING:
    from mmengine.runner import Runner
    from torch import nn


def _without_device(dist_utils: ModuleType) -> None:
    """Start the process group with gloo if there is no accelerator."""
    import torch.distributed as dist
    from mmengine.device import get_device

    start = dist_utils._init_dist_pytorch
    start_slurm = dist_utils._init_dist_slurm

    @functools.wraps(start)
    def init_dist_pytorch(backend, init_backend='torch', **kwargs):
        if get_device() == 'cpu':
            dist.init_process_group(backend='gloo', **kwargs)
        else:
            start(backend, init_backend=init_backend, **kwargs)

    @functools.wraps(start_slurm)
    def init_dist_slurm(backend, port=None, init_backend='torch', **kwargs):
        if get_device() != 'cpu':
            start_slurm(backend, port=port, init_backend=init_backend, **kwargs)
            return
        if 'MASTER_ADDR' not in os.environ:
            raise KeyError('MASTER_ADDR: expected the first node of the job in the environment')
        os.environ.setdefault('MASTER_PORT', str(port or 29500))
        os.environ['RANK'] = os.environ['SLURM_PROCID']
        os.environ['WORLD_SIZE'] = os.environ['SLURM_NTASKS']
        os.environ['LOCAL_RANK'] = os.environ['SLURM_LOCALID']
        dist.init_process_group(backend='gloo', **kwargs)

    dist_utils._init_dist_pytorch = init_dist_pytorch  # type: ignore[attr-defined]
    dist_utils._init_dist_slurm = init_dist_slurm  # type: ignore[attr-defined]


def _without_sync_batch_norm(runner: 'Runner', model: 'nn.Module') -> 'nn.Module':
    """Replace SyncBatchNorm by BatchNorm: DDP refuses SyncBatchNorm on a CPU."""
    from mmengine.model import revert_sync_batchnorm
    from torch.nn import SyncBatchNorm

    layers = any(isinstance(module, SyncBatchNorm) for module in model.modules())
    if not layers and runner.cfg.get('sync_bn') is None:
        return model
    runner.logger.warning(
        'sync_bn: without a GPU batch statistics are not synchronized, each process uses its own'
    )
    runner.cfg.sync_bn = None
    return revert_sync_batchnorm(model)


def _wrap_on_cpu(runner: ModuleType) -> None:
    """Wrap the model without ``device_ids`` if there is no accelerator."""
    from mmengine.device import get_device

    wrap_model = runner.Runner.wrap_model

    @functools.wraps(wrap_model)
    def wrap(self: 'Runner', model_wrapper_cfg: dict | None, model: 'nn.Module') -> 'nn.Module':
        if self.distributed and get_device() == 'cpu':
            if model_wrapper_cfg is None:
                model_wrapper_cfg = {
                    'type': 'MMDistributedDataParallel',
                    'broadcast_buffers': False,
                    'find_unused_parameters': self.cfg.get('find_unused_parameters', False),
                }
            model_wrapper_cfg.setdefault('device_ids', None)
            model = _without_sync_batch_norm(self, model)
        return wrap_model(self, model_wrapper_cfg, model)

    runner.Runner.wrap_model = wrap


def apply() -> None:
    """Patch MMEngine's launcher and runner."""
    after_import('mmengine.dist.utils', _without_device)
    after_import('mmengine.runner.runner', _wrap_on_cpu)
