"""The report of runs: what it says, of complete runs and of those that lack something."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from fake_runs import write_run

import mmkd
from mmkd.cli.report import main

HOSTILE = '<script>alert(1)</script>"\'&{{ 7 * 7 }}'


class Text(HTMLParser):
    """The text of a page without style and script, its tags, and what they point to."""

    def __init__(self, page):
        super().__init__()
        self.words, self.tags, self.links, self._open = [], [], [], []
        self.feed(page)
        self.close()

    @property
    def text(self):
        return ' '.join(' '.join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag in ('style', 'script'):
            self._open.append(tag)
        self.links += [value for name, value in attrs if name in ('href', 'src')]

    def handle_endtag(self, tag):
        if self._open and tag == self._open[-1]:
            self._open.pop()

    def handle_data(self, data):
        if not self._open:
            self.words.append(data)


def read(path):
    return Text(path.read_text()), json.loads(path.with_suffix('.json').read_text())


@pytest.fixture
def three_seeds(tmp_path):
    """Student alone and a method with three seeds, gains of 2, 3 and 4 points."""
    root = tmp_path / 'work dirs'
    for seed, (alone, taught) in enumerate(((50, 52), (51, 54), (49, 53))):
        write_run(root / f'student{seed}', (30, alone), seed=seed)
        teacher = {'teacher/accuracy/top1': 60.0, 'step': 0}
        write_run(root / f'kd{seed}', (40, taught), seed=seed, method='kd', extra=[teacher])
    return root


def test_gain_over_paired_seeds(three_seeds):
    page, facts = read(mmkd.report(three_seeds, predictions=False))
    assert facts['headline'] == 'kd gains 3.0 points of top-1 over the student alone.'
    # Student's t with 2 degrees of freedom: 3 +- 4.3027 * 1 / sqrt(3).
    gain = facts['groups'][2]['gain']
    assert (gain['low'], gain['high']) == pytest.approx((0.5159, 5.4841), abs=1e-3)
    assert facts['verdict'] == 'gain'
    assert 'the gain is real' in page.text
    assert facts['gap_closed'] == pytest.approx(30)  # 3 of the 10 points to the teacher's 60
    assert [(g['name'], g['role'], len(g['runs'])) for g in facts['groups']] == [
        ('teacher', 'teacher', 0),
        ('student', 'student', 3),
        ('kd', 'distilled', 3),
    ]
    assert '53.0 ± 1.0' in page.text
    assert '50.0 ± 1.0' in page.text
    assert '60.0 teacher' in page.text
    assert '+3.0 [+0.5, +5.5]' in page.text


def test_the_page_needs_nothing_else_and_its_json_lies_beside_it(three_seeds):
    path = mmkd.report(three_seeds, predictions=False)
    assert path == three_seeds / 'report.html'
    page, _ = read(path)
    assert all(link.startswith(('#', 'data:', 'report.json')) for link in page.links)
    assert '://' not in path.read_text()


def test_curves_have_the_logged_values(three_seeds):
    page, facts = read(mmkd.report(three_seeds, predictions=False))
    curves = {curve['title']: curve for curve in facts['curves']}
    lines = {
        line['name']: line['points'] for line in curves['top-1 on the validation images']['lines']
    }
    assert lines['kd, seed 1'] == [[1.0, 40.0], [2.0, 54.0]]
    assert lines['teacher'] == [[1.0, 60.0], [2.0, 60.0]]
    assert {*curves} == {
        'top-1 on the validation images', 'total loss', 'task loss', 'distill.loss_kd',
    }  # fmt: skip
    task = {line['name']: line['points'] for line in curves['task loss']['lines']}
    assert task['student, seed 0'][-1] == [20, pytest.approx(2.0)]  # its only loss is its task's
    assert task['kd, seed 0'][-1] == [20, pytest.approx(1.5)]
    assert 'kd, seed 1' in {line['name'] for line in curves['distill.loss_kd']['lines']}
    assert page.tags.count('svg') == 4


@pytest.mark.parametrize(
    ('taught', 'verdict', 'words'),
    [
        ((52, 50, 51), 'unclear', 'includes 0: it may be chance'),
        ((40, 41, 39), 'loss', 'the loss is real'),
    ],
)
def test_no_gain_and_a_loss(tmp_path, taught, verdict, words):
    for seed, (alone, value) in enumerate(zip((50, 51, 49), taught, strict=True)):
        write_run(tmp_path / f'student{seed}', (30, alone), seed=seed)
        write_run(tmp_path / f'kd{seed}', (30, value), seed=seed, method='kd')
    page, facts = read(mmkd.report(tmp_path, predictions=False))
    assert facts['verdict'] == verdict
    assert words in page.text
    assert ('behind the student alone' in page.text) == (verdict == 'loss')


def test_one_seed_asks_for_three(tmp_path):
    runs = [
        write_run(tmp_path / 'alone', (30, 50)),
        write_run(tmp_path / 'taught', (30, 54), method='kd'),
    ]
    page, facts = read(mmkd.report(*runs, predictions=False))
    assert facts['verdict'] == 'one seed'
    assert 'may be chance' in page.text
    assert any('--seeds 0 1 2' in sentence for sentence in facts['next'])


def test_only_settings_that_differ_are_listed(tmp_path):
    write_run(tmp_path / 'alone', (30, 50), lr=0.1)
    write_run(tmp_path / 'taught', (30, 54), method='kd', lr=0.2, teacher='/w/teacher.pth')
    _, facts = read(mmkd.report(tmp_path, predictions=False))
    rows = {row['setting']: row['values'] for row in facts['differences']}
    assert rows['optim_wrapper.optimizer.lr'] == {'student': '0.1', 'kd': '0.2'}
    assert rows['loss kd.loss_weight'] == {'student': '—', 'kd': '2.0'}
    assert rows['teacher.checkpoint']['kd'] == '/w/teacher.pth'
    assert not any(
        name.startswith(('work_dir', 'train_cfg', 'model.', 'randomness')) for name in rows
    )


def test_a_run_of_the_teacher_is_recognized_by_its_checkpoint(tmp_path):
    big = write_run(tmp_path / 'big', (60, 70), lr=0.5)
    write_run(tmp_path / 'taught', (30, 54), method='kd', teacher=big / 'epoch_2.pth')
    _, facts = read(mmkd.report(tmp_path, predictions=False))
    assert [(g['name'], len(g['runs'])) for g in facts['groups']] == [('teacher', 1), ('kd', 1)]
    assert facts['groups'][0]['metrics']['top-1']['mean'] == 70


def test_a_run_of_mmrazors_own_algorithm(tmp_path):
    write_run(tmp_path / 'alone', (30, 50))
    write_run(tmp_path / 'own', (30, 53), method='cwd', mmrazor=True)
    _, facts = read(mmkd.report(tmp_path, predictions=False))
    assert facts['headline'] == 'cwd gains 3.0 points of top-1 over the student alone.'


def test_without_a_baseline_nothing_is_claimed(tmp_path):
    write_run(tmp_path / 'taught', (30, 54), method='kd')
    page, facts = read(mmkd.report(tmp_path / 'taught', predictions=False))
    assert facts['verdict'] == 'alone'
    assert 'kd reaches 54.0 top-1.' in page.text
    assert any('--baseline' in sentence for sentence in facts['next'])


def test_a_run_without_validation(tmp_path):
    run = write_run(tmp_path / 'run')
    row = {'loss': 1.0, 'epoch': 1, 'iter': 1, 'step': 1}
    (run / '20260101_000000/vis_data/scalars.json').write_text(json.dumps(row))
    page, facts = read(mmkd.report(run, predictions=False))
    assert facts['headline'] == 'No run has a validation yet.'
    assert 'no validation is logged' in page.text
    assert facts['curves'][0]['title'] == 'total loss'


def test_a_killed_run_and_a_line_cut_short(tmp_path):
    alone = write_run(tmp_path / 'alone', (30, 50))
    killed = write_run(tmp_path / 'killed', (30,), epochs=5, method='kd', finished=False)
    with (killed / '20260101_000000/vis_data/scalars.json').open('a') as file:
        file.write('{"loss": 1.0, "ep')
    page, facts = read(mmkd.report(alone, killed, predictions=False))
    assert facts['headline'].startswith('Not final: kd is 20.0')
    assert 'epoch 1 of 5' in page.text
    assert any('--resume' in sentence and str(killed) in sentence for sentence in facts['next'])
    assert any('no whole checkpoint' in sentence for sentence in facts['missing'])


def test_a_resumed_run_is_one_and_a_restarted_one_is_the_last(tmp_path):
    run = write_run(tmp_path / 'run', (30, 40), epochs=3, finished=False)
    rows = [
        {'loss': 9.0, 'epoch': 2, 'iter': 11, 'step': 11},
        {'accuracy/top1': 44.0, 'step': 2},
        {'accuracy/top1': 55.0, 'step': 3},
    ]
    resumed = run / '20260102_000000/vis_data'
    shutil.copytree(run / '20260101_000000/vis_data', resumed)
    (resumed / 'scalars.json').write_text('\n'.join(map(json.dumps, rows)))
    _, facts = read(mmkd.report(run, predictions=False))
    points = facts['curves'][0]['lines'][0]['points']
    assert points == [[1.0, 30.0], [2.0, 44.0], [3.0, 55.0]]
    loss = facts['curves'][1]['lines'][0]['points']
    assert len(loss) == 11
    assert loss[-1] == [11, 9.0]
    write_run(run, (20,), epochs=3, finished=False, timestamp='20260103_000000')
    _, facts = read(mmkd.report(run, predictions=False))
    assert facts['curves'][0]['lines'][0]['points'] == [[1.0, 20.0]]


def test_what_the_guard_rails_said_and_costs_that_lie_in_the_run(tmp_path):
    write_run(tmp_path / 'alone', (30, 50))
    run = write_run(tmp_path / 'taught', (30, 54), method='kd')
    advice = [{'kind': 'zero', 'text': f'lower it {HOSTILE}', 'epoch': 1, 'iteration': 3}]
    (run / 'advice.json').write_text(json.dumps(advice))
    exported = {'exported_by': 'mmkd 1', 'costs': {'student <b>': {'onnx_ms': 3.5}}}
    (run / 'student.json').write_text(json.dumps(exported))
    page, facts = read(mmkd.report(tmp_path, predictions=False))
    assert facts['next'][0] == f'kd, seed 0: lower it {HOSTILE}.'
    assert f'lower it {HOSTILE}' in page.text
    assert '"student <b>": { "onnx_ms": 3.5 }' in page.text
    (run / 'costs.json').write_text('{"latency": 7}')
    _, facts = read(mmkd.report(tmp_path, predictions=False))
    assert facts['groups'][2]['measured_costs'] == {'latency': 7}
    assert page.tags.count('script') == 1


def test_texts_of_data_are_escaped_and_no_number_is_infinite(tmp_path):
    run = write_run(tmp_path / HOSTILE.replace('/', '_'), (30, float('nan')), lr=f'{HOSTILE!r}')
    row = {'loss': float('inf'), 'epoch': 2, 'iter': 20, 'step': 20, f'loss {HOSTILE}': 1.0}
    with (run / '20260101_000000/vis_data/scalars.json').open('a') as file:
        file.write(json.dumps(row))
    path = mmkd.report(run, predictions=False)
    page, facts = read(path)
    assert page.tags.count('script') == 1
    assert 'alert(1)' in page.text
    assert '49' not in re.findall(r'\d+', page.text)
    assert facts['headline']
    assert 'NaN' not in path.with_suffix('.json').read_text()


def test_wrong_arguments_are_named(tmp_path):
    run = write_run(tmp_path / 'run', (30, 50))
    with pytest.raises(FileNotFoundError, match=r'run: expected the work directory .*no such'):
        mmkd.report(tmp_path / 'none')
    with pytest.raises(FileNotFoundError, match=r'a file\)'):
        mmkd.report(run / 'epoch_2.pth')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match='found none'):
        mmkd.report(tmp_path / 'empty')
    with pytest.raises(ValueError, match='at least one work directory'):
        mmkd.report()
    with pytest.raises(TypeError, match='run: expected a folder'):
        mmkd.report(3)
    with pytest.raises(TypeError, match='predictions: expected True or False'):
        mmkd.report(run, predictions='no')
    with pytest.raises(ValueError, match=r'out: expected a \.html file'):
        mmkd.report(run, out=tmp_path / 'report.pdf')


def test_an_earlier_report_is_replaced_and_no_other_file(tmp_path):
    run = write_run(tmp_path / 'run', (30, 50))
    path = mmkd.report(run, predictions=False)
    assert mmkd.report(run, predictions=False) == path
    (tmp_path / 'mine.html').write_text('<p>mine</p>')
    (tmp_path / 'other.json').write_text('{}')
    for name, taken in (('mine', 'mine.html'), ('other', 'other.json')):
        with pytest.raises(FileExistsError, match=f'{taken} exists and is no earlier report'):
            mmkd.report(run, out=tmp_path / f'{name}.html', predictions=False)
    assert (tmp_path / 'mine.html').read_text() == '<p>mine</p>'


def test_command(three_seeds, tmp_path, capsys):
    out = tmp_path / 'page.html'
    main([str(three_seeds), '--out', str(out), '--no-predictions'])
    assert capsys.readouterr().out.split() == [str(out), str(out.with_suffix('.json'))]


def test_text_in_a_browser(three_seeds, tmp_path):
    browser = shutil.which('chromium') or shutil.which('chromium-browser')
    if browser is None:
        pytest.skip('no Chromium on this machine')
    path = mmkd.report(three_seeds, out=tmp_path / 'page.html', predictions=False)
    command = [
        browser, '--headless', '--no-sandbox', '--disable-gpu', '--no-first-run',
        '--disable-background-networking', '--disable-component-update', '--disable-sync',
        f'--user-data-dir={tmp_path / "profile"}', '--virtual-time-budget=2000', '--dump-dom',
    ]  # fmt: skip
    run = subprocess.run([*command, path.as_uri()], capture_output=True, text=True, timeout=120)
    shown = Text(run.stdout)
    assert 'kd gains 3.0 points of top-1 over the student alone.' in shown.text
    # The script has run: each chart has its tip.
    assert run.stdout.count('class="tip"') == 4
