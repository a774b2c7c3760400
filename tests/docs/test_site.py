"""The documentation's frame: links, generated tables, columns, and its plugins."""

import importlib.util
import pkgutil
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from markdown_blocks import FENCE, PAGES, REPO

from mmkd.registry import (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    LOOPS,
    MODELS,
    PARAM_SCHEDULERS,
    TASK_UTILS,
)
from mmkd.version import __version__

REGISTRIES = (MODELS, HOOKS, DATASETS, DATA_SAMPLERS, LOOPS, PARAM_SCHEDULERS)
LINK = re.compile(r'\[[^\]]*\]\(([^)\s]+)\)')


def plugin(name):
    """A module of docs/plugins."""
    path = REPO / 'docs/plugins' / f'{name}.py'
    spec = importlib.util.spec_from_file_location(f'docs_{name}', path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prose(page):
    """Text of a page without its code."""
    return re.sub(r'`[^`\n]*`', '', FENCE.sub('', page.read_text()))


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_linked_files_exist(page):
    for target in LINK.findall(prose(page)):
        name = target.partition('#')[0]
        if name and '://' not in name and not name.startswith('mailto:'):
            assert (page.parent / name).exists(), target


@pytest.mark.parametrize(
    'page',
    [page for page in PAGES if page.parent in (REPO, REPO / 'docs', REPO / 'docs/methods')],
    ids=lambda page: str(page.relative_to(REPO)),
)
def test_lines_have_at_most_100_columns(page):
    lines = page.read_text().splitlines()
    lines = [line for line in lines if not line.startswith(('|', '![', '$$'))]
    assert [line for line in lines if len(line) > 100] == []


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_named_parts_exist(page):
    # The changelog names what is gone.
    if page.name != 'CHANGELOG.md':
        for name in re.findall(r'`mmkd\.([A-Za-z_][\w.]*\w)', FENCE.sub('', page.read_text())):
            assert name == 'NAME' or exists(name), f'mmkd.{name}'


def exists(name):
    """Whether `mmkd.NAME` is a type of configs, a module, or an object."""
    recorder = TASK_UTILS.get(f'mmkd.{name}Recorder')
    if recorder is not None or any(registry.get(f'mmkd.{name}') for registry in REGISTRIES):
        return True
    try:
        pkgutil.resolve_name(f'mmkd.{name}')
    except (ImportError, AttributeError):
        return False
    return True


def test_readme_is_one_screen():
    assert len((REPO / 'README.md').read_text().splitlines()) <= 100


def test_cli_page_shows_the_parsers():
    cli_page = plugin('cli_page')
    text = (REPO / 'docs/cli.md').read_text()
    assert cli_page.TABLE.findall(text)
    assert cli_page.page(text) == text, 'run: python docs/plugins/cli_page.py'


def test_cli_page_has_every_command():
    from mmkd.cli.main import COMMANDS

    text = (REPO / 'docs/cli.md').read_text()
    for command, (module, _) in COMMANDS.items():
        assert f'## mmkd {command}\n' in text
        assert f'<!-- options: {command} -->' in text
        assert f'`tools/{module}.py`' in text


def test_citation():
    citation = yaml.safe_load((REPO / 'CITATION.cff').read_text())
    assert {'cff-version', 'message', 'title', 'authors'} <= citation.keys()
    assert citation['version'] == __version__
    assert citation['authors'] == [{'name': 'mmkd contributors'}]


def test_formulas_become_mathml():
    content = plugin('mathml').on_page_content(
        r'<span class="arithmatex">\(a &lt; b_i\)</span>, 1.0 ± 0.5'
    )
    assert content.startswith('<math')
    assert '<msub>' in content
    assert 'arithmatex' not in content
    assert content.endswith('1.0\u00a0±\u00a00.5')


def test_docstrings_become_markdown():
    markdown_of = plugin('sphinx_roles').markdown_of
    text = 'Of :func:`~mmkd.functional.cka`.\n\n.. math::\n    a\n    + b\n\nExample:\n'
    assert markdown_of(text) == 'Of `cka`.\n\n$$\na + b\n$$\n\nExamples:\n'


@pytest.mark.parametrize(
    'dead', ['[x](nothing.md)', '[x](configs.md#nothing)', '[x][mmkd.losses.Nothing]']
)
def test_dead_link_fails_the_build(dead, tmp_path):
    for name in ('mmkd', 'configs', 'benchmarks'):
        (tmp_path / name).symlink_to(REPO / name)
    for path in (REPO / 'mkdocs.yml', *REPO.glob('*.md')):
        shutil.copy(path, tmp_path)
    shutil.copytree(REPO / 'docs', tmp_path / 'docs')
    page = tmp_path / 'docs/speed.md'
    page.write_text(f'{page.read_text()}\n{dead}\n')
    recipe = re.search(
        r'^docs:.*\n\t\$\(RUN\) (.*)$', (REPO / 'Makefile').read_text(), re.MULTILINE
    )
    command = [sys.executable, *recipe[1].split()]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode != 0
    assert 'othing' in run.stderr
