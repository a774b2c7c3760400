"""The versions of tools and of Python stand in several files, which agree."""

import re
import tomllib

import pytest
import yaml


@pytest.fixture
def pins(repo):
    lines = (repo / 'constraints.txt').read_text().splitlines()
    return dict(line.split('==') for line in lines if not line.startswith('#'))


@pytest.mark.parametrize(
    ('tool', 'source'), [('ruff', 'ruff-pre-commit'), ('mypy', 'mirrors-mypy')]
)
def test_pre_commit_runs_the_pinned_tools(repo, pins, tool, source):
    repos = yaml.safe_load((repo / '.pre-commit-config.yaml').read_text())['repos']
    (rev,) = [each['rev'] for each in repos if each['repo'].endswith(source)]
    assert rev == f'v{pins[tool]}'


def test_pins_hold_on_every_python_that_mmkd_supports(repo, pins):
    assert not [version for version in pins.values() if ';' in version]
    project = tomllib.loads((repo / 'pyproject.toml').read_text())
    python = project['project']['requires-python'].removeprefix('>=')
    assert project['tool']['ruff']['target-version'] == f'py{python.replace(".", "")}'
    assert project['tool']['mypy']['python_version'] == python
    for name in ('README.md', 'docs/index.md', 'CONTRIBUTING.md', 'Makefile'):
        assert f'Python {python} or' in (repo / name).read_text()
    assert f'({python.replace(".", ", ")})' in (repo / 'Makefile').read_text()


def test_pins_are_exact(pins):
    assert len(pins) > 50
    assert all(re.fullmatch(r'[\w.]+', version) for version in pins.values())
