"""Write a graph as an ONNX file."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmkd.deploy.graph import RawGraph, UnsupportedModelError
from mmkd.deploy.graph.batched_nms import nms_mask_in_onnx
from mmkd.deploy.packages import check_packages
from mmkd.deploy.session import METADATA

BATCH = 2  # that is traced; any other works as well


def write_onnx(
    graph: nn.Module, image: Tensor, names: tuple[str, ...], info: Mapping[str, Any], path: Path
) -> None:
    """Trace a graph, and write one file with its weights.

    Args:
        graph: Takes ``image``, and returns a tuple of tensors.
        image: (B, C, H, W). The batch is dynamic in the file, height and width are fixed.
        names: Of the outputs.
        info: What :class:`~mmkd.deploy.session.OnnxFile` reads again; plain data.
        path: The file, which is replaced.

    Raises:
        UnsupportedModelError: Names the operator or the place that cannot be traced.
    """
    check_packages()
    batch = torch.export.Dim('batch')
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            # Traced first: MMDetection goes other, older ways while it is exported to ONNX.
            program = torch.export.export(
                graph, (image,), dynamic_shapes=({0: batch},), strict=False
            )
            onnx_program: Any = torch.onnx.export(
                program,
                dynamo=True,
                input_names=['image'],
                output_names=[*names],
                custom_translation_table={torch.ops.mmkd.nms_mask.default: nms_mask_in_onnx},
                external_data=False,
                verbose=False,
            )
    except UnsupportedModelError:
        raise
    except Exception as error:  # whatever a model's code does that cannot be traced
        model = graph.whole.model if isinstance(graph, RawGraph) else graph.model
        raise UnsupportedModelError(
            f'model: {type(model).__name__} cannot be exported: {_cause(error)}'
        ) from error
    model_proto = onnx_program.model_proto
    entry = model_proto.metadata_props.add()
    entry.key, entry.value = METADATA, json.dumps(info)
    content = model_proto.SerializeToString()
    path.write_bytes(content)


def _cause(error: BaseException) -> str:
    """The first error of a chain, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f'{lines[0] if lines else ""} ({type(error).__name__})'
