"""PCKA + mimic: beside it, the squared error of the projected levels."""

_base_ = './pcka_pyramid.py'

distiller = dict(
    connectors=dict(
        mimic=dict(type='mmkd.LevelwiseConv', in_channels=256, out_channels=256, num_levels=4),
    ),
    distill_losses=dict(
        loss_mimic=dict(type='mmkd.MimicLoss', levels=(0, 1, 2, 3), loss_weight=1.0),
    ),
    loss_forward_mappings=dict(
        loss_mimic=dict(
            student=dict(from_student=True, recorder='fpn', connector='mimic'),
            teacher=dict(from_student=False, recorder='fpn'),
        ),
    ),
)
