"""An ONNX file as a model that MMEngine's runner evaluates."""

from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.structures import InstanceData

from mmkd.deploy.session import OnnxFile
from mmkd.registry import MODELS


@MODELS.register_module()
class OnnxModel(BaseModel):
    """Evaluates an exported model with the metrics of its config.

    Args:
        file: Path of the ONNX file.

    Raises:
        ValueError: If mmkd did not write the file, or it has only raw outputs.
    """

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = OnnxFile(file)
        if self.file.info['raw']:
            raise ValueError(
                f'ONNX: expected decoded outputs, got {file} with the raw outputs of the head, '
                'which no metric takes; export without raw'
            )

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = 'predict') -> Any:
        """Predict the samples of images (C, h, w), smaller than the model's size or equal."""
        if mode != 'predict':
            raise NotImplementedError(f'mode: expected predict, got {mode}; ONNX does not train')
        images = [self.file.format.padded(image.cpu()) for image in inputs]
        outputs = self.file(self.file.format.batch(images))
        rows = [
            {name: torch.from_numpy(values[index]) for name, values in outputs.items()}
            for index in range(len(images))
        ]
        fill = _classified if self.file.info['task'] == 'classification' else _detected
        return [fill(sample, row) for sample, row in zip(data_samples, rows, strict=True)]


def _classified(sample: Any, row: dict[str, torch.Tensor]) -> Any:
    scores = row['probabilities']
    return sample.set_pred_score(scores).set_pred_label(scores.argmax())


def _detected(sample: Any, row: dict[str, torch.Tensor]) -> Any:
    """Boxes in pixels of the original image, inside the part that is no padding."""
    valid = row['labels'] >= 0
    boxes = row['boxes'][valid]
    height, width = sample.img_shape
    sides = boxes.new_tensor([width, height, width, height])
    boxes = boxes.clamp(min=0).minimum(sides) / boxes.new_tensor([*sample.scale_factor] * 2)
    sample.pred_instances = InstanceData(
        bboxes=boxes, scores=row['scores'][valid], labels=row['labels'][valid]
    )
    return sample
