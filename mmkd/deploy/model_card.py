"""The page beside an exported file: what the model is, what it gives, and how to run it."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from mmkd.deploy.costs import table
from mmkd.deploy.images import InputFormat

HEADER = '<!-- The card of an exported model, written by mmkd export. -->\n'
PACKAGES = ('torch', 'onnx', 'onnxruntime', 'mmengine', 'mmdet', 'mmpretrain')

RUN = """\
import numpy as np
import onnxruntime

picture = np.load('picture.npy')  # (height, width, 3), uint8, RGB, at most {height} x {width}
canvas = np.empty(({height}, {width}, 3), np.uint8)
canvas[:] = {fill}
canvas[: picture.shape[0], : picture.shape[1]] = picture
{prepare}
session = onnxruntime.InferenceSession('{file}')
{outputs} = session.run(None, {{'image': batch}})
{result}
"""
DETECTED = """\
found = labels[0] >= 0  # rows that no box fills have the label -1
for box, score, label in zip(boxes[0][found], scores[0][found], labels[0][found]):
    print(label, round(float(score), 3), box.round(1).tolist())"""
CLASSIFIED = """\
print(probabilities[0].argmax(), float(probabilities[0].max()))"""


def snippet(file: str, form: InputFormat, outputs: tuple[str, ...], raw: bool) -> str:
    """Return a script that runs the file with NumPy and onnxruntime alone."""
    prepare = ['batch = canvas.transpose(2, 0, 1)[None]']
    if form.channels == 1:
        prepare[0] = 'batch = canvas[..., :1].transpose(2, 0, 1)[None]'
    if form.kind == 'float32':
        prepare.append('batch = batch.astype(np.float32)')
    if form.kind == 'normalized':
        if form.swap:
            prepare.append('batch = batch[:, ::-1]')
        shape = f'np.float32({[*form.mean]}).reshape(1, -1, 1, 1)'
        prepare.append(f'mean = {shape}')
        prepare.append(f'std = {shape.replace(str([*form.mean]), str([*form.std]))}')
        prepare.append('batch = ((batch - mean) / std).astype(np.float32)')
    if raw:
        result = 'for output in outputs:\n    print(output.shape)'
    else:
        result = CLASSIFIED if len(outputs) == 1 else DETECTED
    names = 'outputs' if raw else ', '.join(outputs) + (',' if len(outputs) == 1 else '')
    return RUN.format(
        height=form.size[0],
        width=form.size[1],
        fill=[*form.fill] if form.channels == 3 else form.fill[0],
        prepare='\n'.join(prepare),
        file=file,
        outputs=names,
        result=result,
    )


def model_card(record: Mapping[str, Any], form: InputFormat, file: str) -> str:
    """Return the card in Markdown.

    Args:
        record: What the JSON file beside the model holds.
        form: Of the input.
        file: Name of the ONNX file.
    """
    mean, std = [[round(value, 3) for value in values] for values in (form.mean, form.std)]
    order = 'BGR' if form.swap else 'RGB'
    where = 'before the model' if form.kind == 'normalized' else 'inside'
    facts = {
        'model': record['model'],
        'task': record['task'],
        'method': record['method'] or 'not distilled',
        'teacher': record['teacher'] or 'none',
        "license of the teacher's weights": record['teacher_license'] or 'not known',
        'training data': record['data'] or 'not known',
        'classes': f'{len(record["classes"])}: {", ".join(record["classes"])}'
        if record['classes']
        else 'not known',
        'input': f'`image`: {form.kind} (batch, {form.channels}, {form.size[0]}, {form.size[1]}), '
        + ('network order ' + order if form.kind == 'normalized' else 'RGB, 0 to 255'),
        'normalization': f'{where}: mean {mean}, std {std}, {order}',
        'smaller images': f'filled right and below with {[*form.fill]}',
        'outputs': ', '.join(f'`{name}`' for name in record['outputs']),
        'versions': ', '.join(f'{name} {number}' for name, number in record['versions'].items()),
    }
    lines = [HEADER, f'# {file}', '', '| | |', '|---|---|']
    lines += [f'| {name} | {_cell(text)} |' for name, text in facts.items()]
    lines += ['', '## Proof', '']
    lines += ['onnxruntime against the model in PyTorch, on validation images:', '']
    lines += [f'- {name}: {_number(value)}' for name, value in record['proof'].items()]
    lines += ['', '## Metrics', '', _metrics(record['metrics'])]
    lines += ['', '## Costs', '', table(record['costs']), '', record['costs_note']]
    lines += ['', '## Run it', '', '```python', record['snippet'].rstrip(), '```', '']
    return '\n'.join(lines)


def versions() -> dict[str, str]:
    """Return the versions of what made the file."""
    return {'python': platform.python_version(), **{name: version(name) for name in PACKAGES}}


def _cell(text: str) -> str:
    """Text from data must not end its cell or start HTML."""
    text = ' '.join(str(text).split())
    return text.replace('&', '&amp;').replace('<', '&lt;').replace('|', '\\|')


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f'{value:.2g}'


def _metrics(metrics: Mapping[str, Mapping[str, float]]) -> str:
    if not metrics:
        return 'Not measured. `mmkd export --evaluate` measures them.'
    names = [*next(iter(metrics.values()))]
    lines = [f'| metric | {" | ".join(metrics)} |', f'|---|{"---|" * len(metrics)}']
    for name in names:
        cells = ' | '.join(f'{row.get(name, float("nan")):.4g}' for row in metrics.values())
        lines.append(f'| {name} | {cells} |')
    return '\n'.join(lines)
