"""FBKD (Zhang and Ma 2021) on four levels of a detector's pyramid, as MMRazor configures it."""

losses = {
    f'fbkd{level}': dict(
        type='FBKDLoss',
        on=dict(source='neck', data_idx=level),
        student_connector=f'student{level}',
        teacher_connector=f'teacher{level}',
    )
    for level in range(4)
}
connectors = {
    f'{side}{level}': dict(
        type=f'FBKD{side.title()}Connector',
        reduction=4,
        mode='dot_product',
        sub_sample=True,
        maxpool_stride=stride,
    )
    for side in ('student', 'teacher')
    for level, stride in enumerate((8, 4, 2, 2))
}
distiller = dict(connectors=connectors, losses=losses)
del connectors, losses
