"""DKD (Zhao et al. 2022), with MMRazor's loss."""

distiller = dict(
    losses=dict(
        dkd=dict(
            type='DKDLoss',
            on='head.fc',
            inputs=dict(
                gt_labels=dict(type='ModuleInputs', source='head.loss_module', data_idx=1),
            ),
            tau=4.0,
            alpha=1.0,
            beta=8.0,
        ),
    ),
)
