"""PKD: GFL on a ResNet-18 of width 48 teaches one of width 16, on digits."""

_base_ = '../_base_/pairs/gfl_r18w48_r18w16_digits.py'

distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(fpn=dict(type='ModuleOutputs', source='neck')),
    teacher_recorders=dict(fpn=dict(type='ModuleOutputs', source='neck')),
    distill_losses=dict(loss_pkd=dict(type='PKDLoss', loss_weight=10)),
    loss_forward_mappings=dict(
        loss_pkd=dict(
            preds_S=dict(from_student=True, recorder='fpn'),
            preds_T=dict(from_student=False, recorder='fpn'),
        ),
    ),
)
model = dict(distiller=distiller)
