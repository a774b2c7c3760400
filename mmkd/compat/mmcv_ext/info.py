"""What ``mmcv.utils.collect_env`` reports about the build."""


def get_compiler_version() -> str:
    """Say that no compiler was involved."""
    return 'none (torchvision kernels)'


def get_compiling_cuda_version() -> str:
    """Say that mmcv was not compiled against CUDA."""
    return 'none (torchvision kernels)'
