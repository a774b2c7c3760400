"""What distillation costs: step time of the demo's student, alone and with its teacher.

Times in turn, in one process: the teacher's forward, the student's training step, and the
student's training step with distillation. Ratios are taken within one repeat.

    python benchmarks/step_time.py --threads 2 --repeats 9
"""

import argparse
import json
import logging
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from torch import nn

import mmkd.registry  # noqa: F401
from mmkd.model_config import build_model
from mmkd.registry import DATASETS, MODELS

CONFIGS = Path(__file__).resolve().parent.parent / 'configs'
DISTILLED = CONFIGS / 'pcka/pcka_gfl_r18w48_r18w16_fpn_digits.py'
BATCH = 8


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--repeats', type=int, default=9)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--json', type=Path, help='write the ratios to this file, too')
    return parser.parse_args()


def training_step(model: nn.Module, batch: list) -> Callable[[], object]:
    """A whole step: preprocessing, losses, backward, optimiser."""
    optimiser = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-4))
    data = dict(
        inputs=[s['inputs'] for s in batch], data_samples=[s['data_samples'] for s in batch]
    )
    model.train()
    return lambda: model.train_step(data, optimiser)


def seconds(step: Callable[[], object], device: str) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    step()
    if device.startswith('cuda'):
        torch.cuda.synchronize()
    return time.perf_counter() - start


def steps(device: str) -> dict[str, Callable[[], object]]:
    """The three things that are timed."""
    cfg = Config.fromfile(DISTILLED)
    cfg.model.teacher.checkpoint = None
    init_default_scope(cfg.default_scope)
    algorithm = MODELS.build(cfg.model).to(device)
    student = build_model(cfg.model.architecture).to(device)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    batch = [dataset[i] for i in range(BATCH)]
    inputs = torch.stack([sample['inputs'] for sample in batch]).float().to(device)
    return {
        'teacher forward': lambda: algorithm.teacher(inputs),
        'student step': training_step(student, batch),
        'distilled step': training_step(algorithm, batch),
    }


def main() -> None:
    """Time and print."""
    args = parse_args()
    MMLogger.get_instance('mmkd', log_level=logging.ERROR)
    torch.set_num_threads(args.threads)
    timed = steps(args.device)
    for step in timed.values():
        step()
    rows = [
        {name: seconds(step, args.device) for name, step in timed.items()}
        for _ in range(args.repeats)
    ]
    ratios = {
        'distilled step / student step': [r['distilled step'] / r['student step'] for r in rows],
        'distilled step / (student step + teacher forward)': [
            r['distilled step'] / (r['student step'] + r['teacher forward']) for r in rows
        ],
    }
    print(f'{platform.machine()}, {args.device}, {args.threads} threads, torch {torch.__version__}')
    print('\n| ratio | median | min | max |\n|---|---|---|---|')
    for name, values in ratios.items():
        print(f'| {name} | {median(values):.2f} | {min(values):.2f} | {max(values):.2f} |')
    if args.json is not None:
        args.json.write_text(json.dumps(ratios, indent=2) + '\n')


if __name__ == '__main__':
    main()
