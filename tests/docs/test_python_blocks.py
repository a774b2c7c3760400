"""Python blocks of README and docs: scripts compile and call what exists, configs load."""

import ast
import dataclasses
import functools
import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from markdown_blocks import PYTHON, REPO, Block, blocks_of
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample

import mmkd
from mmkd.algorithms.short_config import expand_distiller
from mmkd.registry import DATA_SAMPLERS, DATASETS, HOOKS, LOOPS, MODELS, TASK_UTILS

REGISTRIES = (MODELS, HOOKS, DATASETS, DATA_SAMPLERS, LOOPS, TASK_UTILS)
# What variables of the docs hold, by their name.
HOLDS = {'result': mmkd.Result, 'plan': mmkd.Plan}
MY_STUDENT = """
_base_ = 'mmkd::digits/resnet8_digits.py'
"""


def is_script(block: Block) -> bool:
    return any(isinstance(node, ast.Import | ast.ImportFrom) for node in tree(block).body)


@functools.cache
def tree(block: Block) -> ast.Module:
    return ast.parse(block.code)


RUN = [block for block in PYTHON if block.mark == 'run']
SCRIPTS = [block for block in PYTHON if block not in RUN and is_script(block)]
CONFIGS = [block for block in PYTHON if block not in RUN and not is_script(block)]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Where the files of the docs' user lie, importable as from a working directory."""
    path = tmp_path_factory.mktemp('user')
    (path / 'my_student.py').write_text(MY_STUDENT)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(path)
        yield path


@pytest.fixture(scope='module')
def run_page(folder):
    """Run the marked blocks of a page once, as one program; a titled block is a module."""

    @functools.cache
    def run(page) -> dict[str, Any]:
        names: dict[str, Any] = {}
        for block in blocks_of(page):
            if block.language != 'python' or block.mark != 'run':
                continue
            if block.title:
                (folder / block.title).write_text(block.code)
                importlib.invalidate_caches()
                names.update(vars(importlib.import_module(block.title.removesuffix('.py'))))
            else:
                exec(compile(block.code, str(block), 'exec'), names)
        return names

    return run


@pytest.mark.parametrize('page', sorted({block.page for block in RUN}), ids=lambda page: page.name)
def test_marked_blocks_run(page, run_page):
    assert run_page(page)


def test_plain_pytorch_script_runs(capsys, monkeypatch):
    monkeypatch.syspath_prepend(REPO / 'docs/examples')
    importlib.import_module('plain_pytorch')
    sys.modules.pop('plain_pytorch')
    assert 'loss' in capsys.readouterr().out


@pytest.mark.parametrize('block', SCRIPTS, ids=str)
def test_scripts_call_what_exists(block):
    compile(block.code, str(block), 'exec')
    names = imported(tree(block))
    assert names, 'a script imports something of mmkd'
    called = 0
    for node in ast.walk(tree(block)):
        if isinstance(node, ast.Call) and (function := resolve(node.func, names)) is not None:
            called += 1
            arguments = {keyword.arg: None for keyword in node.keywords}
            inspect.signature(function).bind(*node.args, **arguments)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            kept = HOLDS.get(node.value.id)
            fields = [field.name for field in dataclasses.fields(kept)] if kept else []
            assert kept is None or node.attr in fields or hasattr(kept, node.attr), node.attr
    assert called


def imported(module: ast.Module) -> dict[str, Any]:
    """What the imports of mmkd's parts bind."""
    names: dict[str, Any] = {}
    for node in module.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            exec(compile(ast.Module([node], []), 'import', 'exec'), names)
    return {
        name: value
        for name, value in names.items()
        if getattr(value, '__module__', getattr(value, '__name__', '')).startswith('mmkd')
    }


def resolve(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """The object that a dotted name means; None if it is not mmkd's."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        of = resolve(node.value, names)
        return None if of is None else getattr(of, node.attr)
    return None


@pytest.mark.parametrize('block', CONFIGS, ids=str)
def test_configs_load_and_name_what_exists(block, folder, run_page):
    run_page(block.page)
    path = folder / (block.title or f'block_{block.page.stem.replace("-", "_")}_{block.line}.py')
    # A relative base is that of a config in a folder of `configs/`.
    path.write_text(block.code.replace("'../_base_/", "'mmkd::_base_/"))
    cfg = Config.fromfile(path)
    # A base may add much; what the block itself says is checked.
    settings = own_settings(block, cfg)
    checked = sum(map(check_distiller, distillers(settings))) + sum(
        map(check_type, typed(settings))
    )
    assert checked or "type='mmkd." not in block.code


def own_settings(block: Block, cfg: Config) -> dict[str, Any]:
    """The settings of a config whose names the block assigns."""
    targets = [
        target.id
        for node in tree(block).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    assert targets, 'a config assigns something'
    return {name: cfg[name] for name in targets if name in cfg}


def walk(value: Any) -> Iterator[Mapping]:
    if isinstance(value, Mapping):
        yield value
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from walk(item)


def distillers(settings: Mapping[str, Any]) -> Iterator[Mapping]:
    for config in walk(settings):
        if 'type' in config and config['type'] != 'ConfigurableDistiller':
            continue
        if {'losses', 'distill_losses'} & config.keys():
            yield config


def typed(settings: Mapping[str, Any]) -> Iterator[Mapping]:
    """Dicts with a type of mmkd outside of distillers, whose entries have keys of their own."""
    for key, value in settings.items():
        if key == 'distiller':
            continue
        if isinstance(value, Mapping):
            if str(value.get('type', '')).startswith('mmkd.'):
                yield value
            yield from typed(value)
        elif isinstance(value, list | tuple):
            for item in value:
                yield from typed({'item': item})


def check_distiller(distiller: Mapping[str, Any]) -> int:
    """Expand the short spelling, and bind every argument; returns how many losses there are."""
    full = expand_distiller(distiller)
    for loss in full['distill_losses'].values():
        bind(find(MODELS, loss['type']), loss)
    for connector in full.get('connectors', {}).values():
        for part in connector if isinstance(connector, list | tuple) else [connector]:
            bind(find(MODELS, part['type']), part, partial=True)
    for side in ('student', 'teacher'):
        for recorder in full[f'{side}_recorders'].values():
            bind(find(TASK_UTILS, f'{recorder["type"]}Recorder'), recorder)
    return len(full['distill_losses'])


def check_type(config: Mapping[str, Any]) -> int:
    found = [registry.get(config['type']) for registry in REGISTRIES]
    classes = [cls for cls in found if cls is not None]
    assert classes, config['type']
    bind(classes[0], config, partial=True)
    return 1


def find(registry, name: str) -> Any:
    with registry.switch_scope_and_registry('mmrazor') as scoped:
        cls = scoped.get(name)
    assert cls is not None, f'no such type: {name}'
    return cls


def bind(cls: Any, config: Mapping[str, Any], *, partial: bool = False) -> None:
    signature = inspect.signature(cls)
    arguments = {key: value for key, value in config.items() if key not in ('type', '_delete_')}
    (signature.bind_partial if partial else signature.bind)(**arguments)


STEPPED = [
    block
    for block in CONFIGS
    if (block.page.name == 'extend.md' and block.title is None)
    or any(name in block.code for name in ('EnsembleOutputs', 'DKDLoss'))
]  # fmt: skip


@pytest.mark.parametrize('block', STEPPED, ids=str)
def test_distillers_of_classifiers_step(block, run_page):
    run_page(block.page)
    settings: dict[str, Any] = {}
    exec(block.code, settings)
    pair = Config.fromfile(REPO / 'configs/_base_/pairs/resnet14_resnet8_digits.py').model
    model = {**pair, **settings.get('model', {})}
    model['distiller'] = settings.get('distiller', model.get('distiller'))
    for teacher in model['teacher'].get('members', {'teacher': model['teacher']}).values():
        teacher['checkpoint'] = None
    samples = [DataSample().set_gt_label(label) for label in range(4)]
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        losses = MODELS.build(model)(torch.rand(4, 3, 32, 32), samples, mode='loss')
    named = {name: loss for name, loss in losses.items() if name.startswith('distill.')}
    assert named
    assert all(loss.isfinite() for loss in named.values())
