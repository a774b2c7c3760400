"""Whether images have the sizes that their annotations state."""

from typing import Any

import numpy as np

SAMPLES = 16


def size_problem(dataset: Any) -> tuple[str, bool]:
    """Compare the sizes of a few images, read as in training, with the annotations.

    Args:
        dataset: A COCO-style data set. The first transform of its pipeline reads images.

    Returns:
        What is wrong (empty if nothing is), and whether most of the images are wrong.

    Raises:
        FileNotFoundError: If an image is missing.
    """
    from mmcv.transforms import LoadImageFromFile

    transforms = getattr(dataset.pipeline, 'transforms', ())
    if not transforms or not isinstance(transforms[0], LoadImageFromFile):
        return '', False
    indices = np.unique(np.linspace(0, len(dataset) - 1, SAMPLES).astype(int))
    wrong = []
    for index in indices:
        info = dataset.get_data_info(int(index))
        stated = (info['width'], info['height'])
        height, width = transforms[0](dict(info))['ori_shape']
        if stated != (width, height):
            turned = ' (turned by its EXIF orientation?)' if stated == (height, width) else ''
            wrong.append(
                f'{info["img_path"]} has {width} x {height} pixels, the annotations say '
                f'{stated[0]} x {stated[1]}{turned}'
            )
    if not wrong:
        return '', False
    found = (
        f'{dataset.ann_file}: expected the sizes of the images, but of {len(indices)} images read, '
        f'{len(wrong)} differ: {wrong[0]}; boxes would be at wrong places'
    )
    return found, len(wrong) > len(indices) / 2
