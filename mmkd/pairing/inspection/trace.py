"""One pass over a black image: which modules of a model run, and what they return."""

from typing import Any, NamedTuple

from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from mmkd.models.zero_image import Size, run_on_zeros


class Output(NamedTuple):
    """A tensor that a module returned.

    Attributes:
        shape: Its shape; the batch is 1.
        stride: Pixels of the input per cell, in rows and columns; None unless it is a map.
    """

    shape: tuple[int, ...]
    stride: Size | None

    def __str__(self) -> str:
        if self.stride is None:
            return 'x'.join(map(str, self.shape))
        rows, columns = self.stride
        stride = f'{rows}' if rows == columns else f'{rows}x{columns}'
        return f'{"x".join(map(str, self.shape[1:]))} /{stride}'


# All outputs of each call of a module, by the module's name.
Calls = dict[str, list[tuple[Output, ...]]]


def trace(model: BaseModel, size: Size) -> Calls:
    """Run a model once in its ``'tensor'`` mode and note what each module returns.

    The model needs no weights.

    Args:
        model: A detector or classifier.
        size: Height and width of the input in pixels.

    Returns:
        For each module that ran, in the model's order: the outputs of each call, flattened.

    Raises:
        RuntimeError: If the model cannot run on zeros of this size.

    Example:
        >>> from mmkd.models.building import build_model
        >>> cfg = dict(cfg_path='mmpretrain::resnet/resnet18_8xb16_cifar10.py')
        >>> calls = trace(build_model(cfg), (32, 32))
        >>> [str(output) for output in calls['backbone.layer4'][0]]
        ['512x4x4 /8']
    """
    calls: Calls = {name: [] for name, _ in model.named_modules() if name}
    handles = [
        module.register_forward_hook(_note(calls[name], size))
        for name, module in model.named_modules()
        if name
    ]
    try:
        run_on_zeros(model, size)
    except Exception as error:
        raise RuntimeError(
            f'{type(model).__name__}: cannot run on an image of {size[0]} x {size[1]} zeros '
            f'({type(error).__name__}: {error}); try another size'
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    return {name: outputs for name, outputs in calls.items() if outputs}


def _note(calls: list[tuple[Output, ...]], size: Size) -> Any:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
        tensors = [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)]
        calls.append(tuple(_describe(tensor, size) for tensor in tensors))

    return hook


def _describe(tensor: Tensor, size: Size) -> Output:
    shape = tuple(tensor.shape)
    if len(shape) != 4 or shape[0] != 1 or 0 in shape:
        return Output(shape, None)
    return Output(shape, (round(size[0] / shape[2]), round(size[1] / shape[3])))
