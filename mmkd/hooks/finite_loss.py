"""Stop a run at its first loss that is not finite."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from mmkd.registry import HOOKS

_IDENTITY_KEYS = ('img_path', 'img_id', 'sample_idx')  # most telling first


def _non_finite(values: Mapping[str, Any]) -> list[str]:
    """Names of the tensors and numbers that hold NaN or infinity, found with one device sync."""
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
    """One field of a data sample, be it a mapping or a data element; None where it has none."""
    return sample.get(key) if callable(getattr(sample, 'get', None)) else getattr(sample, key, None)


def _describe_batch(data_batch: Any) -> str:
    """Where the samples of a batch came from, as far as the batch itself tells."""
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
    """Raise as soon as a training loss is NaN or infinite, and never let such weights be saved.

    Every value that ``train_step`` returns is checked, on each rank by itself. Weights are checked
    whenever a checkpoint is about to be written, since a finite loss can still have an infinite
    gradient. Run it with :class:`~mmkd.hooks.AtomicCheckpointHook`, which deletes an older
    checkpoint only after its successor is whole.

    Args:
        interval: Check the losses every so many iterations; each check is one device sync.
            Default: 1.

    Raises:
        FloatingPointError: Names each offending loss, the epoch, the iteration and the files of
            the batch; or each offending weight.

    Example:
        >>> custom_hooks = [dict(type='mmkd.FiniteLossHook')]
    """

    # A hook suffices though the optimizer has already stepped: the spoiled weights live only in
    # memory, and the checkpoint hook (VERY_LOW) runs later. The log (BELOW_NORMAL) is out by then.
    priority = 'LOW'

    def __init__(self, interval: int = 1) -> None:
        if interval < 1:
            raise ValueError(f'interval: expected at least 1 iteration, got {interval}')
        self.interval = interval

    def after_train_iter(
        self, runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Check the losses of this iteration."""
        if not self.every_n_train_iters(runner, self.interval):
            return
        outputs = outputs or {}
        bad = _non_finite(outputs)
        if bad:
            values = ', '.join(f'{name}={torch.as_tensor(outputs[name]).tolist()}' for name in bad)
            raise FloatingPointError(
                f'training loss: expected finite values, got {values} at epoch {runner.epoch + 1}, '
                f'iteration {runner.iter + 1}; batch: {_describe_batch(data_batch)}'
            )

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Refuse to save weights that are not finite."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        parameters = dict(model.named_parameters())  # a buffer may be infinite on purpose
        weights = {k: v for k, v in checkpoint['state_dict'].items() if k in parameters}
        bad = _non_finite(weights)
        if bad:
            raise FloatingPointError(
                f'checkpoint: expected finite weights, got NaN or infinity in {len(bad)} of '
                f'{len(weights)} parameters (first: {", ".join(bad[:5])}) at epoch '
                f'{runner.epoch + 1}, iteration {runner.iter + 1}; it was not saved'
            )
