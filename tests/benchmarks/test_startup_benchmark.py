"""The benchmark of start-up: when a process has done its first step, and when it never does."""

import os
import sys
import time
from pathlib import Path

import pytest

SCRIPT = 'benchmarks/startup.py'


def command(code):
    return [sys.executable, '-c', code]


def test_ends_a_training_once_it_has_logged_a_step(script):
    begin = time.perf_counter()
    script(SCRIPT).until_first_step(
        command(
            "import time; print('loading'); print('Epoch(train) [1][1/9]', flush=True); "
            'time.sleep(600)'
        ),
        dict(os.environ),
    )
    assert time.perf_counter() - begin < 60


def test_says_why_a_training_never_came_to_a_step(script):
    with pytest.raises(RuntimeError, match=r'(?s)ended before its first step.*no such data set'):
        script(SCRIPT).until_first_step(command("print('no such data set')"), dict(os.environ))


def test_commands_name_files_that_are_there(script, tmp_path):
    for words in script(SCRIPT).trainings(str(tmp_path)).values():
        files = [word for word in words if word.endswith('.py')]
        assert len(files) == 2
        assert all(Path(file).is_file() for file in files)


def test_differences_are_taken_turn_by_turn(script):
    rows = script(SCRIPT).rows({'torch': [2.0, 4.0, 3.0], 'more': [2.1, 4.3, 3.2]})
    assert rows == [
        ['torch', '3.0 (2.0..4.0)', '0.00 (0.00..0.00)'],
        ['more', '3.2 (2.1..4.3)', '0.20 (0.10..0.30)'],
    ]
