"""MGD: GFL on a ResNet-18 of width 48 teaches one of width 16, on digits."""

_base_ = '../_base_/pairs/gfl_r18w48_r18w16_digits.py'

distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(fpn=dict(type='ModuleOutputs', source='neck')),
    teacher_recorders=dict(fpn=dict(type='ModuleOutputs', source='neck')),
    connectors=dict(
        mask0=dict(type='MGDConnector', student_channels=64, teacher_channels=64, lambda_mgd=0.65),
        mask1=dict(type='MGDConnector', student_channels=64, teacher_channels=64, lambda_mgd=0.65),
        mask2=dict(type='MGDConnector', student_channels=64, teacher_channels=64, lambda_mgd=0.65),
    ),
    distill_losses=dict(
        loss_mgd0=dict(type='MGDLoss', alpha_mgd=2e-5),
        loss_mgd1=dict(type='MGDLoss', alpha_mgd=2e-5),
        loss_mgd2=dict(type='MGDLoss', alpha_mgd=2e-5),
    ),
    loss_forward_mappings=dict(
        loss_mgd0=dict(
            preds_S=dict(from_student=True, recorder='fpn', data_idx=0, connector='mask0'),
            preds_T=dict(from_student=False, recorder='fpn', data_idx=0),
        ),
        loss_mgd1=dict(
            preds_S=dict(from_student=True, recorder='fpn', data_idx=1, connector='mask1'),
            preds_T=dict(from_student=False, recorder='fpn', data_idx=1),
        ),
        loss_mgd2=dict(
            preds_S=dict(from_student=True, recorder='fpn', data_idx=2, connector='mask2'),
            preds_T=dict(from_student=False, recorder='fpn', data_idx=2),
        ),
    ),
)
model = dict(distiller=distiller)
