"""Each mistake in data, weights or storage stops a run with its name, and costs nothing earned."""

import json
import shutil

import pytest

from mmkd.cli import test as test_tool
from mmkd.cli import train
from mmkd.storage.checkpoint import read_checkpoint

CLASSES = ('disc', 'square')

# The digits pair on another data set: its own classes, no scenes of digits.
OWN_DATA = """
_base_ = {base!r}
dataset = dict(
    _delete_=True,
    type='CocoDataset',
    data_root={root!r},
    ann_file='annotations.json',
    data_prefix=dict(img='images/'),
    metainfo=dict(classes={classes!r}),
    filter_cfg=dict(filter_empty_gt={filter_empty_gt}),
)
train_dataloader = dict(dataset=dict(**dataset, pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(**dataset, test_mode=True, pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader
model = dict(architecture=dict(bbox_head=dict(num_classes={num_classes})))
train_cfg = dict(max_epochs=1, val_interval=1)
"""


@pytest.fixture
def data(tiny_coco, tmp_path):
    """A copy of the two-class data that a test may spoil."""
    return shutil.copytree(tiny_coco(*CLASSES), tmp_path / 'data')


@pytest.fixture
def own_data(tiny_digits, tmp_path, data):
    """Function: a config file for ``data``."""

    def write(classes=CLASSES, num_classes=2, filter_empty_gt=False):
        config = tmp_path / 'own_data.py'
        config.write_text(
            OWN_DATA.format(
                base=str(tiny_digits),
                root=f'{data}/',
                classes=classes,
                num_classes=num_classes,
                filter_empty_gt=filter_empty_gt,
            )
        )
        return str(config)

    return write


@pytest.fixture
def work_dir(tmp_path):
    return tmp_path / 'work'


def change(data, edit):
    file = data / 'annotations.json'
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


def test_image_without_annotations_is_trained_on(own_data, work_dir):
    train.main([own_data(), '--work-dir', str(work_dir)])
    assert read_checkpoint(str(work_dir / 'epoch_1.pth'))['meta']['iter'] == 4  # eight images


def test_batch_of_nothing_but_empty_images_is_trained_on(own_data, work_dir, data):
    change(data, lambda content: content.update(annotations=content['annotations'][:1]))
    # The last batch may be without objects as well as any: seven of eight images are.
    train.main(
        [own_data(), '--work-dir', str(work_dir), '--cfg-options', 'train_cfg.val_interval=5']
    )
    assert read_checkpoint(str(work_dir / 'epoch_1.pth'))['meta']['iter'] == 4


def test_empty_data_set_names_its_file_and_filter(own_data, work_dir, data):
    change(data, lambda content: content.update(annotations=[]))
    with pytest.raises(ValueError, match='expected at least one image') as error:
        train.main([own_data(filter_empty_gt=True), '--work-dir', str(work_dir)])
    assert f'{data}/annotations.json' in str(error.value)
    assert "{'filter_empty_gt': True}" in str(error.value)


def test_empty_test_set_names_its_file(own_data, work_dir, data, trained):
    change(data, lambda content: content.update(images=[], annotations=[]))
    config = own_data(num_classes=10)
    with pytest.raises(ValueError, match='expected at least one image') as error:
        test_tool.main([config, str(trained / 'epoch_12.pth'), '--work-dir', str(work_dir)])
    assert f'{data}/annotations.json' in str(error.value)


def test_class_count_of_the_head_is_checked(own_data, work_dir, data):
    with pytest.raises(ValueError, match='train_dataloader: does not fit') as error:
        train.main([own_data(num_classes=10), '--work-dir', str(work_dir)])
    message = str(error.value)
    assert 'model.architecture.bbox_head' in message
    assert 'has num_classes=10' in message
    assert f'{data}/annotations.json is read with 2 classes' in message


def test_class_count_of_the_head_is_checked_before_testing(own_data, work_dir, trained):
    config = own_data(num_classes=10)
    with pytest.raises(ValueError, match='test_dataloader: does not fit') as error:
        test_tool.main([config, str(trained / 'epoch_12.pth'), '--work-dir', str(work_dir)])
    assert 'model.bbox_head (GFLHead): has num_classes=10' in str(error.value)


def test_class_that_the_annotation_file_lacks_is_named(own_data, work_dir):
    with pytest.raises(ValueError, match=r"no category named 'disk' \(did you mean 'disc'\?\)"):
        train.main([own_data(classes=('disk', 'square')), '--work-dir', str(work_dir)])


@pytest.mark.parametrize('num_workers', [0, 1])
@pytest.mark.parametrize('content', [b'no image', b''], ids=['text', 'empty'])
def test_file_that_is_no_image_is_named(own_data, work_dir, data, content, num_workers):
    (data / 'images' / '5.png').write_bytes(content)
    options = ['--cfg-options', f'train_dataloader.num_workers={num_workers}']
    message = rf'image: expected a picture in .*images/5\.png \({len(content)} bytes\)'
    with pytest.raises(ValueError, match=message):
        train.main([own_data(), '--work-dir', str(work_dir), *options])
    assert not list(work_dir.glob('*.pth'))


def test_missing_image_is_named(own_data, work_dir, data):
    (data / 'images' / '5.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'images/5\.png'):
        train.main([own_data(), '--work-dir', str(work_dir)])


def test_missing_annotation_file_is_named(own_data, work_dir, data):
    (data / 'annotations.json').unlink()
    with pytest.raises(FileNotFoundError, match=r'annotations\.json'):
        train.main([own_data(), '--work-dir', str(work_dir)])


@pytest.fixture
def first_epoch(own_data, work_dir):
    """Config and the whole checkpoint of its first epoch."""
    config = own_data()
    train.main([config, '--work-dir', str(work_dir)])
    return config, (work_dir / 'epoch_1.pth').read_bytes()


def second_epoch(config, work_dir, *options):
    train.main(
        [config, '--work-dir', str(work_dir), '--resume']
        + ['--cfg-options', 'train_cfg.max_epochs=2', *options]
    )


def assert_first_epoch_is_whole(work_dir, content):
    assert (work_dir / 'epoch_1.pth').read_bytes() == content
    assert sorted(path.name for path in work_dir.glob('epoch_*')) == ['epoch_1.pth']
    assert (work_dir / 'last_checkpoint').read_text() == str(work_dir / 'epoch_1.pth')
    assert read_checkpoint(str(work_dir / 'epoch_1.pth'))['meta']['epoch'] == 1


def test_nan_loss_is_named_with_its_iteration_and_files(first_epoch, work_dir):
    config, content = first_epoch
    spoiled = work_dir.parent / 'spoiled.py'
    spoiled.write_text(
        f'_base_ = {config!r}\n'
        'model = dict(architecture=dict(bbox_head=dict(loss_dfl=dict(loss_weight=1e39))))\n'
    )
    with pytest.raises(FloatingPointError) as error:
        second_epoch(str(spoiled), work_dir)
    message = str(error.value)
    assert 'student.loss_dfl=' in message
    assert 'student.loss_cls' not in message
    assert 'epoch 2, iteration 5' in message
    assert message.count('.png') == 2
    assert_first_epoch_is_whole(work_dir, content)


def test_full_disk_keeps_the_previous_checkpoint(first_epoch, work_dir, full_disk):
    config, content = first_epoch
    with full_disk(), pytest.raises(OSError, match=r'epoch_2\.pth needs \d+ bytes'):
        second_epoch(config, work_dir, 'default_hooks.checkpoint.max_keep_ckpts=1')
    assert_first_epoch_is_whole(work_dir, content)
    second_epoch(config, work_dir)  # with room again, the run goes on from there
    assert read_checkpoint(str(work_dir / 'epoch_2.pth'))['meta']['iter'] == 8


def test_truncated_teacher_is_named(own_data, tiny_digits, work_dir, tmp_path):
    whole = tiny_digits.with_name('teacher.pth').read_bytes()
    truncated = tmp_path / 'truncated.pth'
    truncated.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r'cannot read .*truncated\.pth \(\d+ bytes\)'):
        train.main(
            [own_data(), '--work-dir', str(work_dir)]
            + ['--cfg-options', f'model.teacher.checkpoint={truncated}']
        )


def test_checkpoint_that_would_run_code_is_refused(own_data, work_dir, tmp_path):
    evil, proof = tmp_path / 'evil.pth', tmp_path / 'proof'
    evil.write_bytes(b'cposix\nsystem\n(Vtouch ' + str(proof).encode() + b'\ntR.')
    for options in (
        ['--cfg-options', f'model.teacher.checkpoint={evil}'],
        ['--resume', str(evil)],
        ['--cfg-options', f'load_from={evil}'],
    ):
        with pytest.raises((ValueError, SystemExit), match=r'cannot read|2'):
            train.main([own_data(), '--work-dir', str(work_dir), *options])
    assert not proof.exists()
