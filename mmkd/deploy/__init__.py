"""A model as an ONNX file: traced, proved against PyTorch, measured and described.

:func:`mmkd.export` writes one when its target ends in ``.onnx``.
"""

from mmkd.deploy.onnx_model import OnnxModel

__all__ = ['OnnxModel']
