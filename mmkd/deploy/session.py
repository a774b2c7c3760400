"""An ONNX file that mmkd wrote, in onnxruntime."""

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmkd.deploy.images import InputFormat
from mmkd.deploy.packages import check_packages

METADATA = 'mmkd'  # the key of our entry among the file's properties


class OnnxFile:
    """Runs an exported model on the CPU, with as many threads as PyTorch has.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no ONNX file, or one that mmkd did not write.
        ImportError: If onnxruntime is not installed.

    Attributes:
        info: What the export noted: task, outputs and format of the input.
        format: The format of the input.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        check_packages()
        import onnxruntime

        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f'ONNX: expected a file, got {path}')
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(
                os.fspath(path), options, providers=['CPUExecutionProvider']
            )
        except Exception as error:  # its errors share no base class
            raise ValueError(f'ONNX: cannot read {path}: {" ".join(str(error).split())}') from error
        try:
            properties = self.session.get_modelmeta().custom_metadata_map
            self.info: Mapping[str, Any] = json.loads(properties[METADATA])
            self.format = InputFormat(**self.info['format'])
        except (KeyError, ValueError, TypeError):
            raise ValueError(
                f'ONNX: expected a file that mmkd export wrote, got {path}, which has no entry '
                f'{METADATA!r} in its properties'
            ) from None
        self.names = [output.name for output in self.session.get_outputs()]

    def __deepcopy__(self, memo: dict[int, Any]) -> 'OnnxFile':
        return self  # EMAHook copies the model; a session has no state

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Run it on images (B, C, H, W).

        Raises:
            ValueError: If they have another size or type.
        """
        form = self.format
        shape = (form.channels, *form.size)
        expected = np.dtype('uint8' if form.kind == 'uint8' else 'float32')
        if images.shape[1:] != shape or images.dtype != expected:
            raise ValueError(
                f'images: expected {expected} of (B, {", ".join(map(str, shape))}), which '
                f'{self.path} was exported for, got {images.dtype} of {images.shape}'
            )
        return dict(zip(self.names, self.session.run(None, {'image': images}), strict=True))


def is_ours(path: Path) -> bool:
    """Whether a file is an ONNX file that mmkd wrote."""
    try:
        OnnxFile(path)
    except (ValueError, OSError):
        return False
    return True


def median_milliseconds(call: Callable[[], Any], seconds: float = 1.0) -> float:
    """Return the median time of a call, which is repeated for some seconds."""
    call()
    times: list[float] = []
    while (sum(times) < seconds and len(times) < 50) or len(times) < 5:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)
