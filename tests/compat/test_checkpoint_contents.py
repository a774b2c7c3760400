"""What a checkpoint says is data: it runs nothing, deletes nothing and has to fit the run."""

import copy
from pathlib import Path
from typing import ClassVar

import mmkd  # noqa: F401  # isort: skip  (before MMEngine is imported)
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.infer import BaseInferencer
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import nn

from mmkd.compat.literal_config import literal_config
from mmkd.storage.checkpoint import CheckpointMismatchError


@pytest.fixture(scope='module', autouse=True)
def _scope():
    """A run leaves its scope as the default: not beyond this module."""
    with DefaultScope.overwrite_default_scope('mmengine'):
        yield


class Toy(BaseModel):
    def __init__(self, width=3, teacher=None):
        super().__init__()
        self.linear = nn.Linear(width, 1)
        self.norm = nn.BatchNorm1d(width)
        self.teacher = teacher

    def forward(self, inputs, data_samples=None, mode='tensor'):
        if mode == 'predict':
            return data_samples
        return {'loss': self.linear(self.norm(torch.stack(inputs))).square().mean()}

    def checkpoint_meta(self):
        return {'teacher': self.teacher} if self.teacher else {}


class Rising(BaseMetric):
    """A score that gets better with each evaluation."""

    score = 0

    def process(self, data_batch, data_samples):
        self.results.append(None)

    def compute_metrics(self, results):
        Rising.score += 1
        return {'score': Rising.score}


def runner(folder, model=None, *, epochs=1, hook=None, ema=False, **options):
    """A run of some epochs of two steps, which keeps the best checkpoint."""
    torch.manual_seed(0)
    samples = [
        {'inputs': torch.full((3,), i / 4), 'data_samples': BaseDataElement()} for i in range(4)
    ]
    loader = {'batch_size': 2, 'dataset': samples, 'sampler': {'type': 'DefaultSampler'}}
    return Runner(
        **{
            'model': model or Toy(),
            'work_dir': str(folder),
            'train_dataloader': copy.copy(loader),
            'train_cfg': {'by_epoch': True, 'max_epochs': epochs},
            'val_dataloader': copy.copy(loader),
            'val_cfg': {},
            'val_evaluator': Evaluator([Rising()]),
            'optim_wrapper': {'optimizer': {'type': 'AdamW', 'lr': 0.01}},
            'param_scheduler': [{'type': 'MultiStepLR', 'milestones': [1, 3]}],
            'default_hooks': {
                'checkpoint': {'type': 'CheckpointHook', 'save_best': 'score', 'rule': 'greater'}
                | (hook or {})
            },
            'custom_hooks': [{'type': 'EMAHook'}] if ema else [],
            'randomness': {'seed': 0},
            'default_scope': 'mmengine',
            'log_level': 'WARNING',
            'experiment_name': f'{folder}{len(MessageHub._instance_dict)}',  # hubs live for ever
        }
        | options
    )


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """The folder of a run of one epoch."""
    folder = tmp_path_factory.mktemp('finished')
    runner(folder).train()
    return folder


@pytest.fixture(scope='module')
def averaged(tmp_path_factory):
    """The checkpoint of a run with an average of its weights."""
    folder = tmp_path_factory.mktemp('averaged')
    runner(folder, ema=True).train()
    return folder / 'epoch_1.pth'


@pytest.fixture
def changed(finished, tmp_path):
    """Writes the finished run's checkpoint with a change."""

    def write(change):
        checkpoint = torch.load(finished / 'epoch_1.pth', weights_only=True)
        change(checkpoint)
        path = tmp_path / 'changed' / 'epoch_1.pth'
        path.parent.mkdir(exist_ok=True)
        torch.save(checkpoint, path)
        return path

    return write


def resume(path, folder, model=None, **options):
    run = runner(folder, model, epochs=2, resume=True, load_from=str(path), **options)
    run.train()
    return run


PAYLOAD = "import os\nos.mkdir({!r})\nwork_dir = 'x'\n"


@pytest.mark.parametrize(
    'place', ['meta.config', 'meta.cfg', 'meta.seed', 'meta.epoch', 'info.cfg', 'info.work_dir']
)
def test_text_in_a_checkpoint_is_not_run(changed, tmp_path, place):
    witness = tmp_path / 'executed'
    text = PAYLOAD.format(str(witness))
    part, key = place.split('.')

    def change(checkpoint):
        parts = {'meta': checkpoint['meta'], 'info': checkpoint['message_hub']['runtime_info']}
        parts[part][key] = text

    path = changed(change)
    if key in ('seed', 'epoch'):
        with pytest.raises(ValueError, match=f'meta.{key}'):
            resume(path, tmp_path / 'run')
    else:
        run = resume(path, tmp_path / 'run')
        assert run.epoch == 2
        assert text not in run.message_hub.get_info('cfg')
    assert not witness.exists()


def test_mmrazor_reads_a_hubs_config_as_literals(tmp_path):
    from mmrazor.utils import RuntimeInfo

    hub = MessageHub.get_instance(f'{tmp_path}')
    hub.update_info('cfg', "model = dict(type='A')\nwork_dir = 'here'\n")
    assert RuntimeInfo.work_dir() == 'here'
    hub.update_info('cfg', PAYLOAD.format(str(tmp_path / 'executed')))
    with pytest.raises(ValueError, match='got code, which is not run'):
        RuntimeInfo.work_dir()
    assert not (tmp_path / 'executed').exists()


class Inferencer(BaseInferencer):
    preprocess_kwargs: ClassVar = set()
    forward_kwargs: ClassVar = set()
    visualize_kwargs: ClassVar = set()
    postprocess_kwargs: ClassVar = set()

    def _init_pipeline(self, cfg):
        return None

    def visualize(self, *_):
        """Nothing."""

    postprocess = visualize


def test_an_inferencer_runs_no_text_of_its_weights(tmp_path):
    text = PAYLOAD.format(str(tmp_path / 'executed'))
    torch.save({'state_dict': {}, 'meta': {'cfg': text}}, tmp_path / 'evil.pth')
    with pytest.raises(ValueError, match='got code, which is not run'):
        Inferencer(weights=str(tmp_path / 'evil.pth'), scope='mmengine')
    assert not (tmp_path / 'executed').exists()


def test_a_config_as_mmengine_writes_it_is_read():
    import mmdet

    source = Path(mmdet.__file__).parent / '.mim/configs/gfl/gfl_r50_fpn_1x_coco.py'
    cfg = Config.fromfile(source)
    assert Config(literal_config(cfg.pretty_text)).to_dict() == cfg.to_dict()


@pytest.mark.parametrize(
    'text',
    [
        "a = __import__('os')",
        'import os',
        "a = dict(b=open('x'))",
        'a = [i for i in ()]',
        'a = dict(**b)',
        "a = f'{b}'",
        'a.b = 1',
        'a = b',
        'a = (lambda: 1)()',
        'def f(): pass',
        '(' * 500,
        'a = \0',
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match='got code, which is not run'):
        literal_config(text)


def files(folder):
    return {path.name for path in folder.glob('*.pth')}


def test_another_runs_best_checkpoint_stays(finished, tmp_path):
    before = files(finished)
    assert 'best_score_epoch_1.pth' in before
    resume(finished / 'epoch_1.pth', tmp_path / 'run')
    assert files(finished) == before
    assert files(tmp_path / 'run') == {'epoch_2.pth', 'best_score_epoch_2.pth'}


def test_the_runs_own_best_checkpoint_is_replaced(tmp_path):
    runner(tmp_path).train()
    runner(tmp_path, epochs=2, resume=True).train()
    assert files(tmp_path) == {'epoch_1.pth', 'epoch_2.pth', 'best_score_epoch_2.pth'}


def test_a_moved_run_replaces_its_own_best_checkpoint(tmp_path):
    old, new = tmp_path / 'old', tmp_path / 'new'
    runner(old).train()
    old.rename(new)
    resume(new / 'epoch_1.pth', new)
    assert files(new) == {'epoch_1.pth', 'epoch_2.pth', 'best_score_epoch_2.pth'}


@pytest.mark.parametrize(
    ('crafted', 'hook'),
    [
        ('{outside}', 'CheckpointHook'),
        ('{outside}', 'mmkd.AtomicCheckpointHook'),
        ('{run}/../outside/best_score_epoch_1.pth', 'CheckpointHook'),
        ('{run}/link/best_score_epoch_1.pth', 'CheckpointHook'),
        ('{run}/thesis.txt', 'CheckpointHook'),
        ('{run}/thesis.txt', 'mmkd.AtomicCheckpointHook'),
        ('{run}/epoch_1.pth', 'CheckpointHook'),
        ('thesis.txt', 'CheckpointHook'),
        ('\0', 'CheckpointHook'),
        (7, 'CheckpointHook'),
    ],
)
def test_a_crafted_path_deletes_nothing(tmp_path, crafted, hook):
    run, outside = tmp_path / 'run', tmp_path / 'outside'
    runner(run).train()
    outside.mkdir()
    (outside / 'best_score_epoch_1.pth').write_text('mine')
    (run / 'best_score_epoch_1.pth').unlink()
    (run / 'thesis.txt').write_text('mine')
    (run / 'link').symlink_to(outside)
    if isinstance(crafted, str):
        crafted = crafted.format(outside=outside / 'best_score_epoch_1.pth', run=run)
    checkpoint = torch.load(run / 'epoch_1.pth', weights_only=True)
    info = checkpoint['message_hub']['runtime_info']
    info['best_ckpt'] = info['last_ckpt'] = crafted
    info['keep_ckpt_ids'] = ['../thesis', '/../thesis', 1.5, None, [1]]
    torch.save(checkpoint, run / 'epoch_1.pth')
    options = {'type': hook, 'max_keep_ckpts': 1, 'filename_tmpl': 'epoch_{}.pth'}
    resume(run / 'epoch_1.pth', run, hook=options)
    assert (outside / 'best_score_epoch_1.pth').read_text() == 'mine'
    assert (run / 'thesis.txt').read_text() == 'mine'
    assert files(run) == {'epoch_1.pth', 'epoch_2.pth', 'best_score_epoch_2.pth'}


def drop(*path):
    def change(checkpoint):
        for key in path[:-1]:
            checkpoint = checkpoint[key]
        del checkpoint[path[-1]]

    return change


def put(*path):
    def change(checkpoint):
        for key in path[:-2]:
            checkpoint = checkpoint[key]
        checkpoint[path[-2]] = path[-1]

    return change


NAN = float('nan')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (drop('meta'), r"has no \['meta'\]"),
        (drop('message_hub'), r"has no \['message_hub'\]"),
        (drop('meta', 'iter'), r'a count as meta\.iter'),
        (put('meta', 'epoch', -1), r'a count as meta\.epoch .* got -1'),
        (put('meta', 'epoch', True), r'a count as meta\.epoch .* got True'),
        (put('message_hub', 'log_scalars', []), r'message_hub\.log_scalars'),
        (drop('state_dict', 'linear.weight'), r'missing in the file \(1\):\n  linear\.weight'),
        (drop('state_dict', 'norm.running_var'), r'missing in the file \(1\):\n  norm\.running'),
        (put('state_dict', 'extra', torch.zeros(1)), r'not in the model \(1\):\n  extra'),
        (put('state_dict', 'linear.bias', torch.zeros(2)), r'of another shape .*\n  linear\.bias'),
        (put('state_dict', 'linear.bias', torch.zeros(1).half()), r'linear\.bias: .*float16'),
        (put('state_dict', 'linear.bias', torch.full((1,), NAN)), r'got NaN'),
        (put('state_dict', 'linear.bias', torch.full((1,), float('inf'))), r'infin'),
        (put('state_dict', 5, torch.zeros(1)), r'expected a state dict of tensors'),
        (put('state_dict', {}), r'its state dict is empty'),
        (drop('optimizer'), r'optimizer \(1\):\n  missing in the file'),
        (put('optimizer', {}), r'expected param_groups and state'),
        (put('optimizer', 'param_groups', []), r'param_groups: the run has 1, the file 0'),
        (put('optimizer', 'param_groups', 0, 'params', [0]), r'has 4 parameters, the file 1'),
        (put('optimizer', 'state', 0, 'exp_avg', torch.zeros(2)), r'state\.0\.exp_avg: the run'),
        (put('optimizer', 'state', 9, {}), r'state\.9: of no parameter'),
        (drop('param_schedulers'), r'param_schedulers \(1\):\n  missing'),
        (put('param_schedulers', []), r'count: the run has 1, the file 0'),
        (drop('param_schedulers', 0, 'milestones'), r"0: MultiStepLR needs \['milestones'\]"),
        (put('ema_state_dict', {}), r'the run has no EMAHook'),
        (put('ema_state_dict', [1]), r'the run has no EMAHook'),
        (put('optimizer', 'state', None), r'state: expected a dict, got None'),
        (put('optimizer', 'state', 0, 'text'), r'state\.0: a dict, got'),
        (put('optimizer', 'state', 0, 'step', 'text'), r'state\.0\.step: the run has 0'),
        (put('optimizer', 'param_groups', 5), r'param_groups: expected a list, got 5'),
        (put('optimizer', 'param_groups', [5]), r'param_groups\.0: expected a dict with'),
        (put('optimizer', 'param_groups', 0, 'lr', 'text'), r"\.lr: the run has .*'text'"),
        (put('optimizer', 'param_groups', 0, 'lr', NAN), r'param_groups\.0\.lr: NaN'),
        (drop('optimizer', 'param_groups', 0, 'betas'), r"AdamW has \['betas'\]"),
        (put('param_schedulers', [None]), r'expected a list of dicts, got \[None\]'),
        (put('param_schedulers', 0, 'last_step', None), r'0\.last_step: the run has'),
        (put('param_schedulers', 0, 'param_name', 'x'), r"0\.param_name: the file has 'x'"),
        (put('message_hub', 'resumed_keys', 'iter', 'x'), r'resumed_keys\.iter .* got .x'),
        (put('state_dict', 'linear.bias', torch.zeros(1).to_sparse()), r'layout torch\.sparse'),
        (put('state_dict', 'linear.bias', torch.zeros(1, device='meta')), r'without values'),
        (put('meta', 'teacher', 'xyz'), None),  # a run without a teacher does not ask
    ],
)
def test_all_of_a_resumed_checkpoint_has_to_fit(changed, tmp_path, change, message):
    path = changed(change)
    if message is None:
        resume(path, tmp_path / 'run')
        return
    with pytest.raises(ValueError, match=message) as error:
        resume(path, tmp_path / 'run')
    assert str(path) in str(error.value)


def test_nan_in_the_optimizer(changed, tmp_path):
    nan = torch.full((1, 3), NAN)
    path = changed(put('optimizer', 'state', 0, 'exp_avg', nan))
    with pytest.raises(ValueError, match=r'state\.0\.exp_avg: NaN'):
        resume(path, tmp_path / 'run')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'optim_wrapper': {'optimizer': {'type': 'SGD', 'lr': 0.1}}}, 'SGD has .*momentum'),
        ({'param_scheduler': {'type': 'CosineAnnealingLR', 'T_max': 4}}, 'CosineAnn.* needs'),
        ({'ema': True}, 'the file has no ema_state_dict'),
        ({'model': Toy(4)}, 'of another shape'),
        ({'model': nn.Sequential}, 'another model'),
    ],
)
def test_another_run_is_told(finished, tmp_path, options, message):
    if options.get('model') is nn.Sequential:
        other = Toy()
        other.other, other.linear, other.norm = nn.Linear(3, 1), None, None
        options = {'model': other}
    with pytest.raises(CheckpointMismatchError, match=message):
        resume(finished / 'epoch_1.pth', tmp_path / 'run', **options)


def test_the_average_has_to_be_whole(averaged, tmp_path):
    resume(averaged, tmp_path / 'fits', ema=True)
    with pytest.raises(CheckpointMismatchError, match='the run has no EMAHook'):
        resume(averaged, tmp_path / 'none')
    checkpoint = torch.load(averaged, weights_only=True)
    del checkpoint['ema_state_dict']['module.linear.bias']
    torch.save(checkpoint, tmp_path / 'epoch_1.pth')
    with pytest.raises(CheckpointMismatchError, match=r'module\.linear\.bias: missing'):
        resume(tmp_path / 'epoch_1.pth', tmp_path / 'part', ema=True)


def test_settings_that_the_checkpoint_overrides_are_told(finished, tmp_path, capsys):
    options = {
        'optim_wrapper': {'optimizer': {'type': 'AdamW', 'lr': 0.01, 'weight_decay': 0.5}},
        'param_scheduler': [{'type': 'MultiStepLR', 'milestones': [2]}],
    }
    resume(finished / 'epoch_1.pth', tmp_path, **options)
    text = capsys.readouterr().out
    assert 'weight_decay=0.01 (the config has 0.5)' in text
    assert 'milestones=Counter({1: 1, 3: 1}) (the config has Counter({2: 1}))' in text


def test_a_best_score_that_is_no_number_is_dropped(changed, tmp_path):
    path = changed(put('message_hub', 'runtime_info', 'best_score', 'text'))
    resume(path, tmp_path / 'run')
    assert (tmp_path / 'run/best_score_epoch_2.pth').exists()


def test_another_teacher_is_named(tmp_path):
    runner(tmp_path / 'a', Toy(teacher='one')).train()
    path = tmp_path / 'a/epoch_1.pth'
    resume(path, tmp_path / 'b', Toy(teacher='one'))
    with pytest.raises(CheckpointMismatchError, match=r"run's teacher is two, the check.* one"):
        resume(path, tmp_path / 'c', Toy(teacher='two'))


def test_a_checkpoint_from_before_teachers_were_saved_passes(finished, tmp_path):
    assert resume(finished / 'epoch_1.pth', tmp_path, Toy(teacher='one')).epoch == 2


def test_a_best_checkpoint_has_no_optimizer(finished, tmp_path):
    with pytest.raises(CheckpointMismatchError, match=r'best_\* checkpoints have none'):
        resume(finished / 'best_score_epoch_1.pth', tmp_path)


def test_a_flipped_bit_is_noticed(finished, tmp_path):
    content = bytearray((finished / 'epoch_1.pth').read_bytes())
    weights = torch.load(finished / 'epoch_1.pth', weights_only=True)['state_dict']
    place = content.index(weights['linear.weight'].numpy().tobytes())
    content[place + 3] ^= 0x40
    (tmp_path / 'epoch_1.pth').write_bytes(content)
    with pytest.raises(ValueError, match='is damaged, the checksum'):
        resume(tmp_path / 'epoch_1.pth', tmp_path / 'run')


def load_from(state_dict, folder, model=None):
    folder.mkdir(exist_ok=True)
    torch.save({'state_dict': state_dict}, folder / 'weights.pth')
    run = runner(folder, model, load_from=str(folder / 'weights.pth'))
    run.load_or_resume()
    return run


@pytest.mark.parametrize(
    ('prefix', 'message'),
    [('other.', 'another model'), ('architecture.', 'export its student first')],
)
def test_load_from_that_matches_nothing_stops(tmp_path, prefix, message):
    state_dict = {prefix + name: value for name, value in Toy().state_dict().items()}
    place = r'load_from: .*weights\.pth[\s\S]*'
    with pytest.raises(CheckpointMismatchError, match=place + message):
        load_from(state_dict, tmp_path)


def test_load_from_that_matches_little_warns(tmp_path):
    load_from({'linear.bias': torch.ones(1)}, tmp_path)
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert 'only 1 of the 6 tensors of Toy are in the file' in log


def test_load_from_of_most_tensors_is_quiet(tmp_path):
    state_dict = Toy().state_dict()
    state_dict['linear.weight'] = torch.zeros(9, 3)  # a head of other classes
    load_from(state_dict, tmp_path)
    assert 'only' not in next(tmp_path.glob('*/*.log')).read_text()


def test_a_pretrained_part_that_matches_nothing_stops(tmp_path):
    torch.save({'other.weight': torch.zeros(1)}, tmp_path / 'w.pth')
    init = {'type': 'Pretrained', 'checkpoint': str(tmp_path / 'w.pth')}
    model = Toy()
    model.init_cfg = init
    with pytest.raises(CheckpointMismatchError, match=r'w\.pth: .*none of its 1 tensors fits T'):
        model.init_weights()
