"""The extras, one of which depends on what is installed; all else is in pyproject.toml."""

import site
import sysconfig
from importlib.metadata import distributions

from setuptools import setup

STACK = [
    'mmengine>=0.10.4,<0.11',
    'mmdet>=3.3,<3.4',
    'mmpretrain>=1.2,<1.3',
    'mmrazor==1.0.0',
    'torchvision>=0.21',
    'pycocotools>=2.0.7',
    'scikit-learn>=1.3',
    'matplotlib>=3.7',
    'tensorboard>=2.12',
]
LITE = ['mmcv-lite==2.1.0']
ONNX = ['onnx>=1.18', 'onnxscript>=0.5', 'onnxruntime>=1.22']
DOCS = [
    'mkdocs>=1.6,<2',
    'mkdocs-material>=9.6',
    'mkdocstrings[python]>=0.29',
    'latex2mathml>=3.77',
]
DEV = [
    'pytest>=8',
    'pytest-timeout>=2',
    'pytest-xdist>=3',
    'setuptools>=77',
    'ruff>=0.9',
    'mypy>=1.10',
    'pre-commit>=3.5',
]


def compiled_mmcv() -> bool:
    """Whether `mmcv` is installed, over whose files `mmcv-lite` would write."""
    places = {
        sysconfig.get_path('purelib'),
        sysconfig.get_path('platlib'),
        site.getusersitepackages(),
    }
    return any(d.metadata['Name'] == 'mmcv' for d in distributions(path=sorted(places)))


everything = STACK if compiled_mmcv() else STACK + LITE
setup(
    extras_require={
        'all': everything,
        'stack': STACK,
        'umap': ['umap-learn>=0.5.7'],
        'onnx': ONNX,
        'docs': DOCS,
        'dev': everything + ONNX + DOCS + DEV,
    }
)
