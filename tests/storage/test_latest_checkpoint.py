"""Which file a run resumes from, in whatever state its folder is."""

import os
import shutil

import pytest
import torch
from mmengine.runner import find_latest_checkpoint

from mmkd.storage import latest_checkpoint as module
from mmkd.storage.latest_checkpoint import POINTER, latest_checkpoint, named_checkpoint


def save(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        torch.save({'meta': {}}, folder / name)
    return folder


def point(folder, text):
    (folder / POINTER).write_text(str(text))


@pytest.fixture
def said(monkeypatch):
    """Function: what was logged."""
    texts = []
    monkeypatch.setattr(module, 'print_log', lambda text, **_: texts.append(text))
    return lambda: ' '.join(texts)


@pytest.fixture
def run(tmp_path):
    folder = save(tmp_path / 'run', 'epoch_2.pth', 'epoch_10.pth', 'best_score_epoch_11.pth')
    point(folder, folder / 'epoch_2.pth')
    return folder


def test_the_named_file(run):
    assert latest_checkpoint(run) == named_checkpoint(run).as_posix() == str(run / 'epoch_2.pth')


def test_mmengine_finds_the_same(run, tmp_path):
    shutil.copytree(run, tmp_path / 'copy')
    assert find_latest_checkpoint(str(tmp_path / 'copy')) == str(tmp_path / 'copy/epoch_2.pth')


@pytest.mark.parametrize('original_stays', [True, False])
def test_a_moved_folder_uses_its_own_file_and_says_so(run, tmp_path, said, original_stays):
    moved = tmp_path / 'moved'
    (shutil.copytree if original_stays else shutil.move)(run, moved)
    assert latest_checkpoint(moved) == str(moved / 'epoch_2.pth')
    assert 'in another folder: taking' in said()


def test_a_symbolic_link_to_the_folder_is_the_folder(run, tmp_path, said):
    (tmp_path / 'link').symlink_to(run)
    assert latest_checkpoint(tmp_path / 'link') == str(tmp_path / 'link/epoch_2.pth')
    assert 'another folder' not in said()


NOTHING = ['', '\n', '\0\0\0', 'epoch_3.pth', '/gone/run/epoch_3.pth']
GARBAGE = ['..', '.', '/', 'a\0b', 'x' * 5000, 'a/' * 3000, '\ufeff{', 'epoch_3.pth\nepoch_4.pth']


@pytest.mark.parametrize('text', NOTHING + GARBAGE)
def test_a_pointer_to_nothing_gives_the_highest_number_and_says_so(run, said, text):
    point(run, text)
    assert latest_checkpoint(run) == str(run / 'epoch_10.pth')
    assert f'resuming from the latest whole file, {run / "epoch_10.pth"}' in said()


def test_without_a_pointer(run, said):
    (run / POINTER).unlink()
    assert latest_checkpoint(run) == str(run / 'epoch_10.pth')
    assert 'last_checkpoint is missing' in said()
    assert named_checkpoint(run) is None


@pytest.mark.parametrize('size', [0, 1, 100, 500, -1])
def test_a_file_that_is_cut_short_is_passed_over(run, size):
    whole = (run / 'epoch_10.pth').read_bytes()
    (run / 'epoch_10.pth').write_bytes(whole[:size])
    assert not module.is_whole(run / 'epoch_10.pth')
    point(run, run / 'epoch_10.pth')
    assert latest_checkpoint(run) == str(run / 'epoch_2.pth')


def test_a_file_of_old_torch_is_whole(run):
    torch.save({'meta': {}}, run / 'epoch_2.pth', _use_new_zipfile_serialization=False)
    assert latest_checkpoint(run) == str(run / 'epoch_2.pth')


def test_iterations_count_as_numbers_and_the_kind_written_last_comes_first(run):
    (run / POINTER).unlink()
    save(run, 'iter_9.pth', 'iter_30.pth', 'iter_last.pth')
    os.utime(run / 'epoch_10.pth', (1, 1))
    assert latest_checkpoint(run) == str(run / 'iter_30.pth')


def test_a_relative_pointer_is_a_file_of_the_folder(run, tmp_path, monkeypatch):
    point(run, 'run/epoch_2.pth')
    monkeypatch.chdir(tmp_path)
    assert latest_checkpoint('run') == 'run/epoch_2.pth'
    monkeypatch.chdir(run)
    assert latest_checkpoint('../run') == '../run/epoch_2.pth'


def test_nothing_there_is_said(tmp_path, said):
    assert latest_checkpoint(tmp_path) is None
    assert 'training starts from the beginning' in said()


def test_a_copy_without_checkpoints_does_not_take_those_of_the_original(run, tmp_path):
    copy = tmp_path / 'elsewhere/run'
    copy.mkdir(parents=True)
    shutil.copy(run / POINTER, copy)
    with pytest.raises(FileNotFoundError, match='expected a whole checkpoint in this folder, got'):
        latest_checkpoint(copy)


def test_a_run_whose_checkpoints_lie_elsewhere_on_request(tmp_path):
    out_dir = save(tmp_path / 'out', 'epoch_1.pth')
    work_dir = save(tmp_path / 'work')
    point(work_dir, out_dir / 'epoch_1.pth')
    assert latest_checkpoint(work_dir) == str(out_dir / 'epoch_1.pth')
