"""A second, unlabeled loader: its batches reach the distillation losses and nothing else."""

import pytest
import torch
from helpers import distiller_config, toy_detector
from mmengine.registry import FUNCTIONS
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mmkd.algorithms import UnlabeledDistill
from mmkd.registry import DATASETS
from mmkd.teachers import FrozenTeacher

MAPPING = {
    'loss_feature': {
        'student': {'from_student': True, 'recorder': 'feature', 'record_idx': 1},
        'teacher': {'from_student': False, 'recorder': 'feature', 'record_idx': 1},
    }
}


def algorithm():
    return UnlabeledDistill(
        toy_detector(0),
        FrozenTeacher(toy_detector(1)),
        distiller_config(loss_forward_mappings=MAPPING),
    )


def images(seed, count=2):
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def test_each_loss_has_its_batch():
    model = algorithm()
    labeled, unlabeled = images(0), images(1, count=5)
    losses = model(labeled, mode='loss', unlabeled=unlabeled)
    student, teacher = toy_detector(0), toy_detector(1)
    torch.testing.assert_close(
        losses['student.loss_task'], student(labeled, mode='loss')['loss_task']
    )
    expected = (student.extract_feat(unlabeled) - teacher.extract_feat(unlabeled)).square()
    torch.testing.assert_close(losses['distill.loss_feature'], expected.mean())


def test_missing_second_batch_says_where_it_comes_from():
    with pytest.raises(ValueError, match=r'unlabeled: expected a second batch.*UnlabeledTrainL'):
        algorithm()(images(0), mode='loss')


def test_prediction_needs_no_second_batch():
    model = algorithm()
    batch = model.data_preprocessor({'inputs': images(0)})
    assert model(**batch).shape[0] == 2


class Numbered(Dataset):
    """Images that hold their own number."""

    def __init__(self, length, start):
        self.length, self.start = length, start

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return {'inputs': torch.full((3, 8, 8), float(self.start + index))}


class Recording(UnlabeledDistill):
    """Keeps the numbers of the images of each step."""

    def forward(self, inputs, data_samples=None, mode='tensor', unlabeled=None):
        if mode == 'loss':
            self.steps.append((inputs[:, 0, 0, 0].tolist(), unlabeled[:, 0, 0, 0].tolist()))
        return super().forward(inputs, data_samples, mode, unlabeled)


def loader(length, start, batch_size):
    return {
        'dataset': {'type': 'mmkd.Numbered', 'length': length, 'start': start},
        'batch_size': batch_size,
        'sampler': {'type': 'DefaultSampler', 'shuffle': True},
        'collate_fn': {'type': 'default_collate'},
        'num_workers': 0,
        'drop_last': True,
    }


def run(folder, name, length=8, max_epochs=2, **options):
    DATASETS.register_module(module=Numbered, force=True)
    assert FUNCTIONS.get('default_collate')
    model = Recording(
        toy_detector(0),
        FrozenTeacher(toy_detector(1)),
        distiller_config(loss_forward_mappings=MAPPING),
    )
    model.steps = []
    runner = Runner(
        model,
        str(folder),
        train_dataloader=loader(8, 0, 2),
        train_cfg={
            'type': 'mmkd.UnlabeledTrainLoop',
            'max_epochs': max_epochs,
            'unlabeled_dataloader': loader(length, 100, 3),
        },
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 1e-6}},
        default_scope='mmkd',
        experiment_name=name,
        **{'randomness': {'seed': 1}} | options,
    )
    runner.train()
    return model.steps


def test_loop_goes_round_the_unlabeled_images(tmp_path):
    steps = run(tmp_path, 'unlabeled_round')
    assert len(steps) == 2 * 4
    assert all(len(labeled) == 2 and len(unlabeled) == 3 for labeled, unlabeled in steps)
    assert all(max(labeled) < 100 <= min(unlabeled) for labeled, unlabeled in steps)
    for epoch in (steps[:4], steps[4:]):
        assert sorted(number for labeled, _ in epoch for number in labeled) == list(range(8))
        first_pass = [number for _, unlabeled in epoch[:2] for number in unlabeled]
        assert len(set(first_pass)) == 6
    # Another order in each pass and epoch, the same in each run.
    passes = [[batch for _, batch in steps[start : start + 2]] for start in (0, 2, 4)]
    assert passes[0] != passes[1] != passes[2] != passes[0]
    assert run(tmp_path, 'unlabeled_again') == steps


def test_loader_without_a_batch(tmp_path):
    with pytest.raises(ValueError, match='unlabeled_dataloader: expected at least one batch'):
        run(tmp_path, 'unlabeled_none', length=2)


@pytest.mark.parametrize('iterations', [4, 6])
def test_a_resumed_run_without_a_seed_reads_the_same_images(tmp_path, iterations):
    options = {
        'randomness': {'seed': None},
        'default_hooks': {
            'checkpoint': {'type': 'CheckpointHook', 'interval': iterations, 'by_epoch': False},
        },
        'custom_hooks': [{'type': 'mmkd.EpochSeedHook'}],
    }
    steps = run(tmp_path / 'whole', f'unseeded{iterations}', **options)
    file = str(tmp_path / f'whole/iter_{iterations}.pth')
    options |= {'load_from': file, 'resume': True}
    assert run(tmp_path / 'rest', f'unseeded_rest{iterations}', **options) == steps[iterations:]
