"""mmkd: knowledge distillation for MMDetection and MMPretrain.

:func:`mmkd.distill` trains a student with its teacher, :func:`mmkd.plan` decides and writes the
config alone, :func:`mmkd.export` writes the student as a plain model, and :func:`mmkd.report`
compares finished runs on one page. :func:`mmkd.analyze` compares layers, logits and samples of a
teacher and its students.

``import mmkd`` only makes the frozen OpenMMLab releases run on the installed PyTorch (see
:mod:`mmkd.compat`). The functions above are imported at their first use, so ``mmkd.functional``
needs torch alone.
"""

import importlib
from typing import TYPE_CHECKING, Any

from mmkd import compat
from mmkd.version import __version__

if TYPE_CHECKING:
    from mmkd.api.planning import Plan, plan
    from mmkd.api.training import Result, distill
    from mmkd.exporting import export
    from mmkd.reporting import report
    from mmkd.studies import analyze

compat.apply()

__all__ = ['Plan', 'Result', '__version__', 'analyze', 'distill', 'export', 'plan', 'report']

_HOMES = dict(
    Plan='mmkd.api.planning',
    Result='mmkd.api.training',
    analyze='mmkd.studies',
    distill='mmkd.api.training',
    export='mmkd.exporting',
    plan='mmkd.api.planning',
    report='mmkd.reporting',
)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
