"""When PCKA uses its fused kernels, what they give, and what they take of a GPU."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pcka_pyramids import plain, pyramid

from mmkd.functional import pcka, pyramid_pcka
from mmkd.functional.kernel_alignment import fused_trial
from mmkd.functional.kernel_alignment.fused_pcka import (
    log_reason,
    why_not_fused,
    why_not_supported,
)
from mmkd.functional.kernel_alignment.patches import Patching


def test_equals_the_plain_computation_in_the_interpreter():
    pytest.importorskip('triton', minversion='3.8')
    path = Path(__file__).with_name('interpreted_pcka.py')
    run = subprocess.run(
        [
            sys.executable,
            '-m',
            'pytest',
            path,
            '-q',
            '-x',
            '-W',
            'ignore',
            '-p',
            'no:cacheprovider',
        ],
        env={**os.environ, 'TRITON_INTERPRET': '1', 'CUDA_VISIBLE_DEVICES': ''},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-3000:]


@pytest.mark.parametrize('sides', [(7, 4), (25, 16), (33, 16), (9, 8), (5, 4), (3, 2), (1, 1)])
def test_each_row_of_a_map_is_written_once(sides):
    """The row whose last reader is at a position: as the kernel finds it, and by definition."""
    size, patch = sides
    tall = -(-size // patch) * patch
    position = (torch.arange(tall) + 0.5) * size / tall - 0.5
    readers = (position.clamp(0, size - 1)[:, None] - torch.arange(size)).abs() < 1
    last = [int(torch.where(column)[0].max()) for column in readers.T]
    written = {}
    for at in range(tall):
        y = max((2 * size * at + size + 1 - 3 * tall + 2 * tall - 1) // (2 * tall), 0)
        if y < size and min(((2 * y + 3) * tall - size - 1) // (2 * size), tall - 1) == at:
            written[y] = at
    assert written == dict(enumerate(last))
    taps = max(3, -(-2 * tall // size))
    assert all(column.sum() <= taps for column in readers.T)


UNSUPPORTED = [
    (dict(average='spatial'), 'positions'),
    (dict(patch_size=1), 'more than 512 patches'),
    (dict(dtype=torch.float64), 'neither float32'),
    (dict(shape=(1, 2, 2, 64), patch_size=16), 'more than twofold'),
    (dict(teacher_gradient=True), 'a teacher requires a gradient'),
]


@pytest.mark.parametrize(('options', 'reason'), UNSUPPORTED)
def test_what_is_not_supported_has_a_reason(options, reason):
    shape, dtype = options.get('shape', (1, 2, 24, 24)), options.get('dtype', torch.float32)
    students, teachers = pyramid(shape, dtype=dtype)
    teachers[0].requires_grad_(options.get('teacher_gradient', False))
    patching = Patching(options.get('patch_size', 8), options.get('average', 'channel'), 'resize')
    assert reason in why_not_supported(students, teachers, [patching])


def test_levels_that_differ_have_a_reason():
    students, teachers = pyramid((1, 2, 4, 4), (1, 3, 4, 4))
    patching = Patching(2, 'channel', 'resize')
    assert 'images, channels' in why_not_supported(students, teachers, [patching] * 2)
    students, teachers = pyramid((1, 2, 4, 4), (1, 2, 4, 4))
    averages = [patching, Patching(2, 'batch', 'resize')]
    assert 'same for all levels' in why_not_supported(students, teachers, averages)


@pytest.fixture
def on_gpu(monkeypatch):
    """Function: maps that say they are on a GPU with some shared memory."""
    module = 'mmkd.functional.kernel_alignment.fused_pcka'

    def start(shared=232448, triton=True):
        properties = SimpleNamespace(shared_memory_per_block_optin=shared)
        monkeypatch.setattr('torch.cuda.get_device_properties', lambda _: properties)
        monkeypatch.setattr(f'{module}._has_triton', lambda: triton)
        monkeypatch.setattr(torch.Tensor, 'is_cuda', True)

    return start


@pytest.mark.parametrize(
    ('machine', 'reason'),
    [
        ({}, None),
        (dict(shared=101376), 'too little shared memory'),
        (dict(triton=False), 'Triton is not installed'),
    ],
)
def test_the_machine_decides(on_gpu, machine, reason):
    on_gpu(**machine)
    found = why_not_fused(*pyramid((1, 2, 4, 4)), [Patching(2, 'channel', 'resize')])
    assert found == reason if reason is None else reason in found


def test_a_plain_computation_says_why_once(on_gpu, caplog):
    students, teachers = pyramid((1, 2, 4, 4))
    expected = pcka(students[0], teachers[0], 2, average='spatial')
    on_gpu()
    log_reason.cache_clear()
    with caplog.at_level(logging.DEBUG, 'mmkd'):
        for _ in range(2):
            assert pcka(students[0], teachers[0], 2, average='spatial') == expected
    assert [record.levelname for record in caplog.records] == ['DEBUG']
    assert 'the average is over positions' in caplog.text


def broken(*_):
    raise RuntimeError('ptxas says no')


@pytest.mark.parametrize(
    ('kernels', 'told'),
    [
        (
            lambda xs, ys, *_: torch.stack(
                [(x - y).abs().mean() for x, y in zip(xs, ys, strict=True)]
            ),
            'values',
        ),
        (
            lambda xs, ys, ps, *_: plain(xs, ys, ps).detach() + sum(0 * x.sum() for x in xs),
            'gradients',
        ),
        (broken, 'ptxas says no'),
        (lambda xs, ys, ps, *_: plain(xs, ys, ps), None),
    ],
)
def test_kernels_are_trusted_once_they_agree(on_gpu, monkeypatch, caplog, kernels, told):
    students, teachers = pyramid((1, 2, 4, 4), (1, 2, 6, 4))
    expected = pyramid_pcka(students, teachers, 2)
    calls = []
    on_gpu()
    monkeypatch.setattr(fused_trial, '_found', {})
    monkeypatch.setattr(
        'mmkd.functional.kernel_alignment.fused_pcka.fused_pcka',
        lambda *args: calls.append(args) or kernels(*args),
    )
    for _ in range(2):
        torch.testing.assert_close(pyramid_pcka(students, teachers, 2), expected)
    warnings = [each.message for each in caplog.records if each.levelname == 'WARNING']
    assert len(calls) == (3 if told is None else 1)
    assert len(warnings) == (told is not None)
    assert all(told in warning for warning in warnings)


def test_a_pyramid_says_what_is_wrong_with_it():
    students, teachers = pyramid((1, 2, 4, 4), (1, 2, 4, 4))
    with pytest.raises(ValueError, match=r'teachers: expected one for each of the 2 levels.*got 1'):
        pyramid_pcka(students, teachers[:1])
    with pytest.raises(ValueError, match=r'average: expected one for each of the 2 levels.*got 1'):
        pyramid_pcka(students, teachers, average=['channel'])
    with pytest.raises(ValueError, match=r"teachers\[1\]: expected the student's shape"):
        pyramid_pcka(students, [teachers[0], teachers[1][:, :1]])
