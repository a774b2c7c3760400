"""The entry point: silent, without cost, idempotent, in any order of imports."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import mmkd
from mmkd import compat
from mmkd.compat import import_hooks

STACK = ('mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'mmrazor', 'mmcls', 'torchvision', 'numpy')


def python(code, *options, path=()):
    """Run ``code`` in a fresh interpreter and return what it prints."""
    places = [*map(str, path), str(Path(mmkd.__file__).parents[1])]
    run = subprocess.run(
        [sys.executable, *options, '-c', code],
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(places)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout + run.stderr


def test_import_is_silent_and_imports_nothing_else():
    heavy = ('torch', *STACK)
    assert python('import mmkd', '-W', 'error') == ''
    assert python(f'import mmkd, sys; print([n for n in {heavy} if n in sys.modules])') == '[]\n'


def test_apply_again_changes_nothing():
    import mmengine.dist.utils as dist_utils
    import mmpretrain.registry  # noqa: F401  (adds the scope)
    from mmengine.config.utils import MODULE2PACKAGE
    from mmengine.registry import MODELS
    from mmengine.runner import Runner, checkpoint

    def state():
        return (
            list(sys.meta_path),
            {name: list(patches) for name, patches in import_hooks._patcher.patches.items()},
            set(import_hooks._overrides.factories) | set(import_hooks._fallbacks.factories),
            Runner.wrap_model,
            checkpoint.load_url,
            dist_utils._init_dist_pytorch,
            dist_utils._init_dist_slurm,
            MODELS.children['mmcls'],
            dict(MODULE2PACKAGE),
            len(torch.serialization.get_safe_globals()),
        )

    before = state()
    compat.apply()
    compat.apply()
    assert state() == before


def test_stack_imported_before_mmkd_is_mended_too(tmp_path):
    inherits = tmp_path / 'inherits.py'
    inherits.write_text("_base_ = 'mmdet::_base_/default_runtime.py'\n")
    code = f"""
import sys
sys.modules['pkg_resources'] = None  # as after `pip install setuptools>=82`
import mmengine, mmengine.runner, mmengine.config, mmengine.hub, mmcv, mmpretrain, mmrazor
import mmkd
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import Runner, checkpoint
assert Config.fromfile({str(inherits)!r}).default_scope == 'mmdet'
assert checkpoint.load_url.__code__.co_filename.endswith('checkpoints.py')
assert Runner.wrap_model.__code__.co_filename.endswith('cpu_distributed.py')
from mmcv import ops
loss = MODELS.build(dict(type='KDSoftCELoss', _scope_='mmrazor'))
print(type(loss).__module__, MODELS.get('mmcls.ImageClassifier').__module__)
"""
    last = python(code).splitlines()[-1]
    assert last == 'mmrazor.models.losses.kd_soft_ce_loss mmpretrain.models.classifiers.image'


def test_importing_the_registry_alone_applies_it():
    code = 'import mmkd.registry, mmcls.registry; print(mmcls.registry.MODELS.scope)'
    assert python(code).splitlines()[-1] == 'mmpretrain'


def test_functional_needs_torch_alone():
    code = f"""
import sys, warnings
warnings.simplefilter('ignore')  # torch says that there is no NumPy

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {STACK}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import torch
from mmkd.functional import cka
x = torch.eye(4)[:, :3]
print(round(float(cka(x, 2 * x)), 6))
"""
    assert python(code).splitlines()[-1] == '1.0'


@pytest.mark.parametrize(('compiled', 'expected'), [(True, 'compiled'), (False, 'stand-in')])
def test_a_compiled_mmcv_wins_over_the_stand_in(tmp_path, compiled, expected):
    (tmp_path / 'mmcv').mkdir()
    (tmp_path / 'mmcv' / '__init__.py').write_text('')
    if compiled:
        (tmp_path / 'mmcv' / '_ext.py').write_text("made = 'compiled'\n")
    code = "import mmkd, mmcv._ext as e; print(vars(e).get('made', 'stand-in'))"
    assert python(code, path=[tmp_path]) == expected + '\n'
