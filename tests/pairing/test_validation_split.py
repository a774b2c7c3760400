"""What is held out where there is no validation data."""

import json

import pytest

from mmkd.pairing.writing.validation_split import held_out, split_coco, split_files


@pytest.mark.parametrize('counts', [(100, 50, 10), (1, 1, 30), (2,), (9, 8)])
def test_a_tenth_of_each_class_is_held_out(counts):
    classes = [name for name, count in enumerate(counts) for _ in range(count)]
    out = held_out(classes)
    assert out == held_out(classes)
    assert max(1, sum(counts) / 10 - 1) <= sum(out) <= sum(counts) / 10 + 1
    for name, count in enumerate(counts):
        number = sum(is_out for each, is_out in zip(classes, out, strict=True) if each == name)
        assert number < count  # some stay in training
        assert abs(number - count / 10) <= 1


def test_another_seed_holds_out_others():
    assert held_out(['a'] * 100, seed=0) != held_out(['a'] * 100, seed=1)


@pytest.mark.parametrize('classes', [[], ['a'], ['a', 'b', 'c']])
def test_too_few_images_are_said(classes):
    with pytest.raises(ValueError, match=rf'enough images to hold some out, got {len(classes)}'):
        held_out(classes)


def test_each_picture_of_a_coco_file_is_in_one_part():
    images = [{'id': i, 'file_name': f'{i % 40}.jpg'} for i in range(50)]  # ten pictures are twice
    annotations = [{'id': i, 'image_id': i % 45, 'category_id': i % 3} for i in range(200)]
    content = {'info': {'a': 1}, 'images': images, 'annotations': annotations, 'categories': []}
    train_text, val_text, count = split_coco(content)
    train, val = json.loads(train_text), json.loads(val_text)
    assert count == '4 of 40'
    for part in ('images', 'annotations'):
        assert sorted(train[part] + val[part], key=lambda e: e['id']) == content[part]
    names = [{image['file_name'] for image in part['images']} for part in (train, val)]
    assert (len(names[1]), names[0] & names[1]) == (4, set())
    ids = {image['id'] for image in val['images']}
    assert {annotation['image_id'] for annotation in val['annotations']} <= ids
    assert train['info'] == val['info'] == {'a': 1}


def test_lists_of_files_refuse_what_they_cannot_hold():
    assert split_files(['a b/1.png', 'a b/2.png'], [0, 0])[2] == '1 of 2'
    for name in (' a/1.png', 'a\n/1.png', 'a\x85/1.png'):
        with pytest.raises(ValueError, match='data: expected validation data, or paths without'):
            split_files([name, 'b.png'], [0, 0])
