"""What a model costs: parameters, operations, bytes and milliseconds."""

import warnings
from pathlib import Path
from typing import Any

import torch
from mmengine.analysis import FlopAnalyzer
from torch import Tensor

from mmkd.deploy.graph import ImageGraph
from mmkd.deploy.session import OnnxFile, median_milliseconds

COLUMNS = {
    'parameters': 'parameters',
    'macs': 'multiply-adds',
    'bytes': 'file, MB',
    'pytorch_ms': 'PyTorch, ms',
    'onnx_ms': 'ONNX, ms',
}


def costs_of(graph: ImageGraph, image: Tensor, file: Path | None) -> dict[str, Any]:
    """Measure a graph, with batches of one image.

    Args:
        graph: From an image to the predictions.
        image: (1, C, H, W).
        file: Its ONNX file, if there is one.

    Returns:
        ``parameters``, ``macs`` (MMEngine's count of multiply-adds: no suppression, no attention
        kernels), ``bytes``, ``pytorch_ms`` and ``onnx_ms``, the medians of the whole graph.
    """
    with torch.no_grad():
        row: dict[str, Any] = dict(
            parameters=sum(p.numel() for p in graph.model.parameters()),
            macs=_multiply_adds(graph, image),
            pytorch_ms=median_milliseconds(lambda: graph(image)),
        )
    if file is not None:
        session = OnnxFile(file)
        row['bytes'] = file.stat().st_size
        row['onnx_ms'] = median_milliseconds(lambda: session(image.numpy()))
    return row


def _multiply_adds(graph: ImageGraph, image: Tensor) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of the tracer
        analyzer = FlopAnalyzer(graph, (image,))
        analyzer.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        return int(analyzer.total())


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Return the costs of several models as a Markdown table."""
    lines = [
        f'| model | {" | ".join(COLUMNS.values())} |',
        f'|---|{"---|" * len(COLUMNS)}',
    ]
    for name, row in rows.items():
        lines.append(f'| {name} | {" | ".join(_cell(key, row.get(key)) for key in COLUMNS)} |')
    return '\n'.join(lines)


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return ''
    if key == 'bytes':
        return f'{value / 1e6:.2f}'
    if key.endswith('_ms'):
        return f'{value:.1f}'
    return f'{value / 1e6:.2f} M' if value < 1e9 else f'{value / 1e9:.2f} G'
