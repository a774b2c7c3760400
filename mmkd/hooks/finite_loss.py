"""Stop a run at the first loss that is NaN or infinite."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmkd.models.model_wrapper import unwrap_model
from mmkd.registry import HOOKS
from mmkd.teachers.not_finite import not_finite

_IDENTITY_KEYS = ('img_path', 'img_id', 'sample_idx')  # the clearest first


def _non_finite(values: Mapping[str, Any]) -> list[str]:
    """Return the names of tensors and numbers with NaN or infinity, with one device sync."""
    tensors = {
        name: torch.as_tensor(value)
        for name, value in values.items()
        if isinstance(value, (torch.Tensor, float, int))
    }
    if not tensors:
        return []
    flags = [torch.isfinite(value).all() for value in tensors.values()]
    device = next((flag.device for flag in flags if flag.device.type != 'cpu'), flags[0].device)
    finite = torch.stack([flag.to(device) for flag in flags]).tolist()
    return [name for name, ok in zip(tensors, finite, strict=True) if not ok]


def _field(sample: Any, key: str) -> Any:
    """Return a field of a data sample (a mapping or a data element), or None."""
    return sample.get(key) if callable(getattr(sample, 'get', None)) else getattr(sample, key, None)


def _describe_batch(data_batch: Any) -> str:
    """Say which samples are in the batch, if the batch holds that information."""
    fields = data_batch if isinstance(data_batch, Mapping) else {'data_samples': data_batch}
    samples = fields.get('data_samples')
    samples = samples if isinstance(samples, (list, tuple)) else [samples]
    for key in _IDENTITY_KEYS:
        values = [_field(sample, key) for sample in samples]
        known = [value for value in values if value is not None] or fields.get(key)
        if known is not None:
            return f'{key} {known}'
    return 'sample indices unknown (the batch carries none of ' + ', '.join(_IDENTITY_KEYS) + ')'


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Raise as soon as a training loss is NaN or infinite. Never save such weights.

    The hook checks every value that ``train_step`` returns, on each rank by itself. A finite loss
    can have an infinite gradient, so the hook also checks the weights before each checkpoint. Use
    it with :class:`~mmkd.hooks.AtomicCheckpointHook`, which deletes an older checkpoint only after
    its successor is whole.

    Args:
        interval: Iterations between two checks of the losses. Each check is one device sync.
            Default: 1.

    Raises:
        FloatingPointError: Names each bad loss, the epoch, the iteration and the files of the
            batch; or each bad weight. If the teacher's features are not finite, the error names
            the teacher's module and checkpoint instead.

    Example:
        >>> default_hooks = dict(finite_loss=dict(type='mmkd.FiniteLossHook'))
    """

    # The optimizer has already stepped, but the checkpoint hook (VERY_LOW) runs later, so no file
    # gets the bad weights. The logger (BELOW_NORMAL) runs before.
    priority = 'LOW'

    def __init__(self, interval: int = 1) -> None:
        if interval < 1:
            raise ValueError(f'interval: expected at least 1 iteration, got {interval}')
        self.interval = interval

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Check the losses of this iteration."""
        if not self.every_n_train_iters(runner, self.interval):
            return
        outputs = outputs or {}
        bad = _non_finite(outputs)
        if bad:
            self._blame_teacher(runner, data_batch, bad)
            values = ', '.join(f'{name}={torch.as_tensor(outputs[name]).tolist()}' for name in bad)
            raise FloatingPointError(
                f'training loss: expected finite values, got {values} at epoch {runner.epoch + 1}, '
                f'iteration {runner.iter + 1}; batch: {_describe_batch(data_batch)}'
            )

    def _blame_teacher(self, runner: Runner, data_batch: Any, bad: list[str]) -> None:
        """Raise if a distillation loss is bad because the teacher's features are."""
        if not any(name.startswith('distill.') for name in bad):
            return
        model = unwrap_model(runner.model)
        if not hasattr(model, 'teacher'):
            return
        batch = model.data_preprocessor(data_batch, False)
        culprits = not_finite(model.teacher, batch['inputs'], batch.get('data_samples'))
        if culprits:
            raise FloatingPointError(
                'teacher: expected finite features, got NaN or infinity from its module '
                f'{" and ".join(culprits)} at epoch {runner.epoch + 1}, iteration '
                f'{runner.iter + 1}; batch: {_describe_batch(data_batch)}; check the weights and '
                "the normalization of the images, and try precision='fp32' or 'bf16'"
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse to save weights that are not finite."""
        # Buffers may be infinite on purpose.
        parameters = dict(unwrap_model(runner.model).named_parameters())
        weights = {k: v for k, v in checkpoint['state_dict'].items() if k in parameters}
        bad = _non_finite(weights)
        if bad:
            raise FloatingPointError(
                f'checkpoint: expected finite weights, got NaN or infinity in {len(bad)} of '
                f'{len(weights)} parameters (first: {", ".join(bad[:5])}) at epoch '
                f'{runner.epoch + 1}, iteration {runner.iter + 1}; it was not saved'
            )
