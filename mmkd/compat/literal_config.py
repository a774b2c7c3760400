"""Read the text of a config without running it.

MMEngine saves its config as Python text in each checkpoint, and runs that text to read it again.
"""

import ast
from typing import Any


def literal_config(text: str) -> dict[str, Any]:
    """Return the settings of a config as MMEngine writes it: names, literals and ``dict(...)``.

    Args:
        text: Lines such as ``model = dict(type='RetinaNet', depth=50)``.

    Raises:
        ValueError: If the text holds anything else, such as a call or an import.

    Example:
        >>> literal_config("model = dict(type='A', sizes=[1, -2])")
        {'model': {'type': 'A', 'sizes': [1, -2]}}
    """
    try:
        settings = {}
        for line in ast.parse(text).body:
            if not isinstance(line, ast.Assign) or not isinstance(line.targets[0], ast.Name):
                raise ValueError(f'line {line.lineno}')
            settings[line.targets[0].id] = _value(line.value)
        return settings
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(
            'config: expected only settings in the text of a checkpoint, got code, which is not '
            f'run: {error}; give the config as a file'
        ) from error


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id == 'float' and not node.keywords:
            return float(*map(ast.literal_eval, node.args))  # infinity or NaN
        is_dict = isinstance(node.func, ast.Name) and node.func.id == 'dict' and not node.args
        if not is_dict or any(item.arg is None for item in node.keywords):
            raise ValueError(f'a call in line {node.lineno}')
        return {item.arg: _value(item.value) for item in node.keywords}
    if isinstance(node, ast.Dict):
        keys = [ast.literal_eval(key) for key in node.keys if key is not None]
        return dict(zip(keys, map(_value, node.values), strict=True))
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        kinds: dict[type, Any] = {ast.List: list, ast.Tuple: tuple, ast.Set: set}
        return kinds[type(node)](map(_value, node.elts))
    return ast.literal_eval(node)
