"""mmkd: knowledge distillation for MMDetection and MMPretrain.

Importing the package (or :mod:`mmkd.registry`) makes the frozen OpenMMLab
releases run on the installed PyTorch; see :mod:`mmkd.compat`. Nothing else is
imported here, so ``mmkd.functional`` needs torch alone.
"""

from mmkd import compat
from mmkd.version import __version__

compat.apply()

__all__ = ['__version__']
