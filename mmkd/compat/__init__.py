"""Patches that make the frozen OpenMMLab releases run on current PyTorch.

The rest of mmkd does not depend on them. :func:`apply` only registers import hooks: each patch runs
when its package is imported, and only if the package needs it.
"""

from types import ModuleType

from mmkd.compat import (
    checkpoint_contents,
    checkpoints,
    coco_files,
    config_files,
    config_formatting,
    cpu_distributed,
    import_hooks,
    mmcls,
    mmengine_packages,
    mmrazor,
    resume,
    runner_hooks,
)


def _mmcv_ops(_: str) -> ModuleType:
    from mmkd.compat import mmcv_ext

    return mmcv_ext.build()


def apply() -> None:
    """Make OpenMMLab importable. ``import mmkd`` calls this; repeated calls change nothing."""
    import_hooks.install()
    import_hooks.provide('mmcv._ext', _mmcv_ops)  # only if mmcv is not compiled
    for piece in (
        mmengine_packages,
        checkpoints,
        checkpoint_contents,
        coco_files,
        config_files,
        config_formatting,
        cpu_distributed,
        mmcls,
        mmrazor,
        resume,
        runner_hooks,
    ):
        piece.apply()


__all__ = ['apply']
