"""CCKD with embeddings beside the networks: ResNet-50 teaches MobileNetV2 (half) on ImageNet."""

_base_ = [
    '../../_base_/pairs/resnet50_mobilenet-v2-w0.5_in1k.py',
    '../../_base_/distillers/cckd.py',
]

# As published: no cross entropy (alpha = 0), and a weight of 0.003 for the correlation.
model = dict(architecture=dict(head=dict(loss=dict(loss_weight=0.0))), distiller=_base_.distiller)
train_dataloader = dict(
    sampler=dict(_delete_=True, type='mmkd.CURSampler', batch_size=64, num_per_class=4)
)
