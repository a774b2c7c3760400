"""ImageNet as RCKA's appendix says: 4 GPUs x 128 images, 240 epochs.

The learning rate of 0.1 falls when the loss stalls.
"""

_base_ = './in1k_4xb64.py'

train_dataloader = dict(batch_size=128)
param_scheduler = dict(_delete_=True, type='mmkd.ALRS', factor=0.97)
train_cfg = dict(max_epochs=240)
auto_scale_lr = dict(base_batch_size=512)
