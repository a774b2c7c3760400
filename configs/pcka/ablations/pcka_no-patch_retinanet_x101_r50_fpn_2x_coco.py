"""CKA between images instead of patches: RetinaNet X101 teaches RetinaNet R50 on COCO."""

_base_ = '../pcka_retinanet_x101_r50_fpn_2x_coco.py'

model = dict(
    distiller=dict(
        losses=dict(
            pcka=dict(
                _delete_=True,
                type='mmkd.FCKALoss',
                on='neck',
                center=False,
                levels=(0, 1, 2, 3),
                gather=False,  # image sizes differ between processes
                loss_weight=10.0,
            )
        )
    )
)
