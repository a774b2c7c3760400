"""Answers for ``mmcv.utils.collect_env``."""


def get_compiler_version() -> str:
    """Say that mmcv was not compiled."""
    return 'none (torchvision kernels)'


def get_compiling_cuda_version() -> str:
    """Say that mmcv was not compiled against CUDA."""
    return 'none (torchvision kernels)'
