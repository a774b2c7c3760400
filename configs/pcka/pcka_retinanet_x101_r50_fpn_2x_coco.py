_base_ = '../_base_/pairs/retinanet_x101_r50_fpn_2x_coco.py'

model = dict(
    distiller=dict(
        distill_losses=dict(
            # Published without centring, on the four finest levels.
            loss_pcka=dict(
                type='mmkd.PCKALoss',
                patch_size=16,
                center=False,
                levels=(0, 1, 2, 3),
                loss_weight=10.0,
            )
        ),
        loss_forward_mappings=dict(
            loss_pcka=dict(
                student=dict(from_student=True, recorder='fpn'),
                teacher=dict(from_student=False, recorder='fpn'),
            )
        ),
    )
)
