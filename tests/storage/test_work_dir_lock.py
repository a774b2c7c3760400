"""One training a work directory, and no stale lock."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from mmkd.storage import work_dir_lock
from mmkd.storage.work_dir_lock import NAME, WorkDirInUseError, lock_work_dir

HOLDER = """
import sys, time
from mmkd.storage.work_dir_lock import lock_work_dir
with lock_work_dir(sys.argv[1]):
    print('locked', flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path, repo):
    """Another process that holds the lock of ``tmp_path/run``."""
    process = subprocess.Popen(
        [sys.executable, '-c', HOLDER, str(tmp_path / 'run')],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {'PYTHONPATH': str(repo)},
    )
    assert process.stdout.readline() == 'locked\n'
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_refused_until_the_first_dies(tmp_path, holder, monkeypatch):
    (tmp_path / 'link').symlink_to(tmp_path / 'run')
    monkeypatch.chdir(tmp_path)
    for spelling in (tmp_path / 'run', 'run/', './run/../run', 'link'):
        with pytest.raises(WorkDirInUseError) as error, lock_work_dir(spelling):
            pass
        assert str(tmp_path / 'run') in str(error.value)
        assert f'process {holder.pid} on ' in str(error.value)
        assert '--work-dir' in str(error.value)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / 'run' / NAME).exists()  # but nobody holds it
    with lock_work_dir('run'):
        pass
    assert not (tmp_path / 'run' / NAME).exists()


def test_one_process_may_train_again_also_after_an_error(tmp_path):
    with pytest.raises(RuntimeError, match='in training'), lock_work_dir(tmp_path):
        raise RuntimeError('in training')
    for _ in range(2):
        with lock_work_dir(tmp_path), lock_work_dir(f'{tmp_path}/'):
            assert (tmp_path / NAME).read_text().startswith(f'process {os.getpid()} on ')
    assert os.listdir(tmp_path) == []


def test_a_lock_file_that_its_holder_removes_meanwhile_is_not_taken(tmp_path, monkeypatch):
    lock, calls = work_dir_lock._lock, []

    def lock_of_a_removed_file(descriptor):
        if not calls:
            (tmp_path / NAME).unlink()
        calls.append(descriptor)
        lock(descriptor)

    monkeypatch.setattr(work_dir_lock, '_lock', lock_of_a_removed_file)
    with lock_work_dir(tmp_path):
        assert (tmp_path / NAME).exists()
    assert len(calls) == 2


def test_a_file_system_without_locks_warns(tmp_path, monkeypatch):
    def refuse(descriptor):
        raise OSError(95, 'Operation not supported')

    monkeypatch.setattr(work_dir_lock, '_lock', refuse)
    warns = pytest.warns(UserWarning, match=r'cannot lock .*Operation not supported')
    with warns, lock_work_dir(tmp_path):
        pass


def test_another_thread_of_the_process_is_refused(tmp_path):
    def enter():
        with pytest.raises(WorkDirInUseError, match='in use by another thread'):
            lock_work_dir(tmp_path).__enter__()
        return True

    with lock_work_dir(tmp_path), ThreadPoolExecutor() as pool:
        assert pool.submit(enter).result()


@pytest.mark.parametrize('kind', ['link', 'folder'])
def test_what_lies_in_place_of_the_lock_stays(tmp_path, kind):
    target = tmp_path / 'target'
    target.write_text('precious')
    folder = tmp_path / 'run'
    folder.mkdir()
    if kind == 'link':
        (folder / NAME).symlink_to(target)
    else:
        (folder / NAME).mkdir()
    with pytest.raises(FileExistsError, match='work_dir: expected a file at'):
        lock_work_dir(folder).__enter__()
    assert target.read_text() == 'precious'
