"""The comparison of an ONNX file, in onnxruntime, with the model in PyTorch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmkd.deploy.session import OnnxFile

BATCHES = (1, 3)
SCORE_TOLERANCE = 1e-3
BOX_TOLERANCE = 0.1  # pixels
RAW_TOLERANCE = 1e-3  # of the largest value
UNMATCHED = 0.02  # of the boxes may be kept by one of both alone: they are at a threshold


class ProofError(ValueError):
    """The exported file does not give what the model gives."""


def prove(
    file: OnnxFile, model: Any, graph: nn.Module, samples: Sequence[dict[str, Any]], raw: bool
) -> dict[str, float]:
    """Compare the file with the model's own ``predict`` on images of the data.

    Args:
        file: The file.
        model: The model. Its own preprocessor and its own ``predict`` are the reference.
        graph: The reference for raw outputs, which have no ``predict``.
        samples: The data pipeline's.
        raw: The file has the head's outputs.

    Returns:
        The largest differences, the number of images, and for detectors that of compared boxes and
        of boxes that only one of both has.

    Raises:
        ProofError: If a difference is above the tolerance, or there is nothing to compare.
    """
    found: dict[str, float] = {}
    for batch in BATCHES:
        chosen = [samples[i % len(samples)] for i in range(batch)]
        images = [file.format.padded(sample['inputs']) for sample in chosen]
        inputs = file.format.batch(images)
        outputs = file(inputs)
        with torch.no_grad():
            if raw:
                part = _raw_differences(graph(torch.from_numpy(inputs)), outputs)
            else:
                part = _predicted_differences(model, images, chosen, outputs)
        for name, value in part.items():
            if name.startswith('number'):
                found[name] = found.get(name, 0) + value
            else:
                found[name] = max(found.get(name, 0.0), value)
    found['number of images'] = sum(BATCHES)
    _check(found)
    return found


def _check(found: dict[str, float]) -> None:
    limits = {
        'largest difference of boxes (pixels)': BOX_TOLERANCE,
        'largest difference of scores': SCORE_TOLERANCE,
        'largest difference of probabilities': SCORE_TOLERANCE,
        'largest relative difference of outputs': RAW_TOLERANCE,
    }
    wrong = [name for name, limit in limits.items() if not found.get(name, 0.0) <= limit]
    compared = found.get('number of boxes', 1)
    if compared == 0:
        raise ProofError(
            'proof: expected boxes on the validation images to compare, got none; is the student '
            'trained? Lower score_thr in its test_cfg, or export the raw outputs'
        )
    if wrong or found.get('number of unmatched boxes', 0) > max(1, UNMATCHED * compared):
        numbers = ', '.join(f'{name} {value:.3g}' for name, value in found.items())
        raise ProofError(
            f'proof: expected onnxruntime and PyTorch to agree, got {numbers}; no file was written'
        )


def _raw_differences(expected: Sequence[Tensor], got: dict[str, np.ndarray]) -> dict[str, float]:
    relative = [
        np.abs(mine.numpy() - theirs).max() / max(1.0, float(mine.abs().max()))
        for mine, theirs in zip(expected, got.values(), strict=True)
    ]
    return {'largest relative difference of outputs': float(max(relative))}


def _predicted_differences(
    model: Any, images: Sequence[Tensor], chosen: Sequence[Any], outputs: dict[str, np.ndarray]
) -> dict[str, float]:
    predicted = predict(model, images, chosen)
    if 'probabilities' in outputs:
        mine = torch.stack([sample.pred_score for sample in predicted]).numpy()
        return {
            'largest difference of probabilities': float(
                np.abs(mine - outputs['probabilities']).max()
            )
        }
    boxes, scores, compared, unmatched = [0.0], [0.0], 0, 0
    limit = outputs['scores'].shape[1]
    for index, sample in enumerate(predicted):
        rows = {name: values[index] for name, values in outputs.items()}
        valid = rows['labels'] >= 0
        mine = sample.pred_instances[:limit]
        pairs, alone = match(
            (mine.bboxes.numpy(), mine.scores.numpy(), mine.labels.numpy()),
            tuple(rows[name][valid] for name in ('boxes', 'scores', 'labels')),
        )
        compared += len(pairs)
        unmatched += alone
        boxes += [difference for difference, _ in pairs]
        scores += [difference for _, difference in pairs]
    return {
        'largest difference of boxes (pixels)': max(boxes),
        'largest difference of scores': max(scores),
        'number of boxes': compared,
        'number of unmatched boxes': unmatched,
    }


def predict(model: Any, images: Sequence[Tensor], chosen: Sequence[Any]) -> list[Any]:
    """Return the samples with what the model itself predicts for padded images of the pipeline."""
    samples = [type(sample['data_samples'])() for sample in chosen]
    height, width = images[0].shape[1:]
    for sample in samples:
        sample.set_metainfo(
            dict(img_shape=(height, width), ori_shape=(height, width), scale_factor=(1.0, 1.0))
        )
    data = model.data_preprocessor(dict(inputs=[*images], data_samples=samples), False)
    if hasattr(model, 'head'):
        return model.predict(data['inputs'], data['data_samples'])
    return model.predict(data['inputs'], data['data_samples'], rescale=False)


Rows = tuple[np.ndarray, np.ndarray, np.ndarray]  # boxes, scores, labels


def match(mine: Rows, theirs: Any) -> tuple[list[tuple[float, float]], int]:
    """Pair the boxes of two lists, each with the closest of its class.

    Returns:
        Of each pair the differences of box and score, and the number of boxes without a partner:
        no box of its class lies within a pixel and 0.01 of score.
    """
    free = np.ones(len(theirs[0]), dtype=bool)
    pairs = []
    for box, score, label in zip(*mine, strict=True):
        distances = np.abs(theirs[0] - box).max(1, initial=0.0) + 100 * np.abs(theirs[1] - score)
        distances = np.where(free & (theirs[2] == label), distances, np.inf)
        best = int(distances.argmin()) if len(distances) else -1
        if best < 0 or distances[best] > 1:
            continue
        free[best] = False
        pairs.append(
            (float(np.abs(theirs[0][best] - box).max()), float(abs(theirs[1][best] - score)))
        )
    return pairs, len(mine[0]) + len(theirs[0]) - 2 * len(pairs)
