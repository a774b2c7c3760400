"""Training with MMEngine's runner: one run a folder, which is tidy and uses its own files."""

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

import mmkd  # noqa: F401
from mmkd.storage import work_dir_lock
from mmkd.storage.work_dir_lock import WorkDirInUseError


class Numbers(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.full((3,), float(index))


class Toy(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)

    def forward(self, *x, mode='tensor'):
        return {'loss': self.linear(torch.stack(x)).square().mean()}


@pytest.fixture
def runner(tmp_path):
    """Function: a runner of two iterations an epoch."""
    built = []

    def build(name='run', *, by_epoch=True, max_epochs=1, resume=False, load_from=None):
        built.append(None)
        return Runner(
            Toy(),
            str(tmp_path / name),
            train_dataloader={
                'dataset': Numbers(),
                'sampler': {'type': 'DefaultSampler'},
                'batch_size': 2,
            },
            train_cfg={'by_epoch': True, 'max_epochs': max_epochs},
            optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.01}},
            default_hooks={
                'checkpoint': {'type': 'CheckpointHook', 'interval': 1, 'by_epoch': by_epoch}
            },
            default_scope='mmengine',
            experiment_name=f'{tmp_path.name}_{len(built)}',
            log_level='WARNING',
            resume=resume,
            load_from=load_from,
        )

    return build


def test_a_folder_in_use_is_refused_and_stays_as_it_is(runner, tmp_path, monkeypatch):
    stray = tmp_path / 'run/epoch_1.pth.tmp'
    second = runner()
    stray.touch()  # of the other process, which is writing it

    def held(descriptor):
        raise BlockingIOError(11, 'Resource temporarily unavailable')

    monkeypatch.setattr(work_dir_lock, '_lock', held)
    with pytest.raises(WorkDirInUseError, match=r'run is in use by'):
        second.train()
    assert stray.exists()
    monkeypatch.undo()
    second.train()
    assert not stray.exists()


def test_only_temporary_files_of_the_run_are_removed(runner, tmp_path):
    run = tmp_path / 'run'
    (run / 'mine').mkdir(parents=True)
    kept = ['notes.tmp', 'mine/epoch_1.pth.tmp', 'epoch_1.pth.tmp2', 'my_epoch_1.pth.tmp', '.tmp']
    ours = ['epoch_1.pth.tmp', 'iter_20.pth.tmp', 'best_coco_bbox_mAP_epoch_1.pth.tmp']
    ours += ['last_checkpoint.tmp', 'evaluations.json.tmp']
    for name in kept + ours:
        (run / name).touch()
    (tmp_path / 'epoch_1.pth.tmp').touch()  # of another run
    runner().train()
    assert all((run / name).exists() for name in kept)
    assert not any((run / name).exists() for name in ours)
    assert (tmp_path / 'epoch_1.pth.tmp').exists()


def test_two_runs_in_a_row(runner):
    for _ in range(2):
        runner().train()


def test_a_checkpoint_that_does_not_say_where_its_epoch_began(runner, tmp_path, monkeypatch):
    run = runner(by_epoch=False, max_epochs=2)
    monkeypatch.setattr('mmkd.compat.resume._BEGIN', 'other_key')
    run.train()
    monkeypatch.undo()
    resumed = runner(
        by_epoch=False, max_epochs=2, resume=True, load_from=str(tmp_path / 'run/iter_3.pth')
    )
    said = []
    monkeypatch.setattr(resumed.logger, 'warning', said.append)
    resumed.train()
    assert any('does not say where epoch 2 begins' in text for text in said)
