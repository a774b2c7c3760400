"""Checkpoints under PyTorch's safe loading: MMEngine's own load and resume, code never runs."""

import functools
import http.server
import os
import pickle
import shutil
import threading
import zipfile

import mmkd  # noqa: F401  # isort: skip  (before MMEngine is imported)
import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import CheckpointLoader, Runner, load_checkpoint
from torch import nn
from torch.utils.data import Dataset


class Numbers(Dataset):
    def __init__(self):
        self.metainfo = {'palette': np.arange(3, dtype='u1'), 'scale': np.float32(0.5)}

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return torch.full((3,), float(index))


class Toy(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)

    def forward(self, x, mode='tensor'):
        return {'loss': self.linear(x).square().mean()}


def runner(folder, **options):
    torch.manual_seed(0)
    return Runner(
        model=Toy(),
        work_dir=str(folder),
        train_dataloader={
            'batch_size': 4,
            'dataset': Numbers(),
            'sampler': {'type': 'InfiniteSampler', 'shuffle': False},
            'collate_fn': lambda batch: {'x': torch.stack(batch)},
        },
        train_cfg={'by_epoch': False, 'max_iters': 4},
        optim_wrapper={'optimizer': {'type': 'AdamW', 'lr': 0.01}},
        param_scheduler=[{'type': 'MultiStepLR', 'by_epoch': False, 'milestones': [1, 3]}],
        default_hooks={
            'checkpoint': {'type': 'CheckpointHook', 'by_epoch': False, 'interval': 1},
            'logger': {'type': 'LoggerHook', 'interval': 1},
        },
        default_scope='mmengine',
        experiment_name=str(folder),
        **options,
    )


@pytest.fixture(scope='module', autouse=True)
def _scope():
    """A run leaves its scope as the default: not beyond this module."""
    with DefaultScope.overwrite_default_scope('mmengine'):
        yield


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """A run of four iterations that keeps a checkpoint of each."""
    run = runner(tmp_path_factory.mktemp('run'))
    run.message_hub.update_info('best', np.float64(0.25))
    run.message_hub.update_scalar('train/numpy', np.float64(3.0))
    run.train()
    return run


def test_own_checkpoint_loads_and_holds_the_log(finished):
    saved = torch.load(f'{finished.work_dir}/iter_4.pth')
    losses = saved['message_hub']['log_scalars']['train/loss']
    assert isinstance(losses, HistoryBuffer)
    expected = finished.message_hub.get_scalar('train/loss').data
    np.testing.assert_array_equal(losses.data, expected)
    assert losses.mean() == pytest.approx(expected[0].mean())
    assert saved['message_hub']['runtime_info']['best'] == 0.25
    assert saved['meta']['iter'] == 4
    np.testing.assert_array_equal(saved['meta']['dataset_meta']['palette'], [0, 1, 2])


def test_without_the_allow_list_it_is_refused(finished):
    allowed = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        with pytest.raises(pickle.UnpicklingError, match=r'HistoryBuffer|multiarray'):
            torch.load(f'{finished.work_dir}/iter_2.pth')
    finally:
        torch.serialization.add_safe_globals(allowed)


def test_resumed_run_equals_an_uninterrupted_one(finished, tmp_path):
    resumed = runner(tmp_path, load_from=f'{finished.work_dir}/iter_2.pth', resume=True)
    resumed.train()
    assert resumed.iter == 4
    torch.testing.assert_close(
        resumed.model.state_dict(), finished.model.state_dict(), rtol=0, atol=0
    )
    # The log goes on where it stopped, and so does the learning rate: x 0.1 after 1 and 3.
    losses, expected = (
        run.message_hub.get_scalar('train/loss').data[0] for run in (resumed, finished)
    )
    np.testing.assert_array_equal(losses, expected)
    assert resumed.optim_wrapper.get_lr()['lr'] == pytest.approx([1e-4])
    steps = {int(state['step']) for state in resumed.optim_wrapper.state_dict()['state'].values()}
    assert steps == {4}


@pytest.mark.parametrize(
    'value',
    [np.float64(1.5), np.float32(1.5), np.float16(1.5), np.int64(-3), np.int32(3), np.bool_(True)],
    ids=lambda value: type(value).__name__,
)
def test_numpy_values_of_a_log(value, tmp_path):
    torch.save({'scalar': value, 'array': np.array([value, value])}, tmp_path / 'log.pth')
    loaded = torch.load(tmp_path / 'log.pth')
    assert loaded['scalar'] == value
    assert loaded['scalar'].dtype == value.dtype
    np.testing.assert_array_equal(loaded['array'], [value, value])


def make_folder(path):
    os.mkdir(path)


class MakesFolder:
    """Unpickled without care, it makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return make_folder, (self.path,)


def in_log(history):
    buffer = HistoryBuffer([1.0], [1])
    buffer._log_history = history
    return {'state_dict': {}, 'message_hub': {'log_scalars': {'loss': buffer}}}


# place: (file with the payload there, what the loader refuses)
PLACES = {
    'meta': (lambda payload: {'state_dict': Toy().state_dict(), 'meta': payload}, 'make_folder'),
    'weights': (lambda payload: {'linear.weight': payload}, 'make_folder'),
    'log': (in_log, 'make_folder'),
    'array': (lambda payload: in_log(np.array([payload], dtype=object)), 'dtype'),
}


@pytest.fixture
def witness(tmp_path):
    """A folder that must not appear; the test of the payload shows that it could."""
    return tmp_path / 'executed'


def test_the_payload_works_where_nothing_stops_it(witness):
    pickle.loads(pickle.dumps(MakesFolder(witness)))
    assert witness.exists()


@pytest.mark.parametrize('zipped', [True, False], ids=['zip format', 'legacy format'])
@pytest.mark.parametrize('place', PLACES)
def test_a_local_file_runs_no_code(place, zipped, witness, tmp_path):
    make, refused = PLACES[place]
    file = tmp_path / 'evil.pth'
    torch.save(make(MakesFolder(witness)), file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(pickle.UnpicklingError, match=refused):
        load_checkpoint(Toy(), str(file))
    assert not witness.exists()


@pytest.mark.parametrize('name', ['ndarray', 'mmkd.filled ndarray', 'mmkd.filled Float64DType'])
def test_a_file_cannot_call_the_types_that_the_loader_fills(name, tmp_path):
    module, _, name = name.rpartition(' ')
    call = f'\x80\x02c{module}\n{name}\nJ\x04\x00\x00\x00\x85R.'.encode('latin-1')
    with zipfile.ZipFile(tmp_path / 'evil.pth', 'w') as archive:
        for part, content in {'data.pkl': call, 'version': '3\n', 'byteorder': 'little'}.items():
            archive.writestr(f'archive/{part}', content)
    with pytest.raises(pickle.UnpicklingError, match='could run code'):
        load_checkpoint(Toy(), str(tmp_path / 'evil.pth'))


def test_a_resumed_file_runs_no_code(finished, witness, tmp_path):
    checkpoint = torch.load(f'{finished.work_dir}/iter_2.pth')
    checkpoint['message_hub']['runtime_info']['best'] = MakesFolder(witness)
    torch.save(checkpoint, tmp_path / 'evil.pth')
    run = runner(tmp_path, load_from=str(tmp_path / 'evil.pth'), resume=True)
    with pytest.raises(pickle.UnpicklingError, match='make_folder'):
        run.train()
    assert not witness.exists()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder and its address on a server of this machine."""
    folder = tmp_path / 'served'
    folder.mkdir()
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield folder, f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


def test_a_download_runs_no_code(served, witness):
    folder, address = served
    torch.save({'state_dict': {}, 'meta': MakesFolder(witness)}, folder / 'evil.pth')
    with pytest.raises(pickle.UnpicklingError, match='make_folder'):
        load_checkpoint(Toy(), f'{address}/evil.pth')
    assert not witness.exists()


def test_a_zipped_download_runs_no_code(served, witness):
    folder, address = served
    file = folder / 'inner.pth'
    torch.save(MakesFolder(witness), file, _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(folder / 'evil.zip', 'w') as archive:
        archive.write(file, 'inner.pth')
    with pytest.warns(FutureWarning, match='old format'), pytest.raises(pickle.UnpicklingError):
        CheckpointLoader.load_checkpoint(f'{address}/evil.zip')
    assert not witness.exists()


def test_a_download_of_weights_and_log_loads(served, finished):
    folder, address = served
    shutil.copy(f'{finished.work_dir}/iter_4.pth', folder)
    model = Toy()
    load_checkpoint(model, f'{address}/iter_4.pth', strict=True)
    expected = torch.load(f'{finished.work_dir}/iter_4.pth')['state_dict']
    torch.testing.assert_close(model.state_dict(), expected, rtol=0, atol=0)
