"""Each mistake in an annotation file is named with the file, the entry and what was expected."""

import gzip
import json

import pytest

from mmkd.datasets.annotations.coco_file import check_coco, read_coco


def content(**parts):
    return {
        'images': [{'id': i, 'file_name': f'{i}.jpg', 'width': 20, 'height': 20} for i in (0, 1)],
        'annotations': [
            {'id': i, 'image_id': i, 'category_id': 1, 'bbox': [0, 0, 9, 9], 'area': 81}
            for i in (0, 1)
        ],
        'categories': [{'id': 1, 'name': 'cat'}],
        **parts,
    }


def problem(data, tmp_path):
    path = tmp_path / 'file.json'
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    with pytest.raises(ValueError) as error:  # noqa: PT011 - each test reads the message
        read_coco(path)
    assert str(path) in str(error.value)
    return str(error.value)


TEXT = json.dumps(content()).encode()


@pytest.mark.parametrize(
    ('data', 'expected'),
    [
        (b'', 'an empty file (0 bytes)'),
        (b' \n', 'an empty file (2 bytes)'),
        (TEXT[:200], 'a file that ends too early (200 bytes)'),
        (b'\xef\xbb\xbf' + TEXT, 'a byte order mark; save it as UTF-8 without one'),
        (TEXT.decode().encode('utf-16'), 'UTF-16; save it as UTF-8'),
        (gzip.compress(TEXT), 'gzip data; unpack it'),
        (b'<annotation/>', 'XML or HTML'),
        (TEXT.replace(b'cat', b'caf\xe9'), 'bytes that are no UTF-8 text'),
        (bytes(range(256)), 'no UTF-8 text'),
        (b'id,name\n1,cat\n', 'other text: Expecting value'),
        (b'[' * 100_000, 'maximum recursion depth'),
        (b'[1, 2]', 'a dict with images, annotations and categories, got a list'),
        (b'null', 'got a NoneType'),
    ],
)
def test_files_that_are_no_coco_files(data, expected, tmp_path):
    assert expected in problem(data, tmp_path)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'annotations: no such file: .*none\.json'):
        read_coco(tmp_path / 'none.json')
    with pytest.raises(ValueError, match='got the folder'):
        read_coco(tmp_path)


@pytest.mark.parametrize('part', ['images', 'categories'])
@pytest.mark.parametrize('value', [None, {}, 'a', 3])
def test_parts_are_lists(part, value, tmp_path):
    message = problem(content(**{part: value}), tmp_path)
    assert f'expected a list of {part} in' in message
    without = content()
    del without[part]
    assert f'expected a list of {part} in' in problem(without, tmp_path)


def test_annotations_may_be_missing_but_no_dict(tmp_path):
    without = content()
    del without['annotations']
    check_coco(without, 'test.json')
    assert 'expected a list of annotations' in problem(content(annotations={'1': {}}), tmp_path)
    assert 'at least one category' in problem(content(categories=[]), tmp_path)


@pytest.mark.parametrize(
    ('part', 'change', 'expected'),
    [
        ('images', {'width': None}, 'width: expected a positive number of pixels, got None'),
        ('images', {'height': 0}, 'height: expected a positive number of pixels, got 0'),
        ('images', {'height': '20'}, "height: expected a positive number of pixels, got '20'"),
        ('images', {'file_name': None}, 'file_name: expected text, got None'),
        ('images', {'file_name': 'a\0b'}, 'file_name: expected text'),
        ('images', {'id': None}, 'id: expected an integer, got None'),
        ('images', {'id': [1]}, 'id: expected an integer, got [1]'),
        ('images', {'id': True}, 'id: expected an integer, got True'),
        ('images', {'id': '1'}, "id: expected the type of 0, got '1'"),
        ('images', {'id': 0}, 'id: expected an id of its own, got 0, which images[0] has'),
        ('annotations', {'id': 0}, 'id: expected an id of its own, got 0'),
        ('annotations', {'bbox': [1, 2, 3]}, 'bbox: expected four finite numbers [x, y, width'),
        ('annotations', {'bbox': None}, 'bbox: expected four finite numbers'),
        ('annotations', {'bbox': ['1', '2', '3', '4']}, 'bbox: expected four finite numbers'),
        ('annotations', {'bbox': [float('nan'), 1, 2, 3]}, 'bbox: expected four finite numbers'),
        ('annotations', {'bbox': [0, 1, 2, float('inf')]}, 'bbox: expected four finite numbers'),
        ('annotations', {'bbox': [0, 1, 2, 10**400]}, 'bbox: expected four finite numbers'),
        ('annotations', {'area': '81'}, "area: expected a finite number, got '81'"),
        ('annotations', {'iscrowd': 'no'}, "iscrowd: expected 0 or 1, got 'no'"),
        ('annotations', {'image_id': [1]}, 'image_id: expected an integer, got [1]'),
        ('annotations', {'category_id': 1.5}, 'category_id: expected an integer, got 1.5'),
    ],
)
def test_wrong_values_name_the_entry(part, change, expected, tmp_path):
    changed = content()
    changed[part][1].update(change)
    message = problem(changed, tmp_path)
    assert f'{part}[1]' in message
    assert expected in message


@pytest.mark.parametrize(
    ('part', 'key'),
    [('images', key) for key in ('id', 'file_name', 'width', 'height')]
    + [('annotations', key) for key in ('id', 'image_id', 'category_id', 'bbox', 'area')]
    + [('categories', key) for key in ('id', 'name')],
)
def test_missing_keys_name_the_entry(part, key, tmp_path):
    changed = content()
    del changed[part][-1][key]
    message = problem(changed, tmp_path)
    assert f'{part}[{len(changed[part]) - 1}]' in message
    assert f'expected {key} beside' in message
    changed[part][-1] = 'cat'
    assert 'expected a dict with id, ' in problem(changed, tmp_path)


@pytest.mark.parametrize('name', [None, '', ' ', 3, '\ud800'])
def test_names_of_categories_are_text(name, tmp_path):
    message = problem(content(categories=[{'id': 1, 'name': name}]), tmp_path)
    assert 'categories[0] (id 1): name: expected text, got' in message


def test_legitimate_files_are_read_as_they_are(tmp_path):
    path = tmp_path / 'file.json'
    odd = content(
        categories=[{'id': 0, 'name': 'cat'}, {'id': 1.0, 'name': 'Katze '}],
        info={'year': 2026},
        licenses=None,
    )
    odd['annotations'][0] |= {'iscrowd': 1, 'segmentation': []}
    odd['annotations'][1] |= {'bbox': [0.5, -1.0, 3, 4e2]}
    odd['annotations'].append({'id': 9, 'image_id': 0, 'category_id': 1, 'ignore': 1})
    path.write_text(json.dumps(odd))
    read = read_coco(path)
    crowds = [annotation.pop('iscrowd') for annotation in read['annotations']]
    assert crowds == [1, 0, 0]
    del odd['annotations'][0]['iscrowd']
    assert read == odd
