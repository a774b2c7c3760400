"""MGD (Yang et al. 2022) on the levels of a detector's pyramid, as MMRazor configures it."""

losses = {
    f'mgd{level}': dict(
        type='MGDLoss',
        on=dict(source='neck', data_idx=level),
        student_connector=dict(type='MGDConnector', lambda_mgd=0.65),
        alpha_mgd=2e-5,
    )
    for level in range(5)
}
distiller = dict(losses=losses)
del losses
