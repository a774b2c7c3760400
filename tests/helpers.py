"""Small models, configs and batches that several tests share."""

import tempfile

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from torch import distributed as dist
from torch import multiprocessing, nn
from torch.utils.data import Dataset

RETINANET = {
    'cfg_path': 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
    'backbone': {'depth': 18, 'base_channels': 8, 'init_cfg': None},
    'neck': {'in_channels': [8, 16, 32, 64], 'out_channels': 16},
    'bbox_head': {'num_classes': 3, 'in_channels': 16, 'feat_channels': 16, 'stacked_convs': 1},
}
FASTER_RCNN = {
    'cfg_path': 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    'backbone': {'depth': 18, 'base_channels': 8, 'init_cfg': None},
    'neck': {'in_channels': [8, 16, 32, 64], 'out_channels': 16},
    'rpn_head': {'in_channels': 16, 'feat_channels': 16},
    'roi_head': {
        'bbox_roi_extractor': {'out_channels': 16},
        'bbox_head': {'num_classes': 3, 'in_channels': 16, 'fc_out_channels': 16},
    },
    'train_cfg': {'rpn_proposal': {'max_per_img': 20}},
    'test_cfg': {'rpn': {'max_per_img': 20}},
}
CLASSIFIER = {
    'cfg_path': 'mmpretrain::resnet/resnet18_8xb16_cifar10.py',
    'backbone': {'base_channels': 8},
    'head': {'in_channels': 64},
}


class ToyDetector(BaseModel):
    """Three convolutions named as the parts of a detector, and a count of the head's calls.

    Its task loss is the mean square of the head's output.
    """

    def __init__(self, width=4, *, dropout=None, data_preprocessor=None):
        super().__init__(data_preprocessor)
        self.backbone = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.ReLU(inplace=True), dropout or nn.Identity()
        )
        self.neck = nn.Conv2d(width, 4, 1)
        self.bbox_head = nn.Conv2d(4, 2, 1)
        self.head_calls = 0
        self.bbox_head.register_forward_hook(self._count)

    def _count(self, *_):
        self.head_calls += 1

    def extract_feat(self, inputs):
        return self.neck(self.backbone(inputs))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        outputs = self.bbox_head(self.extract_feat(inputs))
        return {'loss_task': outputs.square().mean()} if mode == 'loss' else outputs


def toy_detector(seed=0, **arguments):
    """A ToyDetector with the weights of ``seed``."""
    torch.manual_seed(seed)
    return ToyDetector(**arguments)


class Images(Dataset):
    """Eight fixed images."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        return {'inputs': torch.randn(3, 8, 8, generator=generator)}


IMAGE_LOADER = {
    'dataset': Images(),
    'sampler': {'type': 'DefaultSampler', 'shuffle': False},
    'collate_fn': {'type': 'default_collate'},
}


class PowerCut(Hook):
    """Stops a run in the middle of its second epoch."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 5:
            raise KeyboardInterrupt


def distiller_config(source='neck', *, loss=None, **extra):
    """A distiller that compares the output of ``source``, by default by the mean squared error."""
    recorders = {'feature': {'type': 'ModuleOutputs', 'source': source}}
    return {
        'type': 'ConfigurableDistiller',
        'student_recorders': recorders,
        'teacher_recorders': recorders,
        'distill_losses': {'loss_feature': loss or {'type': 'mmkd.MimicLoss'}},
        'loss_forward_mappings': {
            'loss_feature': {
                'student': {'from_student': True, 'recorder': 'feature'},
                'teacher': {'from_student': False, 'recorder': 'feature'},
            }
        },
        **extra,
    }


def detection_batch(model, shapes=((3, 64, 64), (3, 64, 64))):
    """Inputs and data samples of random images, made by the model's own preprocessor."""
    from mmdet.testing import demo_mm_inputs  # here, as processes without detectors start faster

    shapes = list(shapes)
    batch = demo_mm_inputs(len(shapes), shapes, num_items=[2] * len(shapes), num_classes=3)
    batch = model.data_preprocessor(batch, training=True)
    return batch['inputs'], batch['data_samples']


def _process(rank, function, arguments, folder, world_size):
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=world_size
    )
    torch.save(function(rank, *arguments), f'{folder}/{rank}.pt')
    # With PyTorch 2.6 a process that leaves early could keep the other waiting.
    dist.barrier()
    dist.destroy_process_group()


def run_in_processes(function, *arguments, world_size=2):
    """Results of ``function(rank, *arguments)`` in each process of a gloo group.

    The function is a test module's own, and returns tensors and plain containers of them.
    """
    # A forked process has everything imported; autograd forbids it where there is a GPU.
    start_method = 'spawn' if torch.cuda.is_available() else 'fork'
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.start_processes(
            _process,
            (function, arguments, folder, world_size),
            nprocs=world_size,
            start_method=start_method,
        )
        return [torch.load(f'{folder}/{rank}.pt') for rank in range(world_size)]


def assert_two_processes_equal_one(loss, *joined, splits=(None,), average=False, tolerance=1e-6):
    """A loss module on parts of each batch, in two processes, is that on the batches.

    Compares values and the gradients of every floating-point argument that requires them, as
    DDP's average over the processes would make them. ``splits`` are pairs of row counts to try,
    None being halves; with ``average`` the processes' values are that of one only on average.
    """
    wanted = [x.requires_grad for x in joined]
    [(expected, expected_grads)] = _values_and_gradients(0, loss, [[joined]], wanted)
    assert all(gradient.abs().max() > 0 for gradient in expected_grads)
    batches = [
        list(zip(*(_parts(x.detach(), split) for x in joined), strict=True)) for split in splits
    ]
    of_processes = run_in_processes(_values_and_gradients, loss, batches, wanted)
    for split, *results in zip(splits, *of_processes, strict=True):
        values = torch.stack([value for value, _ in results])
        gradients = [torch.cat(parts) / 2 for parts in zip(*(g for _, g in results), strict=True)]
        torch.testing.assert_close(
            (values.mean(0, keepdim=True) if average else values, gradients),
            (expected.expand(1 if average else 2), expected_grads),
            rtol=tolerance,
            atol=tolerance,
            msg=lambda message, split=split: f'{message} (split: {split})',
        )


def _parts(x, split):
    return x.chunk(2) if split is None else x.split(split)


def _values_and_gradients(rank, loss, batches, wanted):
    """Value and gradients of the loss of this process' part of each batch."""
    results = []
    for parts in batches:
        arguments = [
            x.detach().clone().requires_grad_(w) for x, w in zip(parts[rank], wanted, strict=True)
        ]
        value = loss(*arguments)
        value.backward()
        results.append((value.detach(), [x.grad for x in arguments if x.requires_grad]))
    return results


LEVEL_IMAGES, LEVEL_SIZES = 2, ((4, 3), (2, 2))


def level_maps(channels, seed, scale=2.0):
    """Random maps of a head's two levels, for two images."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        scale * torch.randn(LEVEL_IMAGES, channels, *size, generator=generator, dtype=torch.float64)
        for size in LEVEL_SIZES
    )
