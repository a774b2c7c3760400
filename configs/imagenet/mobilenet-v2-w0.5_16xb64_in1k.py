"""MobileNetV2 of half width on ImageNet, as CCKD trains it: 16 GPUs x 64 images, 150 epochs."""

_base_ = ['mmpretrain::_base_/models/mobilenet_v2_1x.py', '../_base_/in1k_4xb64.py']

model = dict(backbone=dict(widen_factor=0.5))
optim_wrapper = dict(optimizer=dict(lr=0.4, weight_decay=5e-4))
param_scheduler = dict(milestones=[50, 80, 120])
train_cfg = dict(max_epochs=150)
auto_scale_lr = dict(base_batch_size=1024)
