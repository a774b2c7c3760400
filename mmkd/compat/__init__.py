"""Everything that makes the frozen OpenMMLab releases run on today's PyTorch.

Nothing else in mmkd knows about it. :func:`apply` only registers import hooks: each piece acts
when the package it concerns is imported, and not at all when there is nothing to mend.
"""

from types import ModuleType

from mmkd.compat import (
    checkpoints,
    cpu_distributed,
    import_hooks,
    mmcls,
    mmengine_packages,
    mmrazor,
)


def _mmcv_ops(_: str) -> ModuleType:
    from mmkd.compat import mmcv_ext

    return mmcv_ext.build()


def apply() -> None:
    """Make the stack importable; called by ``import mmkd``, harmless when called again."""
    import_hooks.install()
    import_hooks.provide('mmcv._ext', _mmcv_ops)  # only where mmcv was not compiled
    for piece in (mmengine_packages, checkpoints, cpu_distributed, mmcls, mmrazor):
        piece.apply()


__all__ = ['apply']
