"""Metrics of an exported file, and of the model that it came from."""

import copy
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import Tensor

from mmkd.api.running import build_runner
from mmkd.storage.checkpoint import load_all


def evaluate_file(cfg: Config, file: Path) -> dict[str, float]:
    """Evaluate an ONNX file with the data and metrics of a config.

    Args:
        cfg: Config of the plain model.
        file: The ONNX file.
    """
    return _evaluate(cfg, dict(type='mmkd.OnnxModel', file=str(file)))


def evaluate_model(cfg: Config, state_dict: Mapping[str, Tensor]) -> dict[str, float]:
    """Evaluate the model of a config with these weights."""
    return _evaluate(cfg, None, state_dict)


def _evaluate(
    cfg: Config, model: dict[str, Any] | None, state_dict: Mapping[str, Tensor] | None = None
) -> dict[str, float]:
    cfg = copy.deepcopy(cfg)
    cfg.load_from, cfg.resume = None, False
    if model is not None:
        cfg.model = model
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir = folder
        runner = build_runner(cfg)
        if state_dict is not None:
            load_all(runner.model, state_dict, 'the student')
        return {k: v for k, v in runner.test().items() if isinstance(v, int | float)}
