"""CWD: GFL on a ResNet-18 of width 48 teaches one of width 16, on digits."""

_base_ = '../_base_/pairs/gfl_r18w48_r18w16_digits.py'

distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(fpn=dict(type='ModuleOutputs', source='neck')),
    teacher_recorders=dict(fpn=dict(type='ModuleOutputs', source='neck')),
    distill_losses=dict(
        loss_cwd0=dict(type='ChannelWiseDivergence', tau=1, loss_weight=10),
        loss_cwd1=dict(type='ChannelWiseDivergence', tau=1, loss_weight=10),
        loss_cwd2=dict(type='ChannelWiseDivergence', tau=1, loss_weight=10),
    ),
    loss_forward_mappings=dict(
        loss_cwd0=dict(
            preds_S=dict(from_student=True, recorder='fpn', data_idx=0),
            preds_T=dict(from_student=False, recorder='fpn', data_idx=0),
        ),
        loss_cwd1=dict(
            preds_S=dict(from_student=True, recorder='fpn', data_idx=1),
            preds_T=dict(from_student=False, recorder='fpn', data_idx=1),
        ),
        loss_cwd2=dict(
            preds_S=dict(from_student=True, recorder='fpn', data_idx=2),
            preds_T=dict(from_student=False, recorder='fpn', data_idx=2),
        ),
    ),
)
model = dict(distiller=distiller)
