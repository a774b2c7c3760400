"""CCKD: ResNet-32x4 teaches ResNet-8x4 on CIFAR-100."""

_base_ = ['../_base_/pairs/resnet32x4_resnet8x4_cifar100.py', '../_base_/distillers/cckd.py']

# As published: no cross entropy (alpha = 0), and the correlation at 0.003.
model = dict(architecture=dict(head=dict(loss=dict(loss_weight=0.0))), distiller=_base_.distiller)
train_dataloader = dict(
    sampler=dict(_delete_=True, type='mmkd.CURSampler', batch_size=64, num_per_class=4)
)
optim_wrapper = dict(optimizer=dict(lr=0.1))
param_scheduler = dict(milestones=[80, 120, 160])
train_cfg = dict(max_epochs=200)
