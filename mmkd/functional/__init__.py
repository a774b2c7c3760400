"""The mathematics of distillation: pure functions on tensors. Imports torch only."""

from mmkd.functional.cka import cka
from mmkd.functional.patches import fitting_patch_size, to_patches
from mmkd.functional.pcka import pcka

__all__ = ['cka', 'fitting_patch_size', 'pcka', 'to_patches']
