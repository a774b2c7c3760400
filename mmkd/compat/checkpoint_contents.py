"""Resuming in MMEngine without trust in the checkpoint.

MMEngine runs the text of a config in a checkpoint, deletes the file that a checkpoint names as the
previous best, and loads what happens to fit. These patches read text as text, delete only the
run's own files and compare every tensor with the run.
"""

import functools
import os.path as osp
import re
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from mmkd.compat.import_hooks import after_import
from mmkd.compat.literal_config import literal_config

if TYPE_CHECKING:
    from mmengine.hooks import CheckpointHook
    from mmengine.runner import Runner


class _WithoutConfig(ModuleType):
    """``mmengine``, whose ``Config`` finds nothing in the text of a checkpoint.

    MMEngine looks there for ``gpu_ids``, a setting that only MMCV 1 had.
    """

    Config = SimpleNamespace(fromstring=lambda *_, **__: {})

    def __getattr__(self, name: str) -> Any:
        import mmengine

        return getattr(mmengine, name)


def _parse_nothing(runner: ModuleType) -> None:
    runner.mmengine = _WithoutConfig('mmengine')  # type: ignore[attr-defined]


def _read_literals(runtime_info: ModuleType) -> None:
    """MMRazor asks for the work directory of a config that a checkpoint may have brought."""

    def fromstring(text: str, _: str) -> dict[str, Any]:
        return literal_config(text)

    runtime_info.Config = SimpleNamespace(fromstring=fromstring)  # type: ignore[attr-defined]


def _infer_from_literals(infer: ModuleType) -> None:
    """An inferencer that gets weights alone reads its config from them."""
    stock = infer.BaseInferencer._init_model

    @functools.wraps(stock)
    def init_model(self, cfg, weights, device='cpu'):
        if not cfg and weights is not None:
            checkpoint = infer._load_checkpoint(weights, map_location='cpu')
            log = checkpoint.get('message_hub', {}).get('runtime_info', {})
            text = log.get('cfg') or checkpoint.get('meta', {}).get('cfg')
            if not isinstance(text, str):
                raise ValueError(f'model: {weights} has no config; give one')
            cfg.update(literal_config(text))
        return stock(self, cfg, weights, device)

    infer.BaseInferencer._init_model = init_model


def _compare_with_run(runner: ModuleType) -> None:
    """Check all of a checkpoint when a run resumes, and name the file when it loads weights."""
    stock = runner.Runner.resume

    @functools.wraps(stock)
    def resume(
        self: 'Runner',
        filename: str,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location: Any = 'default',
    ) -> None:
        self.resumed_from = filename
        self._checks = {'optimizer': resume_optimizer, 'schedulers': resume_param_scheduler}
        try:
            stock(self, filename, resume_optimizer, resume_param_scheduler, map_location)
        finally:
            self._checks = None

    def load_checkpoint(
        self: 'Runner',
        filename: str,
        map_location: Any = 'cpu',
        strict: bool = False,
        revise_keys: Any = ((r'^module\.', ''),),
    ) -> dict:
        from mmkd.models.model_wrapper import unwrap_model
        from mmkd.storage import checkpoint as storage
        from mmkd.storage.resumed_state import check_resumed

        checkpoint = runner._load_checkpoint(filename, map_location=map_location)
        model = unwrap_model(self.model)
        if not isinstance(checkpoint, dict):
            kind = type(checkpoint).__name__
            raise ValueError(f'checkpoint: expected a dict in {filename}, got {kind}')
        if getattr(self, '_checks', None) is not None:
            check_resumed(self, model, checkpoint, filename, **self._checks)
            # The text of a config stays that of this run.
            checkpoint['message_hub']['runtime_info'].pop('cfg', None)
        else:
            checkpoint.setdefault('state_dict', storage.state_dict_of(checkpoint, filename))
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        try:
            runner._load_checkpoint_to_model(model, checkpoint, strict, revise_keys=revise_keys)
        except storage.CheckpointMismatchError as error:
            raise storage.CheckpointMismatchError(f'load_from: {filename}: {error}') from error
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        return checkpoint

    runner.Runner.resume = resume
    runner.Runner.load_checkpoint = load_checkpoint


def _keep_teacher(runner: ModuleType) -> None:
    """Save what a model says about itself, such as who its teacher is, with each checkpoint."""
    stock = runner.Runner.save_checkpoint

    @functools.wraps(stock)
    def save_checkpoint(self, out_dir, filename, *args, meta=None, **kwargs):
        from mmkd.models.model_wrapper import unwrap_model

        about: dict[str, str] = getattr(unwrap_model(self.model), 'checkpoint_meta', dict)()
        stock(self, out_dir, filename, *args, meta={**(meta or {}), **about}, **kwargs)

    runner.Runner.save_checkpoint = save_checkpoint


def _delete_own_files(checkpoint_hook: ModuleType) -> None:
    stock = checkpoint_hook.CheckpointHook.before_train

    @functools.wraps(stock)
    def before_train(self: 'CheckpointHook', runner: 'Runner') -> None:
        _forget_foreign_files(self, runner)
        stock(self, runner)

    checkpoint_hook.CheckpointHook.before_train = before_train


def _forget_foreign_files(hook: 'CheckpointHook', runner: 'Runner') -> None:
    """Keep, of the files that a checkpoint names, those that this hook wrote into its folder.

    The hook deletes such files when better or newer ones are there. A run that resumed from
    another's checkpoint owns none. A path in a checkpoint counts by its last part alone, so a run
    in a moved folder finds its files.
    """
    from mmkd.storage.state_kinds import is_number

    source = getattr(runner, 'resumed_from', None)
    if source is None:
        return
    folder = hook.out_dir or runner.work_dir
    if folder != runner.work_dir:
        folder = osp.join(folder, osp.basename(runner.work_dir.rstrip(osp.sep)))
    own_run = osp.realpath(osp.dirname(source)) == osp.realpath(folder)
    if own_run:  # a better evaluation is saved into it, as in a run that was not interrupted
        hook.last_ckpt = osp.join(folder, osp.basename(source))
    tmpl = hook.filename_tmpl
    start, _, end = (re.escape(part) for part in re.split(r'(\{.*\})', tmpl, maxsplit=1))
    pattern = re.compile(f'best_.+_{start}\\d+{end}'.replace('/', '_'))
    info = runner.message_hub.runtime_info
    for key in [key for key in info if key.startswith('best_ckpt')]:
        path = info.pop(key)
        name = osp.basename(path) if isinstance(path, str) else ''
        if own_run and pattern.fullmatch(name) and osp.exists(osp.join(folder, name)):
            info[key] = osp.join(folder, name)
        else:
            runner.logger.info(f'resume: {path} is not a file of this run; it stays as it is')
    for key in [key for key in info if key.startswith('best_score')]:
        if not is_number(info[key]):
            runner.logger.warning(f'resume: {key} is {info.pop(key)!r:.60}: choosing the best anew')
    steps = info.pop('keep_ckpt_ids', None)
    if own_run and isinstance(steps, list):
        info['keep_ckpt_ids'] = [step for step in steps if type(step) is int]


def apply() -> None:
    """Patch MMEngine's runners, its checkpoint hook and its inferencers, and MMRazor."""
    for patch in (_parse_nothing, _compare_with_run, _keep_teacher):
        after_import('mmengine.runner.runner', patch)
    after_import('mmengine.runner._flexible_runner', _parse_nothing)
    after_import('mmengine.hooks.checkpoint_hook', _delete_own_files)
    after_import('mmengine.infer.infer', _infer_from_literals)
    after_import('mmrazor.utils.runtime_info', _read_literals)
