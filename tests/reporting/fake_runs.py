"""Folders of runs as a training leaves them, written by hand."""

import json

PLAIN = """
model = dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18), head=dict(n=3))
train_cfg = dict(max_epochs={epochs})
randomness = dict(seed={seed})
optim_wrapper = dict(optimizer=dict(type='SGD', lr={lr}))
work_dir = 'anywhere/{seed}'
"""
DISTILLED = """
model = dict(
    type={algorithm!r},
    architecture=dict(
        type='ImageClassifier', backbone=dict(type='ResNet', depth=18), head=dict(n=3)
    ),
    teacher=dict(cfg_path='mmpretrain::big.py'{checkpoint}),
    distiller=dict({losses}=dict({prefix}{method}=dict(type='X', loss_weight=2.0))),
)
train_cfg = dict(max_epochs={epochs})
randomness = dict(seed={seed})
optim_wrapper = dict(optimizer=dict(type='SGD', lr={lr}))
"""


def write_run(
    folder, accuracies=(), *, seed=0, epochs=2, method=None, mmrazor=False, teacher=None, lr=0.1,
    finished=True, losses=(3.0, 2.0), timestamp='20260101_000000', extra=(),
):  # fmt: skip
    """A run with a validation for each accuracy, and ten logged steps an epoch."""
    logs = folder / timestamp / 'vis_data'
    logs.mkdir(parents=True)
    checkpoint = f", checkpoint='{teacher}'" if teacher and not mmrazor else ''
    text = PLAIN if method is None else DISTILLED
    config = text.format(
        algorithm='SingleTeacherDistill' if mmrazor else 'mmkd.FrozenTeacherDistill',
        losses='distill_losses' if mmrazor else 'losses', prefix='loss_' if mmrazor else '',
        method=method, checkpoint=checkpoint, epochs=epochs, seed=seed, lr=lr,
    )  # fmt: skip
    (logs / 'config.py').write_text(config)
    rows = [*extra]
    for epoch in range(1, len(accuracies) + 1):
        for step in range(10 * epoch - 9, 10 * epoch + 1):
            value = losses[0] - (losses[0] - losses[1]) * step / 20
            row = {'loss': value, 'epoch': epoch, 'iter': step, 'step': step, 'time': 0.1}
            if method is not None:
                row |= {'student.loss': value - 0.5, f'distill.loss_{method}': 0.5}
            rows.append(row)
        rows.append({'accuracy/top1': accuracies[epoch - 1], 'time': 0.1, 'step': epoch})
    lines = [json.dumps(row) for row in rows]
    (logs / 'scalars.json').write_text('\n'.join(lines) + '\n')
    if finished:
        (folder / f'epoch_{epochs}.pth').write_bytes(b'\x80 no weights')
        (folder / 'last_checkpoint').write_text(str(folder / f'epoch_{epochs}.pth'))
    return folder
