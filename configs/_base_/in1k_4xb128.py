"""ImageNet as CMKD trains it: 4 GPUs x 128 images, learning rate 0.2."""

_base_ = './in1k_4xb64.py'

train_dataloader = dict(batch_size=128)
optim_wrapper = dict(optimizer=dict(lr=0.2))
auto_scale_lr = dict(base_batch_size=512)
