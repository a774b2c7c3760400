"""FBKD: GFL on a ResNet-18 of width 48 teaches one of width 16, on digits."""

_base_ = '../_base_/pairs/gfl_r18w48_r18w16_digits.py'

distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(fpn=dict(type='ModuleOutputs', source='neck')),
    teacher_recorders=dict(fpn=dict(type='ModuleOutputs', source='neck')),
    connectors=dict(
        student0=dict(
            type='FBKDStudentConnector',
            in_channels=64,
            reduction=4,
            mode='dot_product',
            sub_sample=True,
            maxpool_stride=2,
        ),
        student1=dict(
            type='FBKDStudentConnector',
            in_channels=64,
            reduction=4,
            mode='dot_product',
            sub_sample=True,
            maxpool_stride=2,
        ),
        student2=dict(
            type='FBKDStudentConnector',
            in_channels=64,
            reduction=4,
            mode='dot_product',
            sub_sample=True,
            maxpool_stride=2,
        ),
        teacher0=dict(
            type='FBKDTeacherConnector',
            in_channels=64,
            reduction=4,
            mode='dot_product',
            sub_sample=True,
            maxpool_stride=2,
        ),
        teacher1=dict(
            type='FBKDTeacherConnector',
            in_channels=64,
            reduction=4,
            mode='dot_product',
            sub_sample=True,
            maxpool_stride=2,
        ),
        teacher2=dict(
            type='FBKDTeacherConnector',
            in_channels=64,
            reduction=4,
            mode='dot_product',
            sub_sample=True,
            maxpool_stride=2,
        ),
    ),
    distill_losses=dict(
        loss_fbkd0=dict(type='FBKDLoss'),
        loss_fbkd1=dict(type='FBKDLoss'),
        loss_fbkd2=dict(type='FBKDLoss'),
    ),
    loss_forward_mappings=dict(
        loss_fbkd0=dict(
            s_input=dict(from_student=True, recorder='fpn', data_idx=0, connector='student0'),
            t_input=dict(from_student=False, recorder='fpn', data_idx=0, connector='teacher0'),
        ),
        loss_fbkd1=dict(
            s_input=dict(from_student=True, recorder='fpn', data_idx=1, connector='student1'),
            t_input=dict(from_student=False, recorder='fpn', data_idx=1, connector='teacher1'),
        ),
        loss_fbkd2=dict(
            s_input=dict(from_student=True, recorder='fpn', data_idx=2, connector='student2'),
            t_input=dict(from_student=False, recorder='fpn', data_idx=2, connector='teacher2'),
        ),
    ),
)
model = dict(distiller=distiller)
