"""Pages with predictions: classes, confusions and pictures, of real and of made-up ones."""

import base64
import io
import json
import shutil

import numpy as np
import pytest
from fake_runs import write_run
from PIL import Image
from test_detection_scores import detections
from test_report import HOSTILE, read

import mmkd
from mmkd.reporting import predicted_figures


@pytest.fixture
def detected(tmp_path, tiny_coco, monkeypatch):
    """Runs of a student alone, which finds half of the objects, and of one that finds all."""
    folder = tiny_coco('disc', 'square')
    content = json.loads((folder / 'annotations.json').read_text())
    truth = [[] for _ in content['images']]
    for each in content['annotations']:
        left, top, width, height = each['bbox']
        box = (left, top, left + width, top + height)
        truth[each['image_id']].append((box, (each['category_id'] - 10) // 3))
    found = [[(box, label, 0.9) for box, label in image] for image in truth]
    half = [image if index % 4 < 2 else [] for index, image in enumerate(found)]
    half[0] = [((0, 0, 5, 5), 1, 0.95)]

    def predict(run):
        made = detections(truth, found if run.is_distilled else half, classes=('disc', HOSTILE))
        paths = np.array([str(folder / 'images' / each['file_name']) for each in content['images']])
        return type(made)(
            **{**vars(made), 'paths': paths, 'costs': {'parameters': 2e6, 'flops': 3e9}}
        )

    def fail(_):
        raise ValueError(f'no weights {HOSTILE}')

    monkeypatch.setattr(predicted_figures, 'student_predictions', predict)
    monkeypatch.setattr(predicted_figures, 'teacher_predictions', fail)
    write_run(tmp_path / 'alone', (30, 50))
    write_run(tmp_path / 'taught', (30, 54), method='pkd')
    return tmp_path


def test_a_detectors_page(detected):
    page, facts = read(mmkd.report(detected))
    assert facts['kind'] == 'detector'
    rows = {row['name']: row for row in facts['classes']}
    # Four discs, of which two have no box here; three squares, of which one has none.
    assert rows['disc']['values']['pkd'] == 100
    assert 0 < rows['disc']['values']['student'] < 100
    assert rows['disc']['objects'] == 4
    assert facts['where'][0].startswith('2 of 2 classes gained: ')
    assert facts['images']['better'] == 4
    assert (facts['images']['worse'], facts['images']['equal']) == (0, 4)
    assert facts['images']['p'] == pytest.approx(2 / 2**4)
    assert facts['images']['images']['lost'] == []
    assert len(facts['images']['images']['gained']) == 4
    assert [m['name'] for m in facts['confusion_matrices']] == ['student', 'pkd']
    assert facts['confusion_matrices'][1]['counts'] == [[4, 0, 0], [0, 3, 0], [0, 0, 0]]
    assert facts['confusion_matrices'][0]['classes'] == ['disc', HOSTILE, 'background']
    assert '2 M' in page.text
    assert '3 G' in page.text
    # Two panels a picture: true boxes in both, and a box of a model where it has one.
    assert page.tags.count('image') == page.tags.count('use') == 4
    assert page.tags.count('rect') >= 2 * 4 + 4
    assert page.tags.count('script') == 1
    assert f'no weights {HOSTILE}' in page.text


def test_pictures_are_small_and_in_the_page(detected):
    path = mmkd.report(detected)
    text = path.read_text()
    uri = text.partition('href="data:image/webp;base64,')[2].partition('"')[0]
    image = Image.open(io.BytesIO(base64.b64decode(uri)))
    assert image.size == (96, 80)
    assert HOSTILE not in text


def test_an_image_that_is_gone_is_named(detected, monkeypatch):
    predict = predicted_figures.student_predictions

    def gone(run):
        made = predict(run)
        made.paths[:] = 'gone.png'
        return made

    monkeypatch.setattr(predicted_figures, 'student_predictions', gone)
    _, facts = read(mmkd.report(detected))
    assert any('pictures: an image cannot be read' in sentence for sentence in facts['missing'])
    assert facts['classes']


def test_what_cannot_be_predicted_is_named(tmp_path):
    run = write_run(tmp_path / 'run', (30, 50))
    _, facts = read(mmkd.report(run))
    assert f'{run}: no predictions (the config has no validation data)' in facts['missing']


@pytest.mark.slow
def test_a_real_run_scores_as_its_last_validation(trained, tmp_path, capsys):
    run = tmp_path / 'a run'
    shutil.copytree(trained, run)
    _, facts = read(mmkd.report(run))
    assert capsys.readouterr().out.count('predicts the validation images') == 2
    rows = [json.loads(line) for line in next(run.glob('*/vis_data/scalars.json')).open()]
    logged = [100 * row['coco/bbox_mAP'] for row in rows if 'coco/bbox_mAP' in row][-1]
    values = [
        row['values']['pcka'] for row in facts['classes'] if row['values']['pcka'] is not None
    ]
    assert np.mean(values) == pytest.approx(logged, abs=0.051)  # the log has three digits
    assert not any('its checkpoint has' in sentence for sentence in facts['missing'])
    group = {group['name']: group for group in facts['groups']}
    assert group['teacher']['costs']['parameters'] > group['pcka']['costs']['parameters'] > 0
    assert group['pcka']['costs']['flops'] > 0
    assert facts['precision_recall']['lines'][0]['points'][0][0] == 0
    mmkd.report(run)
    assert 'predicts' not in capsys.readouterr().out  # they are kept
