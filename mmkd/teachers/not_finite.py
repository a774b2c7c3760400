"""Which module of a teacher makes NaN or infinity of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

if TYPE_CHECKING:
    from mmkd.teachers.ensemble import TeacherEnsemble
    from mmkd.teachers.frozen_teacher import FrozenTeacher


def not_finite(teacher: FrozenTeacher | TeacherEnsemble, inputs: Tensor, samples: Any) -> list[str]:
    """Run the teacher once more, and name the first module that returns NaN or infinity.

    Args:
        teacher: A teacher or several.
        inputs: The batch, (B, 3, H, W), preprocessed for the student.
        samples: The batch's samples.

    Returns:
        A text for each teacher that has one: the module, and the teacher's checkpoint. Nothing if
        the images themselves are not finite.
    """
    if not inputs.isfinite().all():
        return []
    texts = []
    for prefix, member in teacher.by_prefix().items():
        first = _first_module(member, inputs, samples)
        if first is not None:
            weights = member.checkpoint or 'none'
            name = f'{prefix}{first}' or type(member.model).__name__
            texts.append(f'{name} (checkpoint: {weights}, precision: {member.precision})')
    return texts


def _first_module(teacher: FrozenTeacher, inputs: Tensor, samples: Any) -> str | None:
    found: list[str] = []

    def note(name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            leaves = [x for x in pytree.tree_leaves(output) if isinstance(x, Tensor)]
            if not found and not all(leaf.isfinite().all() for leaf in leaves):
                found.append(name)

        return hook

    modules = teacher.model.named_modules()
    handles = [module.register_forward_hook(note(name)) for name, module in modules]
    try:
        with torch.no_grad():
            teacher(inputs, samples)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None
