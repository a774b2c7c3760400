_base_ = '../_base_/pairs/gfl_r18w48_r18w16_digits.py'

model = dict(
    distiller=dict(
        distill_losses=dict(
            # Levels of 20, 10 and 5 cells: smaller patches than on COCO.
            loss_pcka=dict(type='mmkd.PCKALoss', patch_size=4, loss_weight=10.0)
        ),
        loss_forward_mappings=dict(
            loss_pcka=dict(
                student=dict(from_student=True, recorder='fpn'),
                teacher=dict(from_student=False, recorder='fpn'),
            )
        ),
    )
)
