"""What may go wrong in one process of several; imported by the runs that the tests start."""

import os
import signal

from mmengine.hooks import Hook
from mmengine.registry import HOOKS


def raise_error(runner):
    raise OSError('the disk of this process broke')


def kill(runner):
    """As the system does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def spoil_teacher(runner):
    """The distillation loss of this process is NaN from now on; its task loss is not, yet."""
    neck = runner.model.module.teacher.model.neck
    next(neck.parameters()).data.fill_(float('nan'))


@HOOKS.register_module()
class FaultHook(Hook):
    """Let the second of the processes fail before an iteration, counted from 1."""

    def __init__(self, fault, iteration):
        self.fault, self.iteration = globals()[fault], iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if (runner.rank, runner.iter + 1) == (1, self.iteration):
            self.fault(runner)
