"""Runs of toy detectors by MMEngine's runner, quick enough to start in every process."""

import torch
from mmengine.runner import Runner
from torch.utils.data import Dataset


class Images(Dataset):
    """Random images of 8 x 8, the same in every process."""

    def __init__(self, count):
        self.images = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index]


def collate(images):
    return {'inputs': torch.stack(images)}


def toy_runner(
    model, work_dir, *, num_images, batch_size, launcher='pytorch', cfg=None, name='toy', **optim
):
    """One shuffled epoch of SGD."""
    return Runner(
        model=model,
        work_dir=str(work_dir),
        cfg=cfg,
        launcher=launcher,
        train_dataloader={
            'batch_size': batch_size,
            'dataset': Images(num_images),
            'sampler': {'type': 'DefaultSampler', 'shuffle': True},
            'collate_fn': collate,
        },
        train_cfg={'by_epoch': True, 'max_epochs': 1},
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.1, 'momentum': 0.9}, **optim},
        default_hooks={'checkpoint': None},
        default_scope='mmengine',
        randomness={'seed': 0},
        log_level='WARNING',
        experiment_name=name,
    )
