"""Nested settings of a config."""

from collections.abc import Mapping
from typing import Any

Settings = dict[str, Any]


def merge(settings: Settings, more: Mapping[str, Any]) -> None:
    """Merge nested dicts into others, in place. Values that are no dicts are replaced.

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
    """Turn dotted keys into nested dicts.

    Raises:
        ValueError: If a key holds a position in a list, which a config file cannot set alone.

    Example:
        >>> nested({'model.teacher.precision': 'bf16'})
        {'model': {'teacher': {'precision': 'bf16'}}}
    """
    settings: Settings = {}
    for dotted, value in options.items():
        *parents, last = dotted.split('.')
        if any(part.isdigit() for part in (*parents, last)):
            raise ValueError(
                f'options: expected keys without positions in lists, got {dotted!r}; set it in the '
                "student's config"
            )
        for parent in reversed(parents):
            value, last = {last: value}, parent
        merge(settings, {last: value})
    return settings


def without_scope(config: Any, scope: str | None) -> Any:
    """Copy a config without MMEngine's marks (``_scope_``) of the default scope."""
    if isinstance(config, Mapping):
        return {
            key: without_scope(value, scope)
            for key, value in config.items()
            if (key, value) != ('_scope_', scope)
        }
    if isinstance(config, list | tuple):
        return type(config)(without_scope(item, scope) for item in config)
    return config
