"""MMD with patches: RetinaNet X101 teaches RetinaNet R50 on COCO."""

_base_ = '../../_base_/pairs/retinanet_x101_r50_fpn_2x_coco.py'

model = dict(
    distiller=dict(
        losses=dict(
            mmd=dict(
                type='mmkd.PatchwiseLoss',
                on='neck',
                loss=dict(type='mmkd.MMDLoss'),
                patch_size=16,
                levels=(0, 1, 2, 3),
                loss_weight=20.0,
            ),
        ),
    ),
)
