"""`--cfg-options KEY=VALUE`: MMEngine's spelling of values, with spaces and clear errors."""

import argparse
from collections.abc import Iterator
from typing import Any

CLOSING = {'[': ']', '(': ')'}


class ConfigOptions(argparse.Action):
    """Collect KEY=VALUE pairs in a dict.

    Values are those of MMEngine's ``DictAction``: numbers, ``true``, ``None``, text, ``1,2``,
    ``[a,b]`` and ``[(1,2),(3,4)]``. Text in quotes stays as it is, and spaces stay everywhere.
    """

    def __call__(
        self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        """Add the pairs of one occurrence of the option."""
        options = dict(getattr(namespace, self.dest, None) or {})
        for pair in values:
            key, equals, text = pair.partition('=')
            if not equals or not all(part.strip() for part in key.split('.')):
                raise argparse.ArgumentError(self, f'expected KEY=VALUE, got {pair!r}')
            try:
                options[key] = parse_value(text)
            except ValueError as error:
                raise argparse.ArgumentError(self, f'{key}: {error}') from None
        setattr(namespace, self.dest, options)


def parse_value(text: str) -> Any:
    """Return the value that an option's text stands for.

    Raises:
        ValueError: If brackets or quotes are not closed, or it is a dict.

    Example:
        >>> parse_value('[(0.5, 1), my data/a.json, None]')
        [(0.5, 1), 'my data/a.json', None]
        >>> parse_value('1,2'), parse_value('"1,2"')
        ([1, 2], '1,2')
    """
    text = text.strip()
    parts = [*_split(text)]
    if len(parts) > 1:
        return [parse_value(part) for part in parts if part.strip()]
    if len(text) > 1 and text[0] in '\'"' and text[0] == text[-1]:
        return text[1:-1]
    if text[:1] in CLOSING and text[-1] == CLOSING[text[0]]:
        values = [parse_value(part) for part in _split(text[1:-1]) if part.strip()]
        return values if text[0] == '[' else tuple(values)
    if text[:1] + text[-1:] == '{}':
        raise ValueError(f'expected KEY.NAME=VALUE for each entry of a dict, got {text}')
    return _scalar(text)


def _scalar(text: str) -> Any:
    words = {'true': True, 'false': False}
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            pass
    return None if text == 'None' else words.get(text.lower(), text)


def _split(text: str) -> Iterator[str]:
    """Yield what stands between commas outside of brackets and quotes."""
    start, open_brackets, quote = 0, [], ''
    for index, char in enumerate(text):
        if quote:
            quote = '' if char == quote else quote
        elif char in '\'"' and not text[start:index].strip('[( '):
            quote = char  # at the start of a value; elsewhere it is an apostrophe
        elif char in CLOSING:
            open_brackets.append(CLOSING[char])
        elif char in CLOSING.values():
            if not open_brackets or open_brackets.pop() != char:
                raise ValueError(f'expected brackets that close, got {text!r}')
        elif char == ',' and not open_brackets:
            yield text[start:index]
            start = index + 1
    if open_brackets or quote:
        raise ValueError(f'expected brackets and quotes that close, got {text!r}')
    yield text[start:]
