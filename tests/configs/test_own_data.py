"""A data set and classes of one's own: five lines."""

import pickle

import pytest

from mmkd.cli import test as test_tool
from mmkd.cli import train
from mmkd.storage.checkpoint import read_checkpoint

CLASSES = ('disc', 'square')
FIVE_LINES = """\
_base_ = 'mmkd::pcka/pcka_retinanet_x101_r50_fpn_2x_coco.py'
train_dataloader = dict(dataset=dict(data_root='{root}/', ann_file='annotations.json', data_prefix=dict(img='images/'), metainfo=dict(classes={classes})))
val_dataloader = test_dataloader = train_dataloader
val_evaluator = test_evaluator = dict(ann_file='{root}/annotations.json')
model = dict(architecture=dict(bbox_head=dict(num_classes=2)))
"""  # noqa: E501

# What makes it small enough for a test; the data and the classes are the five lines'.
SMALL = [
    'model.architecture.backbone.depth=18',
    'model.architecture.backbone.init_cfg=None',
    'model.architecture.neck.in_channels=[64,128,256,512]',
    'model.architecture.test_cfg.score_thr=0.0',
    'model.teacher.checkpoint=None',
    'model.teacher.backbone.depth=50',
    'model.teacher.backbone.groups=1',
    'train_dataloader.batch_size=2',
    'train_dataloader.dataset.pipeline.2.scale=(128,96)',
    'val_dataloader.dataset.pipeline.1.scale=(128,96)',
    'test_dataloader.dataset.pipeline.1.scale=(128,96)',
    'train_cfg.max_epochs=1',
    'default_hooks.logger.interval=1',
]
for _loader in ('train', 'val', 'test'):
    SMALL += [
        f'{_loader}_dataloader.num_workers=0',
        f'{_loader}_dataloader.persistent_workers=False',
    ]


@pytest.fixture(scope='module')
def config(tiny_coco, tmp_path_factory):
    """The config file, and nothing but it, describes the data."""
    text = FIVE_LINES.format(root=tiny_coco(*CLASSES), classes=CLASSES)
    assert len(text.splitlines()) == 5
    file = tmp_path_factory.mktemp('own_data') / 'pcka_mine.py'
    file.write_text(text)
    return str(file)


@pytest.mark.slow
def test_five_lines_train_and_test(config, tmp_path):
    work_dir = tmp_path / 'work'
    train.main([config, '--work-dir', str(work_dir), '--cfg-options', *SMALL])
    checkpoint = read_checkpoint(str(work_dir / 'epoch_1.pth'))
    # MMDetection's default leaves out the image without annotations: seven in batches of two.
    assert checkpoint['meta']['iter'] == 4
    assert checkpoint['meta']['dataset_meta']['classes'] == CLASSES
    head = checkpoint['state_dict']['architecture.bbox_head.retina_cls.weight']
    assert head.shape[0] == 2 * 9  # classes x anchors of a position

    metrics = test_tool.main(
        [config, str(work_dir / 'epoch_1.pth'), '--work-dir', str(tmp_path / 'test')]
        + ['--out', str(tmp_path / 'out.pkl'), '--cfg-options', *SMALL]
    )
    assert 0 <= metrics['coco/bbox_mAP'] <= 1  # -1: no object of the file was compared
    predictions = pickle.loads((tmp_path / 'out.pkl').read_bytes())
    assert len(predictions) == 8
    labels = {int(label) for sample in predictions for label in sample['pred_instances']['labels']}
    assert labels == {0, 1}


def test_forgotten_class_count_is_explained(tiny_coco, tmp_path):
    text = FIVE_LINES.format(root=tiny_coco(*CLASSES), classes=CLASSES)
    config = tmp_path / 'four_lines.py'
    config.write_text(''.join(text.splitlines(keepends=True)[:4]))
    with pytest.raises(ValueError, match=r'set model\.architecture\.bbox_head\.num_classes=2'):
        train.main([str(config), '--work-dir', str(tmp_path), '--cfg-options', *SMALL])
