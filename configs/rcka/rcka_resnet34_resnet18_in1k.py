"""RCKA: ResNet-34 teaches ResNet-18 on ImageNet."""

_base_ = ['../_base_/pairs/resnet34_resnet18_in1k.py', '../_base_/distillers/rcka.py']

model = dict(distiller=_base_.distiller)
# Published: 4 GPUs x 128 images, 240 epochs; the learning rate falls where its loss stalled.
train_dataloader = dict(batch_size=128)
param_scheduler = dict(milestones=[72, 144, 216])
train_cfg = dict(max_epochs=240)
auto_scale_lr = dict(base_batch_size=512)
