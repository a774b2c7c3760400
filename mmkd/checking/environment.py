"""What a config asks of the machine and of the process."""

import os
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device

# Environment variables by launcher, and what sets them.
LAUNCHERS = {
    'none': ((), ''),
    'pytorch': (('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR'), 'tools/dist_train.sh'),
    'slurm': (('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST'), 'tools/slurm_train.sh'),
    'mpi': (('OMPI_COMM_WORLD_LOCAL_RANK', 'OMPI_COMM_WORLD_SIZE'), 'mpirun'),
}


def check_environment(cfg: Config) -> None:
    """Check launcher, device and work directory of a run.

    Raises:
        ValueError: Names the setting, what it needs, and what is there.
    """
    launcher = cfg.get('launcher', 'none')
    if launcher not in LAUNCHERS:
        raise ValueError(f'launcher: expected one of {[*LAUNCHERS]}, got {launcher!r}')
    variables, starter = LAUNCHERS[launcher]
    if missing := [name for name in variables if name not in os.environ]:
        raise ValueError(
            f'launcher: {launcher} needs the environment variables {", ".join(missing)}; start the '
            f'processes with {starter}'
        )
    device = get_device()
    wrapper = cfg.get('optim_wrapper') or {}
    if wrapper.get('type') == 'AmpOptimWrapper' and device == 'cpu':
        raise ValueError('optim_wrapper.type: AmpOptimWrapper needs a GPU, this machine has none')
    wanted = cfg.get('device')
    if isinstance(wanted, str) and wanted.partition(':')[0] != device:
        raise ValueError(f'device: expected {device}, on which MMEngine trains here, got {wanted}')
    work_dir = cfg.get('work_dir')
    if work_dir is None:
        raise ValueError('work_dir: expected a folder for logs and checkpoints, got none')
    folder = Path(work_dir)
    existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not existing.is_dir():
        raise ValueError(f'work_dir: expected a folder, got {work_dir}, but {existing} is a file')
    if not os.access(existing, os.W_OK):
        raise ValueError(f'work_dir: {existing} is not writable')
