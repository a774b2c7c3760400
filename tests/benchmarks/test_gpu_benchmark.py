"""The program of all GPU figures: its parts, its limits, what it keeps and what it repeats."""

import json
import sys

import pytest

PRINT = 'print("| a | b |\\n| --- | --- |\\n| 1 | 2 |"); print("chatter")'
WRITE = 'import json, sys; open(sys.argv[1], "w").write(json.dumps({"measured": 7}))'


@pytest.fixture
def gpu(script, tmp_path, monkeypatch):
    """Function: the program with some parts, run with some options; returns its results."""
    module = script('benchmarks/gpu.py')
    monkeypatch.setattr(module, 'SHORTEST', 0.5)

    def start(parts, *options):
        parts = [module.Part(name, name.title(), *rest) for name, *rest in parts]
        monkeypatch.setattr(module, 'parts_of', lambda _: parts)
        given = ['gpu.py', '--device', 'cpu', '--work-dir', str(tmp_path), *options]
        monkeypatch.setattr(sys, 'argv', given)
        try:
            module.main()
        finally:
            start.markdown = (tmp_path / 'gpu.md').read_text()
        return json.loads((tmp_path / 'gpu.json').read_text())

    start.module, start.folder = module, tmp_path
    return start


def test_parts_leave_tables_and_measurements_and_are_not_repeated(gpu, capsys):
    json_file = str(gpu.folder / 'first.json')
    first = ('first', 9, ('-c', f'{PRINT}\n{WRITE}', json_file))
    results = gpu([first])
    assert results['first']['status'] == 'done'
    assert results['first']['tables'] == '| a | b |\n| --- | --- |\n| 1 | 2 |'
    assert results['first']['measured'] == {'measured': 7}
    again = gpu([first, ('second', 9, ('-c', 'print()')), ('data', 9, ('-c', '1'), '--cifar100')])
    assert again['first'] == results['first']
    assert [*again] == ['first', 'second']
    printed = capsys.readouterr().out
    assert 'first: measured before' in printed
    assert 'data: left out without --cifar100' in printed
    assert '## Data\n\nNot run yet.' in gpu.markdown
    assert 'chatter' not in gpu.markdown


def test_another_machine_measures_anew(gpu, monkeypatch):
    part = ('first', 9, ('-c', PRINT))
    gpu([part])
    monkeypatch.setattr(gpu.module, 'machine', lambda _: 'another')
    assert gpu([part])['first']['machine'] == 'another'


def test_a_part_that_fails_costs_only_itself(gpu):
    parts = [('bad', 9, ('-c', 'raise SystemExit("no luck")')), ('good', 9, ('-c', PRINT))]
    with pytest.raises(SystemExit, match=r'failed: bad; see .*PART\.log'):
        gpu(parts)
    results = json.loads((gpu.folder / 'gpu.json').read_text())
    assert [record['status'] for record in results.values()] == ['failed', 'done']
    assert 'no luck' in results['bad']['end']


def test_a_cut_keeps_what_was_printed_and_ends_the_children(gpu, monkeypatch):
    child = 'import time; time.sleep(60)'
    code = (
        f'import subprocess, sys, time\n{PRINT}\nsys.stdout.flush()\n'
        f'c = subprocess.Popen([sys.executable, "-c", {child!r}])\n'
        'print(c.pid, file=open(sys.argv[1], "w"), flush=True); time.sleep(60)'
    )
    pid = gpu.folder / 'pid'
    parts = [('slow', 9, ('-c', code, str(pid))), ('late', 9, ('-c', PRINT))]
    results = gpu(parts, '--minutes', '0.03')
    assert results['slow']['status'] == 'cut at its time limit'
    assert results['slow']['tables'].startswith('| a | b |')
    assert 'late' not in results
    assert not _alive(int(pid.read_text()))


def _alive(pid):
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def test_every_part_names_a_script_and_options_that_exist(script, monkeypatch, capsys, repo):
    module = script('benchmarks/gpu.py')
    monkeypatch.setattr(sys, 'argv', ['gpu.py', '--device', 'cpu'])
    args = module.parse_args()
    for device in ('cpu', 'cuda'):
        args.device = device
        parts = module.parts_of(args)
        assert len({part.name for part in parts}) == len(parts)
        for part in parts:
            if part.command[0] == '-m':
                assert all((repo / path).exists() for path in module.TESTS)
                continue
            text = (repo / part.command[0]).read_text()
            text += (repo / 'benchmarks/timing.py').read_text()
            text += (repo / 'benchmarks/comparison.py').read_text()
            options = [word for word in part.command[1:] if word.startswith('--')]
            assert all(f"'{option}'" in text for option in options), part


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--minutes', '0'], '--minutes: expected a positive number, got 0'),
        (['--persons', 'data'], '--persons and --yolox: expected both or neither'),
        (['--only', 'pcak'], '--only: expected some of tests, pcka-tf32'),
        (['--device', 'cuda'], '--device cuda: no CUDA device is available'),
    ],
)
def test_wrong_options(script, monkeypatch, capsys, options, message):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    module = script('benchmarks/gpu.py')
    monkeypatch.setattr(sys, 'argv', ['gpu.py', '--device', 'cpu', *options])
    with pytest.raises(SystemExit):
        module.parse_args()
    assert message in capsys.readouterr().err
