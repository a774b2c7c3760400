"""Fixtures of the tests that run scripts: those of tools/ and those of benchmarks/."""

import importlib.util
from pathlib import Path

import pytest
from mmengine.visualization import Visualizer

from mmkd.cli import experiments, train


@pytest.fixture
def script(repo, monkeypatch):
    """Function: a script of the repository as a module of its own."""

    def load(path):
        monkeypatch.syspath_prepend(repo / Path(path).parent)  # its neighbors, as when it is run
        spec = importlib.util.spec_from_file_location(f'script_{path}', repo / path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def trained_here(monkeypatch):
    """Names of the runs that were trained, which now happens in this process, one at a time."""
    names = []

    def train_here(name, config, threads, quiet):
        names.append(name)
        # Visualizers have one name in all runs, and so would write into the first run's folder.
        for visualizer in (Visualizer, *Visualizer.__subclasses__()):
            visualizer._instance_dict.clear()
        train.main([str(config)])

    monkeypatch.setattr(experiments, '_train', train_here)
    return names
