import errno
import os
import resource

import pytest
import torch
from mmengine.fileio import LocalBackend, register_backend
from mmengine.fileio.backends import backends
from mmengine.runner import find_latest_checkpoint

from mmkd.hooks.atomic_checkpoint import AtomicLocalBackend, write_atomically

OURS, STOCK = 'mmkd.AtomicCheckpointHook', 'CheckpointHook'
RISING = [{'score': 0.1 * i, 'loss': 3.0 - i} for i in range(1, 5)]


def checkpointing(hook=OURS, **options):
    return {'default_hooks': {'checkpoint': {'type': hook, 'interval': 1, **options}}}


def best(**options):
    return checkpointing(save_best='score', rule='greater', max_keep_ckpts=1, **options)


def saved_files(directory):
    return {path.name for path in directory.iterdir() if path.is_file() and path.suffix != '.py'}


def load(path):
    return torch.load(path, weights_only=True)


@pytest.fixture
def full_disk(monkeypatch):
    """Fails each flush of a file whose name contains ``needle``, after its bytes are written."""
    stock = os.fsync

    def fill(needle):
        def fsync(descriptor):
            if needle in os.readlink(f'/proc/self/fd/{descriptor}'):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            stock(descriptor)

        monkeypatch.setattr(os, 'fsync', fsync)

    return fill


def test_writes_and_overwrites(tmp_path):
    path = tmp_path / 'new/deep/file.pth'
    write_atomically(b'one', path)
    write_atomically(b'two', str(path))
    assert path.read_bytes() == b'two'
    assert saved_files(path.parent) == {'file.pth'}


def test_text_goes_the_same_way(tmp_path, full_disk):
    path = tmp_path / 'last_checkpoint'
    AtomicLocalBackend().put_text('épisode', path)
    full_disk('last_checkpoint')
    with pytest.raises(OSError, match='last_checkpoint needs 3 bytes'):
        AtomicLocalBackend().put_text('new', path)
    assert path.read_text(encoding='utf-8') == 'épisode'


def test_a_write_cut_short_leaves_the_old_file_and_nothing_else(tmp_path):
    """A true partial write: the process may not make files of more than 1000 bytes."""
    path = tmp_path / 'epoch_1.pth'
    path.write_bytes(b'old')
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r'epoch_1\.pth needs 5000 bytes \(\d+ bytes free\)') as e:
            write_atomically(bytes(5000), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (e.value.errno, e.value.filename) == (errno.EFBIG, str(path))
    assert path.read_bytes() == b'old'
    assert saved_files(tmp_path) == {'epoch_1.pth'}


def test_an_interrupt_while_writing_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, 'fsync', interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(b'data', tmp_path / 'epoch_1.pth')
    assert saved_files(tmp_path) == set()


def test_bytes_reach_the_disk_before_the_name_does(tmp_path, monkeypatch):
    events = []
    stock_fsync, stock_replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, 'fsync', lambda fd: (events.append(os.fstat(fd).st_size), stock_fsync(fd))
    )
    monkeypatch.setattr(os, 'replace', lambda a, b: (events.append('rename'), stock_replace(a, b)))
    write_atomically(bytes(5000), tmp_path / 'epoch_1.pth')
    assert events[:2] == [5000, 'rename']
    assert len(events) == 3  # then the directory


@pytest.mark.parametrize(
    'options',
    [
        {},
        {'max_keep_ckpts': 1},
        {'max_keep_ckpts': 2, 'save_best': 'auto', 'rule': 'greater'},
        {'max_keep_ckpts': 1, 'save_best': ['score', 'loss'], 'rule': ['greater', 'less']},
        {'by_epoch': False, 'interval': 5, 'max_keep_ckpts': 2},
        {'interval': 2, 'save_last': False, 'save_optimizer': False, 'filename_tmpl': 'e{}.pth'},
    ],
)
def test_leaves_what_the_stock_hook_leaves(toy_runner, tmp_path, options):
    for name, hook in (('ours', OURS), ('stock', STOCK)):
        toy_runner(name, scores=RISING, **checkpointing(hook, **options)).train()
    ours, stock = tmp_path / 'ours', tmp_path / 'stock'
    assert saved_files(ours) == saved_files(stock)
    pointer = (stock / 'last_checkpoint').read_text().replace(str(stock), str(ours))
    assert (ours / 'last_checkpoint').read_text() == pointer
    for file in ours.glob('*.pth'):
        a, b = load(file), load(stock / file.name)
        assert a.keys() == b.keys()
        assert [a['meta'][key] for key in ('epoch', 'iter')] == [
            b['meta'][key] for key in ('epoch', 'iter')
        ]
        kept = [x['message_hub']['runtime_info'].get('keep_ckpt_ids') for x in (a, b)]
        assert kept[0] == kept[1]


def assert_resumable(directory):
    """What ``last_checkpoint`` names is there and whole, and so is the best that it knows of."""
    checkpoint = load(find_latest_checkpoint(str(directory)))
    best_checkpoint = checkpoint['message_hub']['runtime_info'].get('best_ckpt')
    assert best_checkpoint is None or load(best_checkpoint)['state_dict']
    return checkpoint['meta']['epoch']


def test_a_kill_at_any_moment_leaves_a_run_to_resume(toy_runner, tmp_path, monkeypatch):
    epochs = []

    def look_after(name):
        stock = getattr(os, name)

        def look(*args):
            stock(*args)
            if (tmp_path / 'run/last_checkpoint').exists():
                epochs.append(assert_resumable(tmp_path / 'run'))

        monkeypatch.setattr(os, name, look)

    look_after('replace')
    look_after('remove')
    toy_runner(scores=RISING, **best()).train()
    # Each epoch writes itself, the best and itself again, `last_checkpoint` twice, removes two.
    assert epochs == sorted(epochs)
    assert len(epochs) == 3 * 5 - 1 + 2 * 2
    assert saved_files(tmp_path / 'run') == {
        'epoch_3.pth',
        'best_score_epoch_3.pth',
        'last_checkpoint',
    }


@pytest.mark.parametrize(
    ('victim', 'outdated'),
    [
        ('epoch_2.pth', set()),
        ('last_checkpoint', set()),
        ('best_score_epoch_2.pth', {'epoch_1.pth'}),  # by then epoch 2 is whole and pointed to
    ],
)
def test_a_full_disk_costs_no_checkpoint(toy_runner, tmp_path, full_disk, victim, outdated):
    run = tmp_path / 'run'
    toy_runner(scores=RISING, train_cfg={'by_epoch': True, 'max_epochs': 1}, **best()).train()
    before = {path.name: path.read_bytes() for path in run.glob('*.pth')}
    assert before.keys() == {'epoch_1.pth', 'best_score_epoch_1.pth'}
    runner = toy_runner(scores=RISING[1:], resume=True, **best())
    full_disk(victim)
    with pytest.raises(
        OSError, match=rf'No space left on device: {victim} needs \d+ bytes'
    ) as error:
        runner.train()
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, str(run / victim))
    assert not list(run.glob('*.tmp'))
    for name in before.keys() - outdated:
        assert (run / name).read_bytes() == before[name]
    assert assert_resumable(run) == (2 if outdated else 1)


def test_resuming_keeps_rotating(toy_runner, tmp_path):
    options = checkpointing(max_keep_ckpts=2)
    toy_runner(train_cfg={'by_epoch': True, 'max_epochs': 2}, **options).train()
    toy_runner(train_cfg={'by_epoch': True, 'max_epochs': 4}, resume=True, **options).train()
    assert saved_files(tmp_path / 'run') == {'epoch_3.pth', 'epoch_4.pth', 'last_checkpoint'}


def test_a_best_checkpoint_written_again_under_its_own_name_stays(toy_runner, tmp_path):
    """The stock hook removes the old and writes the new; in our order that must not lose both."""
    runner = toy_runner(scores=RISING, **best())
    runner.train()
    runner.val_loop.run()  # the same epoch with a better score
    assert runner.message_hub.get_info('best_score') == pytest.approx(0.4)
    assert (tmp_path / 'run/best_score_epoch_3.pth').exists()


def test_evaluation_alone_needs_no_training_state(toy_runner):
    runner = toy_runner(scores=RISING, **checkpointing())
    assert runner.val() == RISING[0]


def test_another_storage_backend_is_used_as_it_is(toy_runner, tmp_path):
    puts = []

    class Remote(LocalBackend):
        def put(self, obj, filepath):
            puts.append(os.path.basename(filepath))
            super().put(obj, filepath)

    register_backend('test_remote', Remote)
    try:
        toy_runner(
            **checkpointing(max_keep_ckpts=1, backend_args={'backend': 'test_remote'})
        ).train()
    finally:
        del backends['test_remote']
    assert puts == ['epoch_1.pth', 'epoch_2.pth', 'epoch_3.pth']
    assert saved_files(tmp_path / 'run') == {'epoch_3.pth', 'last_checkpoint'}
