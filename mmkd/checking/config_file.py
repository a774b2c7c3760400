"""Reading a config file: every way in which it fails names the file and the line."""

import importlib.util
import json
import traceback
from pathlib import Path

import yaml
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE

from mmkd.checking.close_names import did_you_mean

SUFFIXES = ('.py', '.yaml', '.yml', '.json')


def read_config(path: str) -> Config:
    """Read a config file.

    Args:
        path: A file, or ``mmdet::path/of/config.py`` for a package's.

    Raises:
        FileNotFoundError: If there is no such file or package; close names are listed.
        ValueError: If it is no config, or cannot be read; the line is named.
    """
    file = _package_file(path) if '::' in path and not Path(path).exists() else Path(path)
    if file.is_dir():
        found = sorted(each.name for each in file.glob('*.py'))[:5]
        raise ValueError(f'config: expected a file, got the folder {path} with {found}')
    if not file.is_file():
        known = [each.name for each in file.parent.glob('*.py')] if file.parent.is_dir() else []
        raise FileNotFoundError(f'config: no file {path}{did_you_mean(file.name, known)}')
    if file.suffix not in SUFFIXES:
        raise ValueError(f'config: expected a file {", ".join(SUFFIXES)}, got {path}')
    try:
        cfg = Config.fromfile(str(file))
    except SyntaxError as error:
        text = (error.text or '').strip()
        # Python does not know the name of a file that MMEngine parses.
        where = file if text in file.read_text() else f'a base of {file}'
        raise ValueError(f'config: {where}, line {error.lineno}: {error.msg}: {text}') from error
    except (FileNotFoundError, ImportError) as error:
        raise type(error)(f'config: {_place(error, file)}: {error}') from error
    except (yaml.YAMLError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f'config: cannot read {path}: {" ".join(str(error).split())}') from error
    except (Exception, SystemExit) as error:
        raise ValueError(
            f'config: {_place(error, file)}: {type(error).__name__}: {error}'
        ) from error
    if not len(cfg):
        raise ValueError(f'config: expected settings, found none in {path}')
    return cfg


def _place(error: BaseException, file: Path) -> str:
    """The line of a config, the last that Python ran, or the file."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.name == '<module>' and frame.filename.endswith('.py'):
            return f'{frame.filename}, line {frame.lineno}'
    return str(file)


def _package_file(path: str) -> Path:
    package, _, name = path.partition('::')
    if not package.isidentifier() or importlib.util.find_spec(package) is None:
        raise FileNotFoundError(
            f'config: no package {package!r} for {path}{did_you_mean(package, MODULE2PACKAGE)}'
        )
    if not name:
        raise ValueError(f'config: expected {package}::path/of/config.py, got {path}')
    try:
        return Path(Config._get_cfg_path(path, '')[0])
    except Exception as error:
        spec = importlib.util.find_spec(package)
        folder = Path(str(spec and spec.origin)).parent / '.mim/configs'
        known = [str(each.relative_to(folder)) for each in folder.rglob('*.py')]
        by_name = {each.rpartition('/')[2]: each for each in known}
        hint = did_you_mean(name.rpartition('/')[2], by_name) or did_you_mean(name, known)
        for short, full in by_name.items():
            hint = hint.replace(f' {short}', f' {package}::{full}', 1)
        raise FileNotFoundError(f'config: {package} has no config {name}{hint}') from error
