"""Downloads: the hash in the name counts, and what is broken is not kept."""

import functools
import hashlib
import http.server
import io
import threading

import pytest
import torch

from mmkd.storage.checkpoint import read_checkpoint


def content(value):
    buffer = io.BytesIO()
    torch.save({'weight': torch.full((3,), float(value))}, buffer)
    return buffer.getvalue()


def hashed(data):
    return f'net_20200130-{hashlib.sha256(data).hexdigest()[:8]}.pth'


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder, its address on this machine, and the folder of downloads."""
    folder, cache = tmp_path / 'served', tmp_path / 'cache'
    folder.mkdir()
    monkeypatch.setenv('TORCH_HOME', str(cache))
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield folder, f'http://127.0.0.1:{server.server_port}', cache / 'hub/checkpoints'
        server.shutdown()


def test_a_file_with_its_hash_is_kept(served):
    folder, address, cache = served
    name = hashed(content(1))
    (folder / name).write_bytes(content(1))
    read_checkpoint(f'{address}/{name}')
    (folder / name).unlink()
    assert read_checkpoint(f'{address}/{name}')['weight'][0] == 1
    assert (cache / name).exists()


@pytest.mark.parametrize('damage', ['cut', 'changed'])
def test_a_file_without_its_hash_is_not_kept(served, damage):
    folder, address, cache = served
    name = hashed(content(1))
    (folder / name).write_bytes(content(2) if damage == 'changed' else content(1)[:-50])
    with pytest.raises(ValueError, match='does not have the hash in its name'):
        read_checkpoint(f'{address}/{name}')
    assert not list(cache.iterdir())


def test_a_cached_file_without_its_hash_is_downloaded_again(served):
    folder, address, cache = served
    name = hashed(content(1))
    (folder / name).write_bytes(content(1))
    cache.mkdir(parents=True)
    (cache / name).write_bytes(content(2))
    assert read_checkpoint(f'{address}/{name}')['weight'][0] == 1


@pytest.mark.parametrize('data', [b'<!DOCTYPE html>', b'', content(1)[:100]])
def test_what_is_no_checkpoint_is_not_kept(served, data):
    folder, address, cache = served
    (folder / 'net.pth').write_bytes(data)
    with pytest.raises(ValueError, match='removed from the cache'):
        read_checkpoint(f'{address}/net.pth')
    assert not list(cache.iterdir())


@pytest.mark.parametrize('name', ['net-20240131.pth', 'net-01.pth', 'net-facade.pth', 'a-b.c.pth'])
def test_a_date_or_a_word_is_no_hash(served, name):
    folder, address, _ = served
    (folder / name).write_bytes(content(1))
    assert read_checkpoint(f'{address}/{name}')['weight'][0] == 1
