"""The student of a run as an ONNX file, proved, measured and described."""

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor

from mmkd.deploy.costs import costs_of
from mmkd.deploy.evaluation import evaluate_file, evaluate_model
from mmkd.deploy.graph import ImageGraph, InputKind, RawGraph, UnsupportedModelError, graph_of
from mmkd.deploy.images import InputFormat, input_format, validation_images
from mmkd.deploy.model_card import HEADER, model_card, snippet, versions
from mmkd.deploy.packages import check_packages
from mmkd.deploy.proof import ProofError, prove
from mmkd.deploy.session import OnnxFile, is_ours
from mmkd.deploy.tracing import BATCH, write_onnx
from mmkd.exporting import student_config, student_state_dict
from mmkd.models.building import build_model
from mmkd.storage.atomic_write import write_atomically
from mmkd.storage.checkpoint import class_names, load_all, read_checkpoint, state_dict_of
from mmkd.version import __version__

PROOF_IMAGES = 3
AP_TOLERANCE = 0.001  # 0.1 points of AP
KINDS = ('uint8', 'float32', 'normalized')


def export_onnx(
    checkpoint: str | os.PathLike[str],
    out: str | os.PathLike[str],
    config: Config,
    *,
    size: Sequence[int] | None = None,
    input: InputKind = 'uint8',
    raw: bool = False,
    evaluate: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write the student as an ONNX file, with a card (``.md``) and a record (``.json``) beside it.

    Args:
        checkpoint: Of a distillation, or of the plain model.
        out: The file, ``NAME.onnx``.
        config: Config of the run, or of the plain model.
        size: Height and width of the images. Default: what holds every validation image.
        input: ``'uint8'`` or ``'float32'``: RGB pixels of 0 to 255, normalized inside.
            ``'normalized'``: what the network itself takes.
        raw: Give the outputs of the head, without decoding and suppression.
        evaluate: Measure the metrics of the file and of the model in PyTorch.
        overwrite: Replace files that are no earlier exports, too.

    Returns:
        The record: proof, metrics, costs, and what the card says.

    Raises:
        ImportError: If the packages of the extra are missing.
        FileExistsError: If a file is in the way.
        UnsupportedModelError: If the model cannot be exported.
        ProofError: If onnxruntime and PyTorch disagree; no file is written.
    """
    check_packages()
    if input not in KINDS:
        raise ValueError(f'input: expected one of {KINDS}, got {input!r}')
    if raw and evaluate:
        raise ValueError('raw: expected decoded outputs to evaluate, got raw with evaluate')
    out = Path(out)
    files = {'onnx': out, 'record': out.with_suffix('.json'), 'card': out.with_suffix('.md')}
    inputs = [str(checkpoint), str(config.filename or '')]
    for path in files.values():
        check_target(path, inputs, overwrite)
    plain = student_config(config)
    init_default_scope(plain.get('default_scope', 'mmengine'))
    loaded = read_checkpoint(checkpoint)
    state_dict = student_state_dict(state_dict_of(loaded, str(checkpoint)))
    model = build_model(plain.model).eval()
    load_all(model, state_dict, str(checkpoint))
    samples = validation_images(plain, PROOF_IMAGES)
    form = input_format(plain, model, samples, size, input)
    for sample in samples:
        form.padded(sample['inputs'])  # too large an image ends it here, before the slow trace
    graph = graph_of(model, form.size, form.kind, form.swap, raw)
    info = dict(
        task='classification' if hasattr(model, 'head') else 'detection',
        raw=raw,
        classes=[*(class_names(loaded) or _classes(plain))],
    )
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder, path.name) for name, path in files.items()}
        names, traced = _trace(graph, form, info, paths['onnx'])
        file = OnnxFile(paths['onnx'])
        proof = prove(file, model, traced, samples, raw)
        metrics = {}
        if evaluate:
            metrics['PyTorch'] = evaluate_model(plain, state_dict)
            metrics['ONNX'] = evaluate_file(plain, paths['onnx'])
            _check_metrics(metrics)
        image = random_image(form)
        costs = {'student': costs_of(graph, image, paths['onnx'])}
        costs |= _teacher_costs(config, form, image, Path(folder))
        record = dict(
            exported_by=f'mmkd {__version__}',
            model=type(model).__name__,
            task=info['task'],
            **_origin(config, plain),
            classes=info['classes'],
            outputs=[*names],
            format=form.as_info(),
            proof=proof,
            metrics=metrics,
            costs=costs,
            costs_note=f'Medians of one image on the CPU, threads: {torch.get_num_threads()}; '
            'multiply-adds as MMEngine counts them, without suppression.',
            versions=versions(),
            snippet=snippet(out.name, form, names, raw),
        )
        paths['record'].write_text(json.dumps(record, indent=2))
        paths['card'].write_text(model_card(record, form, out.name))
        for name, path in files.items():
            write_atomically(paths[name].read_bytes(), path)
    return record


def _trace(
    graph: ImageGraph, form: InputFormat, info: dict[str, Any], path: Path
) -> tuple[tuple[str, ...], Any]:
    traced: Any = RawGraph(graph) if info['raw'] else graph
    image = random_image(form, BATCH)
    names = graph.outputs
    if info['raw']:
        with torch.no_grad():
            names = tuple(f'output{index}' for index in range(len(traced(image))))
    write_onnx(traced, image, names, info | dict(format=form.as_info()), path)
    return names, traced


def random_image(form: InputFormat, batch: int = 1) -> Tensor:
    """Return noise in the format of the exported model."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (batch, form.channels, *form.size), generator=generator)
    return torch.from_numpy(form.batch([*noise.to(torch.uint8)]))


def _teacher_costs(
    config: Config, form: InputFormat, image: Tensor, folder: Path
) -> dict[str, Any]:
    """Costs of a run's teacher; its weights do not change them."""
    teacher = config.model.get('teacher')
    if not isinstance(teacher, Mapping) or not {'cfg_path', 'type'} & teacher.keys():
        return {}
    own = ('checkpoint', 'precision', 'mode', 'compile', 'channels_last')
    model = build_model({key: value for key, value in teacher.items() if key not in own})
    try:
        graph = graph_of(model.eval(), form.size, form.kind, form.swap)
    except UnsupportedModelError:
        return {}
    path = folder / 'teacher.onnx'
    try:
        _trace(graph, form, dict(task='teacher', raw=False, classes=[]), path)
    except UnsupportedModelError:  # PyTorch alone
        return {'teacher': costs_of(graph, image, None)}
    return {'teacher': costs_of(graph, image, path)}


def _check_metrics(metrics: Mapping[str, Mapping[str, float]]) -> None:
    for name, value in metrics['PyTorch'].items():
        scale = 100 if 'accuracy' in name else 1
        got = metrics['ONNX'].get(name, float('nan'))
        if name.endswith(('bbox_mAP', 'accuracy/top1')) and not abs(got - value) <= (
            AP_TOLERANCE * scale
        ):
            raise ProofError(
                f'proof: expected {name} within {AP_TOLERANCE * scale:g} of PyTorch, which has '
                f'{value:.4g}, got {got:.4g} of ONNX; no file was written. Images smaller than '
                'the exported size are filled, which may change them: try another size'
            )


def _origin(config: Config, plain: Config) -> dict[str, Any]:
    """What the config tells of method, teacher and data."""
    model = config.model
    teacher = model.get('teacher') if 'architecture' in model else None
    losses = ((model.get('distiller') or {}).get('losses') or {}) if teacher else {}
    name = checkpoint = None
    if isinstance(teacher, Mapping):
        name = teacher.get('cfg_path') or teacher.get('type')
        checkpoint = teacher.get('checkpoint')
    dataset: Any = (plain.get('train_dataloader') or {}).get('dataset') or {}
    while isinstance(dataset, Mapping) and isinstance(dataset.get('dataset'), Mapping):
        dataset = dataset['dataset']
    data = ' '.join(
        str(dataset[key]) for key in ('type', 'data_root', 'ann_file') if dataset.get(key)
    )
    return dict(
        method=', '.join(losses) or (model.get('type') if teacher else None),
        teacher=f'{name}, weights {checkpoint}' if name else None,
        teacher_license=_license(name, checkpoint),
        data=data or None,
    )


def _license(name: str | None, checkpoint: str | None) -> str | None:
    """OpenMMLab publishes the weights of its model zoo under Apache-2.0."""
    zoo = str(checkpoint or '').startswith('https://download.openmmlab.com/')
    return 'Apache-2.0 (OpenMMLab model zoo)' if name and zoo else None


def _classes(plain: Config) -> Sequence[str]:
    loader = plain.get('val_dataloader') or plain.get('test_dataloader') or {}
    return ((loader.get('dataset') or {}).get('metainfo') or {}).get('classes') or ()


def check_target(path: Path, inputs: Sequence[str], overwrite: bool) -> None:
    """Check that a file can be written.

    Raises:
        FileExistsError: If it is a folder, or a file of the user's.
        ValueError: If it is one of the inputs.
        PermissionError: If its folder is not writable.
    """
    if path.is_dir():
        raise FileExistsError(f'out: expected a file, got the folder {path}')
    if any(path.exists() and os.path.exists(f) and path.samefile(f) for f in inputs if f):
        raise ValueError(f'out: {path} is an input of the export; choose another name')
    if path.exists() and not overwrite and not _is_export(path):
        raise FileExistsError(
            f'out: {path} exists and is no earlier export; choose another name, or overwrite=True '
            '(--overwrite)'
        )
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise PermissionError(
            f'out: expected a folder to write {path.name} into, got {folder}: {error.strerror}'
        ) from error


def _is_export(path: Path) -> bool:
    if path.suffix == '.onnx':
        return is_ours(path)
    content = path.read_bytes()
    if path.suffix == '.md':
        return content.startswith(HEADER.encode())
    return b'"exported_by": "mmkd' in content[:200]
