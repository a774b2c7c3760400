"""Reading checkpoints safely, and loading all of one or nothing silently."""

import http.server
import os
import pickle
import threading

import pytest
import torch
from mmengine.logging import HistoryBuffer
from torch import nn

from mmkd.storage.checkpoint import (
    CheckpointMismatchError,
    assert_unchanged,
    checksums,
    load_all,
    read_checkpoint,
    read_state_dict,
)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4)


class Attack:
    """Unpickles to a call that makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Base URL of a server of ``tmp_path / 'www'``; downloads go to ``tmp_path / 'hub'``."""
    root = tmp_path / 'www'
    root.mkdir()
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(root))

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f'http://127.0.0.1:{httpd.server_port}'
        httpd.shutdown()
        thread.join()


def saved(path, content, **options):
    torch.save(content, path, **options)
    return str(path)


def test_reads_plain_wrapped_and_data_parallel_state_dicts(tmp_path):
    state = Net().state_dict()
    files = {
        'plain': state,
        'wrapped': {'state_dict': state, 'meta': {'epoch': 3}},
        'parallel': {'state_dict': {f'module.{k}': v for k, v in state.items()}},
    }
    for name, content in files.items():
        read = read_state_dict(saved(tmp_path / name, content))
        assert read.keys() == state.keys()
        assert all(torch.equal(read[key], state[key]) for key in state)


def test_reads_mmengine_training_log(tmp_path):
    log = HistoryBuffer([1.0, 2.0], [1, 1])
    content = {'state_dict': Net().state_dict(), 'message_hub': {'loss': log}}
    read = read_checkpoint(saved(tmp_path / 'epoch_1.pth', content))
    assert read['message_hub']['loss'].mean() == 1.5


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'checkpoint: no such file: .*/absent\.pth'):
        read_checkpoint(str(tmp_path / 'absent.pth'))


@pytest.mark.parametrize('zipped', [True, False])
def test_truncated_file_at_many_lengths(tmp_path, zipped):
    path = tmp_path / 'cut.pth'
    content = {'state_dict': Net().state_dict(), 'meta': {'epoch': 1, 'time': 'now'}}
    saved(path, content, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for length in [*range(8), *range(8, len(whole), 53), len(whole) - 1]:
        path.write_bytes(whole[:length])
        kinds = 'it is (truncated|an empty)|it holds more than'  # a name may be cut, too
        with pytest.raises(ValueError, match=rf'cut\.pth \({length} bytes\): {kinds}'):
            read_state_dict(str(path))


@pytest.mark.parametrize('text', ['epoch 1\n', 'model', 'abc', 'R', 'h', '<!DOCTYPE html>', '.'])
def test_text_file(tmp_path, text):
    path = tmp_path / 'notes.pth'
    path.write_text(text)
    with pytest.raises(ValueError, match=r'cannot read .*notes\.pth.*it is a (text file|web page)'):
        read_checkpoint(str(path))


@pytest.mark.parametrize('zipped', [True, False])
def test_malicious_file_is_refused_and_runs_nothing(tmp_path, zipped):
    harm = tmp_path / 'harm'
    content = {'state_dict': Net().state_dict(), 'meta': Attack(str(harm))}
    path = saved(tmp_path / 'evil.pth', content, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match='holds more than weights'):
        read_checkpoint(path)
    assert not harm.exists()


def test_malicious_pickle_is_refused_and_runs_nothing(tmp_path):
    harm, path = tmp_path / 'harm', tmp_path / 'evil.pkl'
    path.write_bytes(pickle.dumps(Attack(str(harm))))
    with pytest.raises(ValueError, match=r'a pickle that `torch\.save` did not write'):
        read_checkpoint(str(path))
    assert not harm.exists()


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([torch.zeros(1)], 'expected a dict in .*, got list'),
        ({'epoch': 1, 'time': 'now'}, 'expected a state dict of tensors'),
        ({'state_dict': [torch.zeros(1)]}, 'expected a state dict of tensors'),
    ],
)
def test_content_without_a_state_dict(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read_state_dict(saved(tmp_path / 'other.pth', content))


def test_url(server, tmp_path):
    state = Net().state_dict()
    saved(tmp_path / 'www' / 'net-01.pth', {'state_dict': state})
    read = read_state_dict(f'{server}/net-01.pth')
    assert all(torch.equal(read[key], state[key]) for key in state)
    assert (tmp_path / 'hub/hub/checkpoints/net-01.pth').is_file()


def test_url_of_a_missing_file_is_named(server):
    with pytest.raises(OSError, match=rf'cannot fetch {server}/absent\.pth: HTTP Error 404'):
        read_checkpoint(f'{server}/absent.pth')


def test_a_broken_download_is_not_kept(server, tmp_path):
    whole, served = tmp_path / 'whole.pth', tmp_path / 'www' / 'cut.pth'
    saved(whole, Net().state_dict())
    served.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(ValueError, match=rf'truncated.*downloaded from {server}/cut\.pth; removed'):
        read_checkpoint(f'{server}/cut.pth')
    served.write_bytes(whole.read_bytes())
    assert read_state_dict(f'{server}/cut.pth').keys() == Net().state_dict().keys()


def test_malicious_download_is_refused_and_runs_nothing(server, tmp_path):
    harm = tmp_path / 'harm'
    saved(tmp_path / 'www' / 'evil.pth', {'a': Attack(str(harm))})
    with pytest.raises(ValueError, match='holds more than weights'):
        read_checkpoint(f'{server}/evil.pth')
    assert not harm.exists()


def test_load_all_copies_every_tensor():
    source, target = Net(), Net()
    load_all(target, source.state_dict(), 'net.pth')
    for name, value in target.state_dict().items():
        assert torch.equal(value, source.state_dict()[name])


def test_load_all_lists_each_kind_of_mismatch():
    state = Net().state_dict()
    del state['conv.bias']
    state['conv.weight'] = torch.zeros(8, 3, 1, 1)
    state['fc.weight'] = torch.zeros(1)
    with pytest.raises(CheckpointMismatchError) as caught:
        load_all(Net(), state, 'net.pth')
    assert str(caught.value) == (
        'checkpoint: net.pth does not match Net\n'
        'missing in the file (1):\n  conv.bias\n'
        'not in the model (1):\n  fc.weight\n'
        'of another shape (1):\n'
        '  conv.weight: the model has (4, 3, 1, 1), the file (8, 3, 1, 1)'
    )


@pytest.mark.parametrize(
    ('change', 'title'),
    [
        (lambda state: state.pop('norm.running_mean'), 'missing in the file'),
        (lambda state: state.update(extra=torch.zeros(1)), 'not in the model'),
        (lambda state: state.update({'conv.bias': torch.zeros(5)}), 'of another shape'),
    ],
)
def test_load_all_stops_at_one_mismatch(change, title):
    state = Net().state_dict()
    change(state)
    with pytest.raises(CheckpointMismatchError, match=rf'Net\n{title} \(1\):\n  [\w.]+'):
        load_all(Net(), state, 'net.pth')


def test_load_all_shortens_long_lists():
    names = {f'layer{i:02}.weight': torch.zeros(1) for i in range(13)}
    with pytest.raises(CheckpointMismatchError) as caught:
        load_all(Net(), {**Net().state_dict(), **names}, 'net.pth')
    message = str(caught.value)
    assert 'not in the model (13):' in message
    assert 'layer09.weight' in message
    assert 'layer10.weight' not in message
    assert message.endswith('... and 3 more')


def test_load_all_explains_a_distillation_checkpoint():
    state = {f'architecture.{name}': value for name, value in Net().state_dict().items()}
    with pytest.raises(CheckpointMismatchError, match='distillation checkpoint: export its stud'):
        load_all(Net(), state, 'epoch_24.pth')


def test_load_all_does_without_batch_counters():
    source, target = Net(), Net()
    state = source.state_dict()
    del state['norm.num_batches_tracked']
    load_all(target, state, 'old.pth')
    assert torch.equal(target.conv.weight, source.conv.weight)


def test_load_all_names_tensors_that_are_not_numbers():
    state = Net().state_dict()
    state['conv.weight'][2, 1] = float('nan')
    state['norm.running_var'][0] = float('nan')
    state['conv.bias'][0] = float('inf')  # may be on purpose
    net = Net()
    before = checksums(net)
    with pytest.raises(ValueError, match='got NaN') as caught:
        load_all(net, state, 'net.pth')
    assert str(caught.value) == (
        'checkpoint: expected numbers in net.pth, got NaN; did its training diverge?\n'
        'NaN (2):\n  conv.weight\n  norm.running_var'
    )
    assert_unchanged(net, before)


def test_load_all_takes_infinity_and_other_types():
    net, state = Net(), Net().half().state_dict()
    state['conv.bias'][0] = float('-inf')
    load_all(net, state, 'net.pth')
    assert net.conv.bias[0] == float('-inf')


class Renamed(Net):
    """Knows its convolution by an old name, as many models of OpenMMLab do."""

    def _load_from_state_dict(self, state_dict, prefix, *args):
        for part in ('weight', 'bias'):
            if f'{prefix}old.{part}' in state_dict:
                state_dict[f'{prefix}conv.{part}'] = state_dict.pop(f'{prefix}old.{part}')
        super()._load_from_state_dict(state_dict, prefix, *args)


def test_load_all_honours_the_loading_hooks_of_the_model():
    source, target = Renamed(), Renamed()
    state = {k.replace('conv.', 'old.'): v for k, v in source.state_dict().items()}
    load_all(target, state, 'old.pth')
    assert torch.equal(target.conv.weight, source.conv.weight)
    state['old.weight'] = torch.zeros(8, 3, 1, 1)
    with pytest.raises(
        CheckpointMismatchError, match=r'old\.pth does not match(.|\n)*conv\.weight'
    ):
        load_all(target, state, 'old.pth')


def test_assert_unchanged_names_what_moved():
    net = Net()
    reference = checksums(net)
    assert_unchanged(net, reference)
    net.norm.running_var += 1
    with pytest.raises(RuntimeError, match=r'changed \(1\):\n  norm\.running_var$'):
        assert_unchanged(net, reference)


def buffers(**tensors):
    module = nn.Module()
    for name, value in tensors.items():
        module.register_buffer(name, value)
    return module


@pytest.mark.parametrize(
    'dtype',
    [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool],
)
@pytest.mark.parametrize('shape', [(), (3, 4, 5, 6)])
def test_checksums_of_every_type_see_one_changed_element(dtype, shape):
    value = torch.zeros(shape, dtype=dtype)
    (before,) = checksums(buffers(value=value)).values()
    value.view(-1)[-1] = 1
    assert checksums(buffers(value=value))['value'] != before


def test_checksums_see_swapped_elements_and_the_last_bit():
    value = torch.randn(64, 32)
    swapped, nudged = value.flip(0), value.clone()
    nudged[5, 7] = torch.nextafter(nudged[5, 7], torch.tensor(torch.inf))
    assert len({*checksums(buffers(a=value, b=swapped, c=nudged)).values()}) == 3


def test_checksums_do_not_depend_on_the_memory_format():
    value = torch.randn(2, 3, 4, 5)
    copies = dict(a=value, b=value.to(memory_format=torch.channels_last), c=torch.empty(0))
    found = checksums(buffers(**copies))
    assert found['a'] == found['b'] != found['c']
