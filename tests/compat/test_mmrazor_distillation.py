"""MMRazor's distillers, algorithms, validation loops and hook under the current stack."""

import mmkd  # noqa: F401  # isort: skip  (makes MMRazor importable)
import os

import mmrazor.engine  # noqa: F401  (registers loops, hooks, constructors)
import pytest
import torch
import torch.distributed as dist
from mmdet.testing import demo_mm_inputs
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.hub import get_config
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from mmrazor.models.losses import KLDivergence
from mmrazor.registry import MODELS
from scipy.stats import truncnorm
from torch import multiprocessing, nn
from torch.utils.data import Dataset

CLASSES = 3


@pytest.fixture(autouse=True)
def _seed_and_scope():
    """Names without a scope are MMRazor's, whatever runs have come before."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmrazor'):
        yield


def classifier(width):
    return {
        '_scope_': 'mmcls',  # as MMRazor's own configs say
        'type': 'ImageClassifier',
        'backbone': {
            'type': 'ResNet_CIFAR',
            'depth': 18,
            'stem_channels': width,
            'base_channels': width,
        },
        'neck': {'type': 'GlobalAveragePooling'},
        'head': {'type': 'LinearClsHead', 'num_classes': CLASSES, 'in_channels': 8 * width},
        'data_preprocessor': {'type': 'ClsDataPreprocessor', 'mean': [127.5], 'std': [127.5]},
    }


class Images(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        image = torch.randint(0, 256, (3, 32, 32), generator=generator, dtype=torch.uint8)
        return {'inputs': image, 'data_samples': DataSample().set_gt_label(index % CLASSES)}


def batch(size=4):
    items = [Images()[index] for index in range(size)]
    return {key: [item[key] for item in items] for key in ('inputs', 'data_samples')}


LOGITS = {'fc': {'type': 'ModuleOutputs', 'source': 'head.fc'}}
KL = {
    'type': 'ConfigurableDistiller',
    'student_recorders': LOGITS,
    'teacher_recorders': LOGITS,
    'distill_losses': {'loss_kl': {'type': 'KLDivergence', 'tau': 2.0, 'loss_weight': 3.0}},
    'loss_forward_mappings': {
        'loss_kl': {
            'preds_S': {'from_student': True, 'recorder': 'fc'},
            'preds_T': {'from_student': False, 'recorder': 'fc'},
        }
    },
}


def single_teacher(**changes):
    return {
        'type': 'SingleTeacherDistill',
        'architecture': classifier(4),
        'teacher': classifier(8),
        'distiller': KL,
        **changes,
    }


def build(cfg):
    model = MODELS.build(cfg)
    model.init_weights()
    model.train()  # returns nothing where a teacher stays in eval mode
    return model


def step(model, data, lr=0.1):
    """One training step; returns its log and which parameters it has changed."""
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    parameters = [value for value in model.parameters() if value.requires_grad]
    log = model.train_step(data, OptimWrapper(torch.optim.SGD(parameters, lr=lr)))
    changed = {n for n, value in model.named_parameters() if not torch.equal(value, before[n])}
    assert all(value.isfinite().all() for value in model.parameters())
    return log, changed


def rooms(names):
    """The first parts of parameter names: which sub-modules they belong to."""
    return {name.partition('.')[0] for name in names}


# --- Distillers ---------------------------------------------------------------------------------


class Noisy(BaseModel):
    """Shifts its output by what ``noise`` says, a new number at each call."""

    calls = 0

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2, bias=False)

    def noise(self):
        Noisy.calls += 1
        return float(Noisy.calls)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        output = self.linear(inputs) + self.noise()
        return {'loss': output.mean()} if mode == 'loss' else output


def mimic(**changes):
    record = {'linear': {'type': 'ModuleOutputs', 'source': 'linear'}}
    return {
        'type': 'ConfigurableDistiller',
        'student_recorders': record,
        'teacher_recorders': record,
        'distill_losses': {'loss_l1': {'type': 'L1Loss'}},
        'connectors': {
            'chain': [
                {'type': 'TorchNNConnector', 'module_name': 'ReLU', 'module_args': {}},
                {
                    'type': 'TorchNNConnector',
                    'module_name': 'Linear',
                    'module_args': {'in_features': 2, 'out_features': 2},
                },
            ]
        },
        'loss_forward_mappings': {
            'loss_l1': {
                's_feature': {'from_student': True, 'recorder': 'linear', 'connector': 'chain'},
                't_feature': {'from_student': False, 'recorder': 'linear'},
            }
        },
        **changes,
    }


def distill_noisy(**changes):
    return build(
        {
            'type': 'SingleTeacherDistill',
            'architecture': Noisy(),
            'teacher': Noisy(),
            'distiller': mimic(**changes),
        }
    )


def test_configurable_distiller_applies_connectors_and_loss():
    model = distill_noisy()
    x = torch.randn(3, 2)
    found = model.loss(x)
    assert found.keys() == {'student.loss', 'distill.loss_l1'}
    student = model.distiller.connectors['chain'](model.student.linear(x))
    expected = (student - model.teacher.linear(x)).abs().mean()
    torch.testing.assert_close(found['distill.loss_l1'], expected)


def test_delivery_gives_the_student_what_the_teacher_got():
    method = f'{__name__}.Noisy.noise'
    delivery = {'noise': {'type': 'MethodOutputs', 'method_path': method, 'max_keep_data': 1}}
    x = torch.zeros(1, 2)
    assert distill_noisy().loss(x)['student.loss'] == Noisy.calls  # its own, later number
    delivered = distill_noisy(distill_deliveries=delivery)
    before = Noisy.calls
    assert delivered.loss(x)['student.loss'] == before + 1
    assert Noisy.calls == before + 1  # the student has asked for none


@pytest.mark.parametrize(
    ('mapping', 'message'),
    [
        ({'loss_l2': {}}, '"loss_l2" is not in distill losses'),
        ({'loss_l1': {'student': {}}}, 'student is not in the signature'),
        ({'loss_l1': {'s_feature': {'recorder': 'linear'}}}, '"from_student"'),
        ({'loss_l1': {'s_feature': {'recorder': 'neck', 'from_student': True}}}, '"neck" must be'),
    ],
)
def test_distiller_checks_its_mappings(mapping, message):
    with pytest.raises(AssertionError, match=message):
        MODELS.build(mimic(loss_forward_mappings=mapping))


# --- One teacher --------------------------------------------------------------------------------


def test_single_teacher_distill():
    model = build(single_teacher())
    data = model.data_preprocessor(batch(), training=True)
    found = model(**data, mode='loss')
    assert found.keys() == {'student.loss', 'distill.loss_kl'}
    with torch.no_grad():
        student = model.student.head.fc(model.student.extract_feat(data['inputs'])[0])
        teacher = model.teacher.head.fc(model.teacher.extract_feat(data['inputs'])[0])
    expected = KLDivergence(tau=2.0, loss_weight=3.0)(student, teacher)
    torch.testing.assert_close(found['distill.loss_kl'].detach(), expected)


def test_single_teacher_distill_trains_the_student_alone():
    model = build(single_teacher())
    log, changed = step(model, batch())
    assert rooms(changed) == {'architecture'}
    assert torch.isclose(log['loss'], log['student.loss'] + log['distill.loss_kl'])
    assert not any(m.training for m in model.teacher.modules() if isinstance(m, nn.BatchNorm2d))


def test_teacher_checkpoint_is_loaded_and_kept(tmp_path):
    file = tmp_path / 'teacher.pth'
    weights = MODELS.build(classifier(8)).state_dict()
    torch.save({'state_dict': weights}, file)
    model = build(single_teacher(teacher_ckpt=str(file)))
    torch.testing.assert_close(model.teacher.state_dict(), weights, rtol=0, atol=0)


def detector(width):
    """A RetinaNet on a ResNet-18 of the given width, for three classes."""
    model = get_config('mmdet::retinanet/retinanet_r18_fpn_1x_coco.py').model
    model.backbone.update(base_channels=width, init_cfg=None)
    model.neck.update(in_channels=[width, 2 * width, 4 * width, 8 * width], out_channels=16)
    head = {'num_classes': CLASSES, 'in_channels': 16, 'feat_channels': 16, 'stacked_convs': 1}
    model.bbox_head.update(head)
    return {**model, '_scope_': 'mmdet'}


PYRAMID = {'fpn': {'type': 'ModuleOutputs', 'source': 'neck'}}
PKD = {
    'type': 'ConfigurableDistiller',
    'student_recorders': PYRAMID,
    'teacher_recorders': PYRAMID,
    'distill_losses': {
        'loss_pkd': {'type': 'PKDLoss'},
        'loss_cwd': {'type': 'ChannelWiseDivergence'},
    },
    'loss_forward_mappings': {
        'loss_pkd': {
            'preds_S': {'from_student': True, 'recorder': 'fpn'},
            'preds_T': {'from_student': False, 'recorder': 'fpn'},
        },
        'loss_cwd': {
            'preds_S': {'from_student': True, 'recorder': 'fpn', 'data_idx': 1},
            'preds_T': {'from_student': False, 'recorder': 'fpn', 'data_idx': 1},
        },
    },
}


@pytest.mark.parametrize(
    ('algorithm', 'calls'), [('SingleTeacherDistill', 1), ('FpnTeacherDistill', 0)]
)
def test_distillation_of_a_detector(algorithm, calls):
    cfg = {
        'type': algorithm,
        'architecture': detector(4),
        'teacher': detector(8),
        'distiller': PKD,
    }
    model = build(cfg)
    heads = []
    model.teacher.bbox_head.register_forward_hook(lambda *args: heads.append(1))
    data = demo_mm_inputs(2, [[3, 96, 96]] * 2, num_items=[2, 1], num_classes=CLASSES)
    log, changed = step(model, data, lr=1e-3)
    assert rooms(changed) == {'architecture'}
    assert {'distill.loss_pkd', 'distill.loss_cwd', 'student.loss_bbox'} <= log.keys()
    assert 0 < log['distill.loss_pkd'] < 5  # 1 - r of each of the five levels
    assert len(heads) == calls  # FpnTeacherDistill does not run the teacher's head


BN = 'backbone.layer2.1.bn2'
OFD = {
    'type': 'OFDDistiller',
    'student_recorders': {'bn': {'type': 'ModuleOutputs', 'source': BN}},
    'teacher_recorders': {'bn': {'type': 'ModuleOutputs', 'source': BN}},
    'connectors': {
        'student': {
            'type': 'ConvModuleConnector',
            'in_channel': 8,
            'out_channel': 16,
            'norm_cfg': {'type': 'BN'},
            'act_cfg': None,
        },
        'teacher': {'type': 'OFDTeacherConnector'},
    },
    'distill_losses': {'loss_ofd': {'type': 'OFDLoss'}},
    'loss_forward_mappings': {
        'loss_ofd': {
            's_feature': {'from_student': True, 'recorder': 'bn', 'connector': 'student'},
            't_feature': {'from_student': False, 'recorder': 'bn', 'connector': 'teacher'},
        }
    },
}


def test_overhaul_of_feature_distillation():
    teacher = MODELS.build(classifier(8))
    norm = teacher.get_submodule(BN)
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    nn.init.uniform_(norm.bias, -0.5, 0.5)
    model = MODELS.build(
        {
            'type': 'OverhaulFeatureDistillation',
            'architecture': classifier(4),
            'teacher': teacher,
            'distiller': OFD,
        }
    )
    model.train()
    # The margin is the mean of the negative half of what the normalization puts out.
    mean, std = norm.bias.numpy(), norm.weight.numpy()
    expected = truncnorm(-float('inf'), -mean / std, loc=mean, scale=std).mean()
    margin = model.distiller.connectors['teacher'].margin
    torch.testing.assert_close(margin.flatten(), torch.tensor(expected, dtype=torch.float32))
    log, changed = step(model, batch())
    assert log['distill.loss_ofd'] > 0
    assert rooms(changed) == {'architecture', 'distiller'}


# --- No teacher, no data ------------------------------------------------------------------------

SELF = {
    'type': 'SelfDistill',
    'architecture': classifier(8),
    'distiller': {
        'type': 'BYOTDistiller',
        'student_recorders': {'early': {'type': 'ModuleOutputs', 'source': 'backbone.layer1'}},
        'teacher_recorders': LOGITS,
        'connectors': {
            'branch': {
                'type': 'BYOTConnector',
                'in_channel': 2,
                'out_channel': 16,
                'num_classes': CLASSES,
                'stride': 2,
            }
        },
        'distill_losses': {'loss_kl': {'type': 'KLDivergence', 'teacher_detach': False}},
        'loss_forward_mappings': {
            'loss_kl': {
                'preds_S': {
                    'from_student': True,
                    'recorder': 'early',
                    'connector': 'branch',
                    'connector_idx': 1,
                },
                'preds_T': {'from_student': False, 'recorder': 'fc'},
            }
        },
    },
}


def test_self_distill_trains_its_branch_from_a_detached_teacher():
    model = build(SELF)
    data = model.data_preprocessor(batch(), training=True)
    model(**data, mode='loss')['distill.loss_kl'].backward()
    assert model.student.head.fc.weight.grad is None  # it is the teacher here
    assert model.student.backbone.conv1.weight.grad.abs().sum() > 0
    log, changed = step(build(SELF), batch())
    assert log.keys() == {'loss', 'student.loss', 'distill.loss_kl'}
    assert rooms(changed) == {'architecture', 'distiller'}


def data_free(algorithm, generator, generator_distiller):
    return {
        'type': algorithm,
        'data_preprocessor': {'type': 'mmcls.ClsDataPreprocessor'},
        'architecture': classifier(4),
        'teachers': {'big': {'build_cfg': classifier(8)}},
        'generator': {'type': generator, 'img_size': 32, 'latent_dim': 6, 'hidden_channels': 4},
        'distiller': {
            **KL,
            'teacher_recorders': {'fc': {'type': 'ModuleOutputs', 'source': 'big.head.fc'}},
        },
        'generator_distiller': {
            'type': 'ConfigurableDistiller',
            'student_recorders': LOGITS,
            'teacher_recorders': {
                'fc': {'type': 'ModuleOutputs', 'source': 'big.head.fc'},
                'gap': {'type': 'ModuleOutputs', 'source': 'big.neck.gap'},
            },
            **generator_distiller,
        },
    }


ADVERSARIAL = {
    'distill_losses': {
        'loss_kl': {'type': 'KLDivergence', 'loss_weight': -2.0, 'teacher_detach': False}
    },
    'loss_forward_mappings': KL['loss_forward_mappings'],
}
DAFL = {
    'distill_losses': {
        'loss_one_hot': {'type': 'OnehotLikeLoss'},
        'loss_entropy': {'type': 'InformationEntropyLoss'},
        'loss_active': {'type': 'ActivationLoss'},
    },
    'loss_forward_mappings': {
        'loss_one_hot': {'preds_T': {'from_student': False, 'recorder': 'fc'}},
        'loss_entropy': {'preds_T': {'from_student': False, 'recorder': 'fc'}},
        'loss_active': {'feat_T': {'from_student': False, 'recorder': 'gap'}},
    },
}


@pytest.fixture
def one_process(monkeypatch, tmp_path):
    """As under ``torchrun --nproc-per-node 1``: these algorithms need a distributed wrapper."""
    monkeypatch.setattr(multiprocessing, 'set_start_method', lambda *args, **kwargs: None)
    monkeypatch.setattr(os, 'environ', os.environ.copy())
    os.environ |= {'RANK': '0', 'LOCAL_RANK': '0', 'WORLD_SIZE': '1'}
    yield {'dist_cfg': {'init_method': f'file://{tmp_path}/store', 'rank': 0, 'world_size': 1}}
    dist.destroy_process_group()


@pytest.mark.skipif(torch.cuda.is_available(), reason='the wrapper would choose the accelerator')
@pytest.mark.parametrize(
    ('algorithm', 'generator', 'distiller'),
    [
        ('DataFreeDistillation', 'ZSKTGenerator', ADVERSARIAL),
        ('DAFLDataFreeDistillation', 'DAFLGenerator', DAFL),
    ],
)
def test_data_free_distillation(algorithm, generator, distiller, one_process, tmp_path):
    model = MODELS.build(data_free(algorithm, generator, distiller))
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimizer = {'optimizer': {'type': 'SGD', 'lr': 0.1}}
    runner = run(
        model,
        tmp_path,
        max_iters=1,
        launcher='pytorch',
        env_cfg=one_process,
        cfg={
            'model_wrapper_cfg': {
                'type': 'MMSeparateDistributedDataParallel',
                'find_unused_parameters': True,
            }
        },
        optim_wrapper={
            'constructor': 'mmrazor.SeparateOptimWrapperConstructor',
            'architecture': optimizer,
            'generator': optimizer,
        },
    )
    after = {name.replace('.module.', '.'): v for name, v in runner.model.module.named_parameters()}
    assert after.keys() == before.keys()
    assert all(value.isfinite().all() for value in after.values())
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert rooms(changed) == {'architecture', 'generator'}
    found = set(runner.message_hub.log_scalars)
    expected = {f'train/generator.{name}' for name in distiller['distill_losses']}
    assert {'train/distill.loss_kl', *expected} <= found


# --- Loops and hook -----------------------------------------------------------------------------


class MeanLabel(BaseMetric):
    """The mean predicted label."""

    default_prefix = 'toy'

    def process(self, data_batch, data_samples):
        self.results += [sample['pred_label'].item() for sample in data_samples]

    def compute_metrics(self, results):
        return {'label': sum(results) / len(results), 'samples': len(results)}


class KeepOutputs(Hook):
    """Keeps the keys of each training step's log."""

    def __init__(self):
        self.keys = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.keys.append(set(outputs))


def run(model, folder, **changes):
    """Train (and validate, if asked) by MMEngine's runner."""
    loader = {
        'batch_size': 4,
        'dataset': Images(),
        'sampler': {'type': 'DefaultSampler', 'shuffle': False},
        'collate_fn': {'type': 'pseudo_collate'},
    }
    val = {}
    if 'val_cfg' in changes:
        val = {'val_dataloader': loader, 'val_evaluator': Evaluator(MeanLabel())}
    max_iters = changes.pop('max_iters', None)
    by_iter = {'by_epoch': False, 'max_iters': max_iters, 'val_interval': 1}
    options = {
        'optim_wrapper': {'optimizer': {'type': 'SGD', 'lr': 0.01}},
        'train_cfg': by_iter if max_iters else {'by_epoch': True, 'max_epochs': 3},
        'default_hooks': {'checkpoint': None},
        'default_scope': 'mmrazor',
        'log_level': 'ERROR',
        'experiment_name': str(folder),
        **val,
        **changes,
    }
    runner = Runner(model=model, work_dir=str(folder), train_dataloader=loader, **options)
    runner.train()
    return runner


def test_stop_distill_hook(tmp_path):
    keep = KeepOutputs()
    stop = {'type': 'mmrazor.StopDistillHook', 'stop_epoch': 1}
    run(MODELS.build(single_teacher()), tmp_path, custom_hooks=[stop, keep])
    distilling = ['distill.loss_kl' in keys for keys in keep.keys]
    assert distilling == [True, True, False, False, False, False]  # two iterations an epoch
    assert all('student.loss' in keys for keys in keep.keys)


def predicted(model):
    """The metric over again, without the loop."""
    model.eval()
    labels = [model.val_step(batch(8))[i].pred_label.item() for i in range(8)]
    return sum(labels) / 8


VAL = [f'val/{who}toy/{what}' for who in ('', 'teacher.') for what in ('label', 'samples')]


def test_single_teacher_distill_val_loop(tmp_path):
    model = MODELS.build(single_teacher())
    val_cfg = {'type': 'mmrazor.SingleTeacherDistillValLoop'}
    runner = run(model, tmp_path, max_iters=1, val_cfg=val_cfg)
    metrics = {name: runner.message_hub.get_scalar(name).current() for name in VAL}
    assert metrics['val/toy/samples'] == metrics['val/teacher.toy/samples'] == 8
    assert metrics['val/toy/label'] == pytest.approx(predicted(model.student))
    assert metrics['val/teacher.toy/label'] == pytest.approx(predicted(model.teacher))


def test_self_distill_val_loop(tmp_path):
    model = MODELS.build(SELF)
    runner = run(model, tmp_path, max_iters=1, val_cfg={'type': 'mmrazor.SelfDistillValLoop'})
    found = runner.message_hub.get_scalar('val/student.toy/label').current()
    assert found == pytest.approx(predicted(model.student))
