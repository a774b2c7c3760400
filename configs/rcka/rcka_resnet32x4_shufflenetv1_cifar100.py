"""RCKA: ResNet-32x4 teaches ShuffleNetV1 on CIFAR-100."""

_base_ = ['../_base_/pairs/resnet32x4_shufflenetv1_cifar100.py', '../_base_/distillers/rcka.py']

model = dict(distiller=_base_.distiller)
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(optimizer=dict(lr=0.1))
auto_scale_lr = dict(base_batch_size=128)
