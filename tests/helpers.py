"""Small models, configs and batches that several tests share."""

import torch
from mmengine.model import BaseModel
from torch import nn

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
