"""Read annotation files in COCO format. Errors name the file, the entry and what was expected."""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

# What a file that is no JSON may be, by its first bytes.
OTHER_FORMATS = {
    b'\x1f\x8b': 'gzip data; unpack it',
    b'PK': 'a zip archive; unpack it',
    b'\xef\xbb\xbf': 'a byte order mark; save it as UTF-8 without one',
    b'\xff\xfe': 'UTF-16; save it as UTF-8',
    b'\xfe\xff': 'UTF-16; save it as UTF-8',
    b'<': 'XML or HTML; convert it to COCO',
}
LARGEST = 1e12
MAX_DEPTH = 3000


def read_coco(path: str | os.PathLike, name: str | None = None) -> dict[str, Any]:
    """Read a COCO annotation file.

    Annotations without ``iscrowd`` get 0.

    Args:
        path: The file.
        name: Its name in errors. Default: the path.

    Returns:
        The file's content. ``images`` and ``categories`` are there. ``annotations`` may be missing,
        as they are in test sets.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no COCO file, or an entry cannot be read.
    """
    name = name or str(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f'annotations: no such file: {name}')
    if os.path.isdir(path):
        raise ValueError(f'annotations: expected a COCO file, got the folder {name}')
    data = Path(path).read_bytes()
    try:
        content = _parse(data.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f'annotations: expected COCO annotations (JSON) in {name}, got {_format(data, error)}'
        ) from error
    check_coco(content, name)
    for annotation in content.get('annotations', ()):
        annotation['iscrowd'] = annotation.get('iscrowd') or 0
    return content


def check_coco(content: Any, name: str) -> None:
    """Raise if content is not what MMDetection and pycocotools can read.

    Raises:
        ValueError: Names the file, the entry, what was expected and what came.
    """
    if not isinstance(content, Mapping):
        raise ValueError(
            f'annotations: expected COCO annotations in {name}, a dict with images, annotations '
            f'and categories, got a {type(content).__name__}'
        )
    parts = {'images': _image_problem, 'categories': _category_problem}
    if 'annotations' in content:
        parts['annotations'] = _annotation_problem
    for part, problem in parts.items():
        entries = content.get(part)
        if not isinstance(entries, list):
            got = 'none' if entries is None else f'a {type(entries).__name__}'
            raise ValueError(
                f'annotations: expected a list of {part} in {name}, got {got}; its keys are '
                f'{[*content][:10]}'
            )
        for index, entry in enumerate(entries):
            if found := problem(entry):
                raise ValueError(f'{name}: {part}[{index}]{_id(entry)}: {found}')
        _check_ids(part, entries, name)
    if not content['categories']:
        raise ValueError(f'annotations: expected at least one category in {name}, got none')


def _parse(text: str) -> Any:
    # MMRazor raises Python's limit so far that deeply nested text would end the process.
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(min(limit, MAX_DEPTH))
    try:
        return json.loads(text)
    finally:
        sys.setrecursionlimit(limit)


def _format(data: bytes, error: Exception) -> str:
    if not data.strip():
        return f'an empty file ({len(data)} bytes)'
    for start, what in OTHER_FORMATS.items():
        if data.startswith(start):
            return what
    if isinstance(error, UnicodeDecodeError):
        return f'bytes that are no UTF-8 text ({error.reason} at byte {error.start})'
    if data.lstrip().startswith((b'{', b'[')) and not data.rstrip().endswith((b'}', b']')):
        return f'a file that ends too early ({len(data)} bytes): {error}'
    return f'other text: {error}'


def _id(entry: Any) -> str:
    return f' (id {entry["id"]!r})' if isinstance(entry, Mapping) and 'id' in entry else ''


def _check_ids(part: str, entries: Sequence[Mapping], name: str) -> None:
    """Raise if ids are of different types, or two entries have the same."""
    ids = [entry['id'] for entry in entries]
    texts = [isinstance(each, str) for each in ids]
    if len(set(texts)) > 1:
        odd = texts.index(not texts[0])
        raise ValueError(
            f'{name}: {part}[{odd}]: id: expected the type of {ids[0]!r}, got {ids[odd]!r}'
        )
    if len(set(ids)) < len(ids):
        seen: dict[Any, int] = {}
        for index, each in enumerate(ids):
            if each in seen:
                raise ValueError(
                    f'{name}: {part}[{index}]: id: expected an id of its own, got {each!r}, which '
                    f'{part}[{seen[each]}] has; {len(ids) - len(set(ids))} ids are repeated in all'
                )
            seen[each] = index


def _missing(entry: Any, keys: Iterable[str]) -> str:
    if not isinstance(entry, Mapping):
        return f'expected a dict with {", ".join(keys)}, got {_short(entry)}'
    missing = [key for key in keys if key not in entry]
    return f'expected {", ".join(missing)} beside {[*entry]}' if missing else ''


def _id_problem(entry: Mapping, keys: Sequence[str]) -> str:
    for key in keys:
        value = entry[key]
        if type(value) not in (int, str) and not (type(value) is float and value.is_integer()):
            return f'{key}: expected an integer, got {_short(value)}'
    return ''


def _image_problem(image: Any) -> str:
    found = _missing(image, ('id', 'file_name', 'height', 'width')) or _id_problem(image, ['id'])
    if found:
        return found
    if not _is_text(image['file_name']):
        return f'file_name: expected text, got {_short(image["file_name"])}'
    for key in ('height', 'width'):
        if not (is_finite(image[key]) and image[key] > 0):
            return f'{key}: expected a positive number of pixels, got {_short(image[key])}'
    return ''


def _category_problem(category: Any) -> str:
    found = _missing(category, ('id', 'name')) or _id_problem(category, ['id'])
    if found:
        return found
    if not (_is_text(category['name']) and category['name'].strip()):
        return f'name: expected text, got {_short(category["name"])}'
    return ''


def _annotation_problem(annotation: Any) -> str:
    if isinstance(annotation, Mapping) and annotation.get('ignore'):
        return _missing(annotation, ('id', 'image_id', 'category_id'))
    keys = ('id', 'image_id', 'category_id')
    found = _missing(annotation, (*keys, 'bbox', 'area')) or _id_problem(annotation, keys)
    if found:
        return f'{found} (area = width * height of a box)' if 'expected area' in found else found
    box = annotation['bbox']
    if not (isinstance(box, list) and len(box) == 4 and all(map(is_finite, box))):
        return (
            f'bbox: expected four finite numbers [x, y, width, height] in pixels, got {_short(box)}'
        )
    if not is_finite(annotation['area']):
        return f'area: expected a finite number, got {_short(annotation["area"])}'
    if annotation.get('iscrowd') not in (0, 1, None):
        return f'iscrowd: expected 0 or 1, got {_short(annotation["iscrowd"])}'
    return ''


def is_finite(value: Any) -> bool:
    """Whether a value is a number of a size that pictures can have."""
    return type(value) in (int, float) and abs(value) < LARGEST


def _is_text(value: Any) -> bool:
    """Whether a value is text that a path or a config can hold."""
    if not isinstance(value, str) or '\0' in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f'{text[:77]}...'
