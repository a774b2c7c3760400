"""Two processes that share a batch learn what one process learns from all of it."""

import torch
import torch.distributed as dist
from helpers import distiller_config, toy_detector
from mmengine.model import MMDistributedDataParallel

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.teachers import FrozenTeacher

CONNECTOR = {'type': 'mmkd.LevelwiseConv', 'in_channels': 4, 'out_channels': 4, 'num_levels': 1}
MAPPING = {
    'student': {'from_student': True, 'recorder': 'feature', 'connector': 'to_teacher'},
    'teacher': {'from_student': False, 'recorder': 'feature'},
}


def build():
    """A student that reaches the teacher through a connector; the same at each call."""
    student, teacher = toy_detector(0), FrozenTeacher(toy_detector(1))
    distiller = distiller_config(
        connectors={'to_teacher': CONNECTOR}, loss_forward_mappings={'loss_feature': MAPPING}
    )
    return FrozenTeacherDistill(student, teacher, distiller)


def gradients_of_steps(algorithm, forward, images):
    """Gradients of two steps that distill and of two after distillation was stopped."""
    steps = []
    for stopped in (False, False, True, True):
        algorithm.distillation_stopped = stopped
        algorithm.zero_grad(set_to_none=True)
        sum(forward(images, mode='loss').values()).backward()
        steps.append({name: p.grad for name, p in algorithm.named_parameters()})
    return steps


def whole_batch():
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def worker(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    algorithm = build()
    wrapped = MMDistributedDataParallel(algorithm, broadcast_buffers=False)
    assert not wrapped.find_unused_parameters
    steps = gradients_of_steps(algorithm, wrapped, whole_batch().chunk(2)[rank])
    torch.save(steps, f'{folder}/{rank}.pth')
    dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path):
    torch.multiprocessing.spawn(worker, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f'{rank}.pth', weights_only=True) for rank in range(2))
    algorithm = build()
    alone = gradients_of_steps(algorithm, algorithm, whole_batch())
    connector = 'distiller.connectors.to_teacher.convs.0.weight'
    assert [bool(step[connector].any()) for step in alone] == [True, True, False, False]
    for step in range(4):
        assert first[step].keys() == alone[step].keys()
        for name, gradient in alone[step].items():
            torch.testing.assert_close(first[step][name], second[step][name], rtol=0, atol=0)
            torch.testing.assert_close(first[step][name], gradient)
