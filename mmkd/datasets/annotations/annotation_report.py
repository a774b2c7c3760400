"""Count the annotations from which a detector cannot learn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmkd.datasets.annotations.coco_file import is_finite

# Boxes of real data sets end a pixel beyond their image by rounding.
TOLERANCE = 2.0
# Fewer boxes may look like percents or centers by chance.
ENOUGH_BOXES = 20


@dataclass(frozen=True)
class Finding:
    """Annotations with the same flaw.

    Attributes:
        what: The flaw.
        count: How many annotations have it.
        example: The first of them.
    """

    what: str
    count: int
    example: str

    def __str__(self) -> str:
        return f'{self.count} {self.what} (first: {self.example})'


@dataclass(frozen=True)
class AnnotationReport:
    """What a data set can learn from its annotation file.

    Attributes:
        total: Annotations of the data set's classes, and those of no category.
        crowds: Annotations of crowds; detectors ignore them.
        lost: Annotations that MMDetection drops, by flaw. Each counts once.
        outside: Boxes that end outside of their image.
        unmasked: Annotations without a segmentation.
        repeated: Images whose file another image has as well.
        hint: What boxes or categories seem to be instead of what they should be.
        doubt: What boxes may be instead; empty if nothing speaks for it.
        files: The file names of the images.
        labels: The name of the file's category for each label.
    """

    total: int
    crowds: int
    lost: tuple[Finding, ...]
    outside: Finding | None
    unmasked: Finding | None
    repeated: Finding | None
    hint: str
    doubt: str
    files: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def lost_count(self) -> int:
        """Number of lost annotations."""
        return sum(finding.count for finding in self.lost)

    def warnings(self) -> list[str]:
        """Return a sentence for each flaw."""
        found = [f'{finding}; they are left out' for finding in self.lost]
        return found + [str(each) for each in (self.outside, self.repeated, self.doubt) if each]

    def problem(self, has_masks: bool = False) -> str:
        """Return why most of the annotations are useless; empty if they are not."""
        if has_masks and self.unmasked:
            return f'expected a segmentation in each annotation, got {self.unmasked}'
        if self.hint:
            return self.hint
        if self.total and self.lost_count > self.total / 2:
            listed = '; '.join(map(str, self.lost))
            return (
                f'expected annotations to learn from, but {self.lost_count} of {self.total} are '
                f'lost: {listed}'
            )
        if self.total and self.lost_count + self.crowds >= self.total:
            return f'expected objects, but all of {self.total} annotations are crowds (iscrowd=1)'
        return ''


def annotation_report(content: Mapping[str, Any], cat_ids: Sequence) -> AnnotationReport:
    """Examine the content of a COCO file as MMDetection's ``CocoDataset`` reads it.

    Args:
        content: A file that :func:`mmkd.datasets.annotations.coco_file.read_coco` accepts.
        cat_ids: Ids of the categories that are used, in the order of their labels.
    """
    category_names = {category['id']: category['name'] for category in content['categories']}
    used = set(cat_ids)
    images = {image['id']: image for image in content['images']}
    others = set(category_names) - used
    annotations = [
        annotation
        for annotation in content.get('annotations', ())
        if not annotation.get('ignore') and annotation['category_id'] not in others
    ]

    def finding(what: str, mask: np.ndarray) -> Finding | None:
        where = np.flatnonzero(mask)
        if not len(where):
            return None
        return Finding(what, len(where), _describe(annotations[where[0]], images))

    boxes = np.array([each['bbox'] for each in annotations], float).reshape(-1, 4)
    sizes = np.array(
        [
            (image['width'], image['height']) if image else (np.inf, np.inf)
            for image in (images.get(each['image_id']) for each in annotations)
        ],
        float,
    ).reshape(-1, 2)
    areas = np.array([each['area'] for each in annotations], float)
    crowds = np.array([bool(each.get('iscrowd')) for each in annotations], bool)
    start, end = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    flaws = {
        'annotations of no category of the file': np.array(
            [each['category_id'] not in used for each in annotations], bool
        ),
        'annotations of no image of the file': np.isinf(sizes[:, 0]),
        'boxes with a width or height below 1': (boxes[:, 2:] < 1).any(1),
        'boxes outside of their image': (np.minimum(end, sizes) - np.maximum(start, 0) <= 0).any(1),
        'annotations with an area of 0 or less': areas <= 0,
    }
    lost = np.zeros(len(annotations), bool)
    findings = []
    for what, flawed in flaws.items():
        findings.append(finding(what, flawed & ~lost))
        lost |= flawed
    outside = ~lost & ((start < -TOLERANCE) | (end > sizes + TOLERANCE)).any(1)
    names = [image['file_name'] for image in content['images']]
    return AnnotationReport(
        total=len(annotations),
        crowds=int((crowds & ~lost).sum()),
        lost=tuple(each for each in findings if each),
        outside=finding('boxes that end outside of their image', outside),
        unmasked=finding(
            'annotations without one that can be read',
            np.array([not _has_mask(each, images) for each in annotations], bool),
        ),
        repeated=_repeated(content['images'], names),
        hint=_box_hint(boxes, end, sizes) or _category_hint(content, annotations),
        doubt=_box_doubt(boxes, end, sizes),
        files=tuple(names),
        labels=tuple(category_names[each] for each in cat_ids),
    )


def _has_mask(annotation: Mapping, images: Mapping[Any, Mapping]) -> bool:
    """Whether there is a segmentation: polygons, or runs of the image's size."""
    mask, image = annotation.get('segmentation'), images.get(annotation['image_id'])
    if isinstance(mask, Mapping):
        size = [image['height'], image['width']] if image else mask.get('size')
        return 'counts' in mask and mask.get('size') == size
    return (
        bool(mask)
        and isinstance(mask, list)
        and all(isinstance(part, list) and all(map(is_finite, part)) for part in mask)
    )


def _box_hint(boxes: np.ndarray, end: np.ndarray, sizes: np.ndarray) -> str:
    """What most boxes seem to be instead of [x, y, width, height] in pixels."""
    if not len(boxes):
        return ''
    expected = 'expected boxes as [x, y, width, height] in pixels, got'
    if ((boxes >= 0) & (boxes <= 1)).all(1).mean() > 0.5:
        return f'{expected} most within [0, 1], relative to the image, such as {boxes[0].tolist()}'
    beyond = (end > sizes + TOLERANCE).any(1)
    corners = (boxes[:, 2:] > boxes[:, :2]).all(1)
    # In hardly any data set are nearly all boxes longer than their distance to the image's corner.
    if corners.mean() > 0.95 and beyond.mean() > 0.1:
        return (
            f'{expected} {int(beyond.sum())} of {len(boxes)} that end outside of their images, '
            f'such as {boxes[beyond][0].tolist()}: they seem to be corners [x1, y1, x2, y2]'
        )
    return ''


def _box_doubt(boxes: np.ndarray, end: np.ndarray, sizes: np.ndarray) -> str:
    """What boxes may be instead of [x, y, width, height] in pixels, though all can be read."""
    if len(boxes) < ENOUGH_BOXES:
        return ''
    expected = 'expected boxes as [x, y, width, height] in pixels'
    furthest = end.max(0)
    if (furthest > 90).all() and (furthest <= 101).all() and sizes.min() >= 200:
        return (
            f'{expected}, but all end within 100 x 100 of images of at least '
            f'{sizes.min():.0f} pixels: they may be percents of the image'
        )
    beyond = (end > sizes + TOLERANCE).any(1)
    # Real objects touch the left and the upper border as often as the others.
    if beyond.mean() > 0.01 and (boxes[:, :2] >= boxes[:, 2:] / 2 - TOLERANCE).all():
        return (
            f'{expected}, but {int(beyond.sum())} of {len(boxes)} end outside of their images and '
            'none begins within half its size of the left or upper border: [x, y] may be centers'
        )
    return ''


def _category_hint(content: Mapping[str, Any], annotations: Sequence[Mapping]) -> str:
    """Whether annotations count categories from another number than the file."""
    known = {category['id'] for category in content['categories']}
    used = {annotation['category_id'] for annotation in annotations}
    if not all(isinstance(each, int) for each in known | used) or used <= known:
        return ''
    for step in (-1, 1):
        if used <= {each + step for each in known}:
            return (
                f'expected the ids of categories ({min(known)} to {max(known)}) in annotations, '
                f'got {min(used)} to {max(used)}: they seem to be shifted by {step}'
            )
    return ''


def _describe(annotation: Mapping, images: Mapping[Any, Mapping]) -> str:
    found = f'annotation {annotation["id"]!r}, bbox {annotation["bbox"]}'
    image = images.get(annotation['image_id'])
    if image is None:
        return f'{found}, image_id {annotation["image_id"]!r}'
    size = f'{image["width"]} x {image["height"]}'
    category = annotation['category_id']
    return f'{found}, category_id {category!r}, image {image["file_name"]!r} of {size}'


def _repeated(images: Any, names: list[str]) -> Finding | None:
    if len(set(names)) == len(names):
        return None
    _, first_places = np.unique(names, return_index=True)
    places = set(first_places.tolist())
    again = [image for index, image in enumerate(images) if index not in places]
    first = again[0]
    return Finding(
        'images have the file of another image',
        len(again),
        f'{first["file_name"]!r}, id {first["id"]!r}',
    )
