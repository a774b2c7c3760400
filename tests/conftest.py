"""Small data and runs that several tests share, made in temporary folders at run time."""

import contextlib
import functools
import json
import math
import socket
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer
from script_fixtures import script, trained_here  # noqa: F401  (fixtures)
from tiny_images import write_tiny_images

import mmkd.registry  # noqa: F401  (before any test module imports mmdet)
from mmkd.cli import train
from mmkd.models.building import build_model

REPO = Path(__file__).resolve().parents[1]
WIDTH, HEIGHT, NUM_IMAGES = 96, 80, 8

TINY_DIGITS = """
_base_ = {base!r}
model = dict(
    # Untrained students are unsure: without this there would be nothing to evaluate.
    architecture=dict(test_cfg=dict(score_thr=0.0)),
    teacher=dict(checkpoint={teacher!r}),
)
train_dataloader = dict(
    batch_size=2, num_workers=0, dataset=dict(num_images=8, image_size=96)
)
# Evaluated on scenes that it has seen, five of them: AP is above 0 after few steps.
val_dataloader = dict(
    batch_size=2, num_workers=0, dataset=dict(split='train', num_images=5, image_size=96)
)
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=2, val_interval=2)
param_scheduler = []
default_hooks = dict(logger=dict(interval=1))
"""


@pytest.fixture(scope='session')
def repo():
    """The repository's root."""
    return REPO


@pytest.fixture(scope='session', autouse=True)
def cache_dir(tmp_path_factory):
    """No test reads or fills the user's cache of digit scenes."""
    folder = tmp_path_factory.mktemp('cache')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('MMKD_CACHE', str(folder))
        yield folder


@pytest.fixture(autouse=True)
def nothing_of_the_test_before():
    """MMEngine keeps visualizers, by the second, and the last scope; each test has its own."""
    for kept in (Visualizer, *Visualizer.__subclasses__(), DefaultScope):
        kept._instance_dict.clear()


@pytest.fixture
def full_disk():
    """Context manager: the system refuses to write files of more than 100 kB."""
    resource = pytest.importorskip('resource', reason='limits on file sizes are a POSIX feature')

    @contextlib.contextmanager
    def limit():
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limit


def _draw(rng, label):
    """A noisy picture with a disc (even labels) or a square on it; its box and its outline."""
    image = rng.integers(90, 130, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    radius = int(rng.integers(8, 20))
    x, y = (int(rng.integers(radius, side - radius)) for side in (WIDTH, HEIGHT))
    if label % 2 == 0:
        cv2.circle(image, (x, y), radius, (230, 60, 60), -1)
        outline = cv2.ellipse2Poly((x, y), (radius, radius), 0, 0, 330, 30)
    else:
        left, top, right, bottom = x - radius, y - radius, x + radius, y + radius
        cv2.rectangle(image, (left, top), (right, bottom), (60, 60, 230), -1)
        outline = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    return image, [x - radius, y - radius, 2 * radius, 2 * radius], outline.flatten().tolist()


def _write_coco(folder, classes):
    (folder / 'images').mkdir()
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for index in range(NUM_IMAGES):
        label = index % len(classes)
        picture, box, outline = _draw(rng, label)
        name = f'{index}.png'
        cv2.imwrite(str(folder / 'images' / name), picture)
        images.append({'id': index, 'file_name': name, 'width': WIDTH, 'height': HEIGHT})
        if index == NUM_IMAGES - 1:
            continue  # the last picture has no annotation, though an object
        annotations.append(
            {
                'id': index + 1,
                'image_id': index,
                'category_id': 10 + 3 * label,
                'bbox': box,
                'segmentation': [outline],
                'area': math.prod(box[2:]),
                'iscrowd': 0,
            }
        )
    categories = [{'id': 10 + 3 * i, 'name': name} for i, name in enumerate(classes)]
    content = {'images': images, 'annotations': annotations, 'categories': categories}
    (folder / 'annotations.json').write_text(json.dumps(content))


@pytest.fixture(scope='session')
def tiny_coco(tmp_path_factory):
    """Function: a folder of eight pictures with COCO annotations of the classes it is given.

    Objects have boxes and masks. One picture has no annotation, and the ids of the categories
    have gaps, as in COCO.
    """

    @functools.cache
    def make(*classes):
        folder = tmp_path_factory.mktemp('coco')
        _write_coco(folder, classes)
        return folder

    return make


@pytest.fixture(scope='session')
def tiny_images(tmp_path_factory):
    """Folder of eight images of two classes in every format that a classification config reads."""
    folder = tmp_path_factory.mktemp('tiny_images')
    write_tiny_images(folder)
    return folder


@pytest.fixture(scope='session')
def tiny_digits(tmp_path_factory):
    """Config file: the digits pair on a few small scenes, two epochs of four iterations."""
    folder = tmp_path_factory.mktemp('tiny_digits')
    torch.manual_seed(0)
    teacher = build_model({'cfg_path': str(REPO / 'configs/digits/gfl_r18w48_fpn_digits.py')})
    teacher.init_weights()
    torch.save({'state_dict': teacher.state_dict()}, folder / 'teacher.pth')
    base = REPO / 'configs/pcka/pcka_gfl_r18w48_r18w16_fpn_digits.py'
    config = folder / 'tiny_digits.py'
    config.write_text(TINY_DIGITS.format(base=str(base), teacher=str(folder / 'teacher.pth')))
    return config


@pytest.fixture(scope='session')
def trained(tmp_path_factory, tiny_digits):
    """Work directory of a run of ``tiny_digits`` of twelve epochs; not to be written into."""
    work_dir = tmp_path_factory.mktemp('trained')
    options = [
        'train_cfg.max_epochs=12',
        'train_cfg.val_interval=12',
        'train_dataloader.dataset.num_images=4',
        'train_dataloader.batch_size=4',
        'model.distiller.losses.pcka.loss_weight=0.1',
    ]
    train.main([str(tiny_digits), '--work-dir', str(work_dir), '--cfg-options', *options])
    return work_dir


@pytest.fixture
def free_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]
