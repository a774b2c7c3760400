"""FKD across data sets: VGG-13 trained on CIFAR-100 teaches VGG-8 on STL-10."""

_base_ = ['../_base_/pairs/vgg13-cifar100_vgg8_stl10.py', '../_base_/distillers/fkd.py']

# The kernels compare the unlabeled batch. The penalty is on the labeled batch's features.
distiller = _base_.distiller
distiller.losses.fkd.update(
    on=dict(source='neck', record_idx=1, data_idx=0),
    inputs=dict(regularized=dict(source='neck', record_idx=0, data_idx=0)),
)
model = dict(distiller=distiller)
train_cfg = dict(
    _delete_=True,
    type='mmkd.UnlabeledTrainLoop',
    max_epochs=160,
    unlabeled_dataloader=dict(
        batch_size=512,
        num_workers=0,
        collate_fn=dict(type='mmkd_batch_collate'),
        sampler=dict(type='DefaultSampler', shuffle=True),
        drop_last=True,
        dataset=dict(type='mmkd.STL10Dataset', root='data/stl10', split='unlabeled', augment=True),
    ),
)
