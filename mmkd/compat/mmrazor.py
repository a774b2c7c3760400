"""MMRazor 1.0.0 on current PyTorch, without its quantization code.

MMRazor always imports that code, which needs private modules of PyTorch 1.13. Stand-ins replace it
and raise when used. They are registered under the old names, so a config that uses one fails with
the reason.
"""

import importlib
from types import ModuleType

from mmkd.compat.import_hooks import provide
from mmkd.compat.unavailable import unavailable_module

REASON = "MMRazor's quantization needs PyTorch 1.13 and is not part of mmkd"

# module: (registry, names)
STAND_INS = {
    'mmrazor.structures.quantization': ('', ('BackendConfigs', 'QConfigHandler')),
    'mmrazor.models.quantizers': (
        'MODELS',
        (
            'BaseQuantizer',
            'AcademicQuantizer',
            'TorchNativeQuantizer',
            'TensorRTQuantizer',
            'OpenVINOQuantizer',
        ),
    ),
    'mmrazor.models.observers': (
        'MODELS',
        ('BaseObserver', 'LSQObserver', 'LSQPerChannelObserver', 'register_torch_observers'),
    ),
    'mmrazor.models.fake_quants': (
        'MODELS',
        (
            'BaseFakeQuantize',
            'LearnableFakeQuantize',
            'register_torch_fake_quants',
            'enable_val',
            'enable_param_learning',
            'enable_static_estimate',
        ),
    ),
    'mmrazor.models.algorithms.quantization': (
        'MODELS',
        ('MMArchitectureQuant', 'MMArchitectureQuantDDP'),
    ),
    'mmrazor.engine.runner.quantization_loops': (
        'LOOPS',
        ('LSQEpochBasedLoop', 'PTQLoop', 'QATEpochBasedLoop', 'QATValLoop'),
    ),
}


def _stand_in(registry: str, names: tuple[str, ...]):
    def create(module_name: str) -> ModuleType:
        module = unavailable_module(module_name, names, REASON)
        if registry:
            target = getattr(importlib.import_module('mmrazor.registry'), registry)
            for name in (name for name in names if name[0].isupper()):
                target.register_module(name=name, module=getattr(module, name), force=True)
        return module

    return create


def apply() -> None:
    """Provide the stand-ins."""
    for module_name, (registry, names) in STAND_INS.items():
        provide(module_name, _stand_in(registry, names), override=True)
