"""Format each setting of a config once.

MMEngine formats a run's config by yapf five times, and again for each checkpoint. That takes up to
two seconds each time, and hardly a setting differs.
"""

import ast
import functools
from types import ModuleType
from typing import Any

from mmkd.compat.import_hooks import after_import


def _format_settings_once(config: ModuleType) -> None:
    format_code = config.FormatCode

    @functools.lru_cache(maxsize=1000)
    def formatted(setting: str, style: tuple[tuple[str, Any], ...], **options: Any) -> str:
        return format_code(setting, style_config=dict(style), **options)[0]

    def format_each(text: str, style_config: dict[str, Any], **options: Any) -> tuple[str, bool]:
        lines, style = text.split('\n'), tuple(style_config.items())
        settings = [
            '\n'.join(lines[node.lineno - 1 : node.end_lineno]) + '\n'
            for node in ast.parse(text).body
        ]
        done = ''.join(formatted(setting, style, **options) for setting in settings)
        return done, done != text

    config.FormatCode = format_each  # type: ignore[attr-defined]


def apply() -> None:
    """Patch MMEngine's configs."""
    after_import('mmengine.config.config', _format_settings_once)
