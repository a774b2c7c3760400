"""ImageNet as RCKA trains it: 4 GPUs x 128 images, 240 epochs.

The paper lowers the learning rate when the loss stalls. Here it falls after fixed epochs.
"""

_base_ = './in1k_4xb64.py'

train_dataloader = dict(batch_size=128)
param_scheduler = dict(milestones=[72, 144, 216])
train_cfg = dict(max_epochs=240)
auto_scale_lr = dict(base_batch_size=512)
