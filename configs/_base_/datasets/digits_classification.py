"""Embedded handwritten digits at 32 x 32, with random crops (4 pixels of padding)."""

_base_ = './cifar100.py'

data_preprocessor = dict(num_classes=10, mean=[77.9, 77.9, 77.9], std=[82.6, 82.6, 82.6])
train_dataloader = dict(
    dataset=dict(_delete_=True, type='mmkd.DigitsDataset', split='train', augment=True)
)
val_dataloader = dict(dataset=dict(_delete_=True, type='mmkd.DigitsDataset', split='val'))
test_dataloader = val_dataloader
val_evaluator = dict(topk=(1,))
test_evaluator = val_evaluator
