"""Hold out a part of the training data for validation."""

import json
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

EVERY = 10  # one of so many images is held out


def held_out(classes: Sequence[Hashable], seed: int = 0) -> list[bool]:
    """Choose a tenth of some images, of each class about as large a share.

    One image of each class stays in training.

    Args:
        classes: The class of each image.
        seed: Seed of the choice.

    Returns:
        Whether each image is held out.

    Raises:
        ValueError: If there is no class with two images.
    """
    codes = {each: code for code, each in enumerate(dict.fromkeys(classes))}
    labels = np.array([codes[each] for each in classes], int)
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind='stable')]
    repeats = order[1:][np.diff(labels[order]) == 0]  # all but the first image of each class
    if not len(repeats):
        raise ValueError(
            f'data: expected validation data, or enough images to hold some out, got {len(labels)}'
        )
    step = min(EVERY, len(repeats))
    chosen = set(repeats[step // 2 :: step].tolist())
    return [index in chosen for index in range(len(labels))]


def split_coco(content: Mapping[str, Any]) -> tuple[str, str, str]:
    """Split COCO annotations by their image files.

    Args:
        content: The content of a COCO file.

    Returns:
        The texts of the two files, for training and for validation, and how many images were held
        out, as text.
    """
    names = {image['id']: image['file_name'] for image in content['images']}
    total = Counter(annotation['category_id'] for annotation in content.get('annotations', ()))
    rarest: dict[str, Any] = dict.fromkeys(names.values())
    for annotation in content.get('annotations', ()):
        name, category = names.get(annotation['image_id']), annotation['category_id']
        if name is not None and (rarest[name] is None or total[category] < total[rarest[name]]):
            rarest[name] = category
    val = {name for name, out in zip(rarest, held_out([*rarest.values()]), strict=True) if out}
    texts = []
    for is_val in (False, True):
        ids = {each for each, name in names.items() if (name in val) == is_val}
        part = dict(
            content,
            images=[image for image in content['images'] if image['id'] in ids],
            annotations=[a for a in content.get('annotations', ()) if a['image_id'] in ids],
        )
        texts.append(json.dumps(part))
    return texts[0], texts[1], f'{len(val)} of {len(rarest)}'


def split_files(files: Sequence[str], labels: Sequence[int]) -> tuple[str, str, str]:
    """Split image files with labels into two lists as MMPretrain's ``CustomDataset`` reads them.

    Args:
        files: Paths below the folder of images.
        labels: Their labels.

    Returns:
        The texts of the two lists, for training and for validation, and how many images were held
        out, as text.

    Raises:
        ValueError: If a path cannot stand in a list.
    """
    lines = [f'{file} {label}' for file, label in zip(files, labels, strict=True)]
    for line in lines:
        if line.strip() != line or len(line.splitlines()) != 1:
            raise ValueError(
                f'data: expected validation data, or paths without line breaks and leading spaces, '
                f'got {line!r}'
            )
    out = held_out(labels)
    texts = [
        ''.join(f'{line}\n' for line, is_out in zip(lines, out, strict=True) if is_out == is_val)
        for is_val in (False, True)
    ]
    return texts[0], texts[1], f'{sum(out)} of {len(out)}'
