"""CCKD: ResNet-50 teaches MobileNetV2 of half width on ImageNet, both with an embedding."""

_base_ = [
    '../_base_/pairs/resnet50_mobilenet-v2-w0.5_in1k.py',
    '../_base_/distillers/cckd_embedding.py',
]

# As published: no cross entropy (alpha = 0), and a weight of 0.003 for the correlation.
model = dict(
    architecture=dict(
        cfg_path='mmkd::imagenet/mobilenet-v2-w0.5_embed128_16xb64_in1k.py',
        head=dict(loss=dict(loss_weight=0.0)),
    ),
    teacher=dict(
        cfg_path='mmkd::imagenet/resnet50_embed128_4xb64_in1k.py',
        checkpoint='checkpoints/resnet50_embed128_in1k.pth',
    ),
    distiller=_base_.distiller,
)
train_dataloader = dict(
    sampler=dict(_delete_=True, type='mmkd.CURSampler', batch_size=64, num_per_class=4)
)
