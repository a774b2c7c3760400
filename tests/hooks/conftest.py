"""A run of a second or less: noisy vectors, dropout, momentum SGD, a scripted metric."""

import random

import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import nn
from torch.utils.data import Dataset

import mmkd  # noqa: F401  (before any test module imports mmdet)


class NoisyVectors(Dataset):
    """Eight vectors; each look adds noise from Python, NumPy and torch."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        noise = random.random() + np.random.rand() + torch.rand(4)
        sample = BaseDataElement(metainfo={'img_path': f'{index}.jpg'})
        return {'inputs': torch.full((4,), float(index)) / 8 + noise, 'data_samples': sample}


class Regressor(BaseModel):
    """Dropout and a linear layer; ``spoil(loss, iteration)`` may replace the loss."""

    def __init__(self, spoil=None):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.spoil = spoil
        self.iteration = -1

    def forward(self, inputs, data_samples=None, mode='tensor'):
        if mode == 'predict':
            return data_samples
        self.iteration += 1
        batch = torch.stack(inputs)
        output = self.linear(nn.functional.dropout(batch, 0.5, self.training))
        loss = (output - batch).square().mean()
        return {'loss': self.spoil(loss, self.iteration) if self.spoil else loss}


class ScriptedScores(BaseMetric):
    """Gives the next scores of a list at each evaluation."""

    def __init__(self, scores):
        super().__init__()
        self.scores = iter(scores)

    def process(self, data_batch, data_samples):
        self.results.append(None)

    def compute_metrics(self, results):
        return next(self.scores)


@pytest.fixture
def toy_runner(tmp_path):
    """Builds a three-epoch run of four iterations each; keywords replace arguments of Runner."""
    built = []

    def build(work_dir='run', *, loader=None, spoil=None, scores=None, seed=0, **overrides):
        built.append(None)
        torch.manual_seed(0)  # the model is built before Runner seeds
        arguments = {
            'model': Regressor(spoil),
            'work_dir': str(tmp_path / work_dir),
            'train_dataloader': {
                'dataset': NoisyVectors(),
                'sampler': {'type': 'DefaultSampler', 'shuffle': True},
                'batch_size': 2,
                'num_workers': 0,
                **(loader or {}),
            },
            'train_cfg': {'by_epoch': True, 'max_epochs': 3},
            'optim_wrapper': {'optimizer': {'type': 'SGD', 'lr': 0.05, 'momentum': 0.9}},
            'param_scheduler': {'type': 'MultiStepLR', 'milestones': [2]},
            'randomness': {'seed': seed},
            'default_scope': 'mmengine',
            'log_level': 'WARNING',
            'experiment_name': f'{tmp_path.name}_{len(built)}',  # message hubs live for ever
        }
        if scores is not None:
            arguments |= {
                'val_dataloader': {
                    'dataset': NoisyVectors(),
                    'sampler': {'type': 'DefaultSampler', 'shuffle': False},
                    'batch_size': 8,
                },
                'val_cfg': {},
                'val_evaluator': Evaluator([ScriptedScores(scores)]),
            }
        return Runner(**(arguments | overrides))

    return build
