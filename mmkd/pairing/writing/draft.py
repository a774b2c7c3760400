"""A config of a distillation that is put together and written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmkd.pairing.methods.method import Fitted, Method
from mmkd.pairing.writing.config_text import Expression, assignment, changes

Settings = dict[str, Any]


def merge(settings: Settings, more: Mapping[str, Any]) -> None:
    """Merge nested dicts into others, in place; what is no dict is replaced.

    Example:
        >>> settings = dict(model=dict(type='GFL'))
        >>> merge(settings, dict(model=dict(neck=dict(num_outs=3))))
        >>> settings
        {'model': {'type': 'GFL', 'neck': {'num_outs': 3}}}
    """
    for key, value in more.items():
        if isinstance(value, Mapping):
            if not isinstance(settings.get(key), dict):
                settings[key] = {}
            merge(settings[key], value)
        else:
            settings[key] = value


def nested(options: Mapping[str, Any]) -> Settings:
    """Dotted keys as nested dicts.

    Raises:
        ValueError: If a key is a position in a list, which no config file can set alone.

    Example:
        >>> nested({'model.teacher.precision': 'bf16'})
        {'model': {'teacher': {'precision': 'bf16'}}}
    """
    settings: Settings = {}
    for dotted, value in options.items():
        *parents, last = dotted.split('.')
        if any(part.isdigit() for part in (*parents, last)):
            raise ValueError(
                f'--cfg-options: expected keys without positions in lists, got {dotted}; set it in '
                "the student's config"
            )
        for parent in reversed(parents):
            value, last = {last: value}, parent
        merge(settings, {last: value})
    return settings


@dataclass
class Draft:
    """A config to be written.

    Attributes:
        student: The config that it inherits data and schedule from.
        settings: What it sets, by name; ``model`` without the distiller.
        title: Its first line.
    """

    student: str
    settings: Settings
    title: str
    distiller: Settings = field(default_factory=dict)
    inherited: Settings | None = None
    base: str | None = None
    decisions: list[tuple[str, str]] = field(default_factory=list)

    def take(self, method: Method, fitted: Fitted, options: Mapping[str, Any]) -> None:
        """Take a fitted distiller, which ``options`` change further.

        The file says what differs from the method's own, or the whole if there is little of it.
        """
        self.distiller, self.decisions = fitted.distiller, fitted.decisions
        merge(self.distiller, options)
        merge(self.settings['model'], {**method.model, 'distiller': Expression('distiller')})
        if method.base is not None and not fitted.whole:
            self.base, self.inherited = method.base, method.load()

    def text(self) -> str:
        """The config file."""
        head = [f'"""{self.title}', '', 'Written by tools/distill.py, to be edited at will.', '']
        head += [f'{topic}: {text}' for topic, text in self.decisions]
        bases = [self.student] if self.base is None else [self.student, self.base]
        blocks = ['\n'.join([*head, '"""']), assignment('_base_', bases)]
        blocks.append('\n'.join(self._distiller_lines()))
        blocks += [assignment(name, value) for name, value in self.settings.items()]
        return '\n\n'.join(blocks) + '\n'

    def _distiller_lines(self) -> list[str]:
        if self.inherited is None:
            return [assignment('distiller', self.distiller)]
        return [
            'distiller = _base_.distiller',
            *changes('distiller', self.inherited, self.distiller),
        ]
