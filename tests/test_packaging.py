"""A wheel of the repository works from anywhere, its configs included."""

import os
import subprocess
import sys
import zipfile

import pytest

CODE = """
import mmkd
from mmengine.config import Config
open('own.py', 'w').write("_base_ = 'mmkd::pcka/pcka_retinanet_x101_r50_fpn_2x_coco.py'\\n")
cfg = Config.fromfile('own.py')
print(mmkd.__file__)
print(cfg.model.distiller.losses.pcka.type)
"""


@pytest.fixture(scope='module')
def wheel(repo, tmp_path_factory):
    out = tmp_path_factory.mktemp('wheel')
    # The tree is copied, as a build leaves its traces beside the sources.
    source = tmp_path_factory.mktemp('source') / 'mmkd'
    subprocess.run(['git', 'clone', '--quiet', str(repo), str(source)], check=True)
    command = [sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', '-w', str(out)]
    subprocess.run([*command, '--no-build-isolation', str(source)], check=True)
    return next(out.glob('mmkd-*.whl'))


def test_wheel_carries_every_config_and_tool(wheel, repo):
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ['git', 'ls-files', 'configs', 'tools', 'mmkd/*.py'],
        cwd=repo, check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    expected = {n if n.startswith('mmkd/') else f'mmkd/.mim/{n}' for n in tracked}
    assert expected <= names
    assert 'mmkd/.mim/model-index.yml' in names
    assert 'mmkd/py.typed' in names
    assert {f'mmkd/reporting/template/report.{kind}' for kind in ('html', 'css', 'js')} <= names


def test_wheel_has_the_console_command(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith('entry_points.txt'))
    assert 'mmkd = mmkd.cli.main:main' in archive.read(name).decode().splitlines()


def test_installed_wheel_resolves_its_configs(wheel, tmp_path):
    site = tmp_path / 'site'
    zipfile.ZipFile(wheel).extractall(site)
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    environment = {**os.environ, 'PYTHONPATH': str(site)}
    run = subprocess.run(
        [sys.executable, '-c', CODE],
        cwd=elsewhere, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    file, loss = run.stdout.split()
    assert file.startswith(str(site))
    assert loss == 'mmkd.PCKALoss'


def test_extras_leave_a_compiled_mmcv_alone(repo, tmp_path):
    """In an environment with a distribution `mmcv`, `[all]` does not ask for `mmcv-lite`."""
    script = repo / 'setup.py'
    metadata = tmp_path / 'mmcv-2.1.0.dist-info' / 'METADATA'
    code = (
        'import runpy, setuptools, sysconfig, sys\n'
        'got = {}\n'
        'setuptools.setup = lambda **k: got.update(k)\n'
        'sysconfig.get_path = lambda kind: sys.argv[1]\n'
        f'runpy.run_path({str(script)!r})\n'
        'print(*got["extras_require"]["all"])\n'
    )

    def extra():
        command = [sys.executable, '-s', '-c', code, str(tmp_path)]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        return run.stdout.split()

    assert 'mmcv-lite==2.1.0' in extra()
    metadata.parent.mkdir()
    metadata.write_text('Metadata-Version: 2.1\nName: mmcv\nVersion: 2.1.0\n')
    assert not any(requirement.startswith('mmcv') for requirement in extra())
