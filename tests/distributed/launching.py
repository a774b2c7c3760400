"""Scripts that run in the background, and the processes that they start."""

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from mmkd.storage.checkpoint import read_checkpoint


def processes_naming(text):
    """Ids of the running processes that have ``text`` in their command lines."""
    listed = subprocess.run(
        ['ps', '-ww', '-eo', 'pid=,args='], check=True, capture_output=True, text=True
    )
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if text in line]


@dataclass
class Launched:
    """A script that runs; ``folder`` is its own, and every process of it names that folder."""

    process: subprocess.Popen
    folder: Path

    @property
    def work_dir(self):
        """Its work directory."""
        return self.folder / 'work'

    def wait(self, timeout=240):
        """Its exit status and standard error, once it has ended by itself."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            for pid in processes_naming(str(self.folder)):
                os.kill(pid, signal.SIGKILL)
            raise
        return status, (self.folder / 'stderr').read_text()

    def succeed(self):
        """Wait for its success."""
        status, stderr = self.wait()
        assert status == 0, stderr

    def checkpoint(self, epoch=2):
        """What it saved after an epoch."""
        return read_checkpoint(str(self.work_dir / f'epoch_{epoch}.pth'))

    def metrics(self):
        """What it found in its one evaluation."""
        (file,) = self.work_dir.glob('*/*.json')
        return json.loads(file.read_text())

    def leaves_nobody(self, within=20):
        """Whether all its processes end; loading workers notice late that nobody reads them."""
        end = time.monotonic() + within
        while processes_naming(str(self.folder)):
            if time.monotonic() > end:
                return False
            time.sleep(0.2)
        return True


def assert_same_training(one, other):
    """Two checkpoints hold the very same iteration, weights and state of the optimizer."""
    assert one['meta']['iter'] == other['meta']['iter']
    for part in ('state_dict', 'optimizer'):
        torch.testing.assert_close(one[part], other[part], rtol=0, atol=0)


def assert_same_metrics(metrics, expected):
    """The metrics ``expected`` are among those that a run has written."""
    assert {name: metrics[name] for name in expected} == expected
