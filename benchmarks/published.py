"""What the papers publish: pairs x methods, with settings and results.

Each row is one config. ``python benchmarks/make_configs.py`` writes the configs that follow from
their names, and the tables of results in ``configs/*/README.md``. A test compares every resolved
config with its row, so no setting can drift. ``benchmarks/cifar100.py`` takes its pairs and methods
from here.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

Losses = Mapping[str, Mapping[str, Any]]

# In place of milestones: the rate falls when the loss stalls, or along a cosine.
ALRS = 'ALRS'
COSINE = 'cosine'


class Schedule(NamedTuple):
    """How a paper trains.

    Attributes:
        base: The config in ``configs/_base_`` that holds it; None if the pair's does.
        gpus: Number of GPUs.
        images: Images on each GPU.
        lr: Initial learning rate.
        epochs: Epochs.
        milestones: Epochs after which the rate falls to a tenth, or ``ALRS`` or ``COSINE``.
        weight_decay: Weight decay.
        source: Where it is published.
    """

    base: str | None
    gpus: int
    images: int
    lr: float
    epochs: int
    milestones: tuple[int, ...] | str
    weight_decay: float
    source: str


SCHEDULES = {
    'cifar': Schedule(
        'cifar100_240e', 1, 64, 0.05, 240, (150, 180, 210), 5e-4, 'CMKD IV-A, DLKD VI-A, FKD F.5'
    ),
    'cifar mobile': Schedule(
        'cifar100_240e_lr0.01', 1, 64, 0.01, 240, (150, 180, 210), 5e-4, 'CMKD IV-A'
    ),
    # The paper's rate falls by ALRS. The milestones are those of the field.
    'cifar rcka': Schedule('cifar100_rcka', 1, 128, 0.1, 240, (150, 180, 210), 5e-4, 'RCKA App. B'),
    'cifar alrs': Schedule('cifar100_rcka_alrs', 1, 128, 0.1, 240, ALRS, 5e-4, 'RCKA App. B'),
    'cifar cckd': Schedule('cifar100_cckd', 1, 64, 0.1, 200, (80, 120, 160), 5e-4, 'CCKD 4.2'),
    'transfer': Schedule(None, 1, 64, 0.05, 160, (80, 120, 150), 5e-4, 'FKD F.4'),
    'in1k': Schedule('in1k_4xb64', 4, 64, 0.1, 100, (30, 60, 90), 1e-4, 'DLKD VI-A, RCKA 4.1'),
    'in1k 90e': Schedule('in1k_90e', 4, 64, 0.1, 90, (30, 60), 1e-4, 'FKD F.5'),
    'in1k cmkd': Schedule('in1k_4xb128', 4, 128, 0.2, 100, (30, 60, 90), 1e-4, 'CMKD IV-A'),
    'in1k alrs': Schedule('in1k_alrs', 4, 128, 0.1, 240, ALRS, 1e-4, 'RCKA App. B'),
    'in1k cckd': Schedule(None, 16, 64, 0.4, 150, (50, 80, 120), 5e-4, 'CCKD 4.3'),
    # Not in the paper: the students' own.
    'in1k deit': Schedule(None, 4, 256, 1e-3, 300, COSINE, 0.05, "MMPretrain's DeiT"),
    'coco': Schedule(None, 4, 3, 0.01, 24, (16, 22), 1e-4, 'PCKA App. B'),
    'coco two-stage': Schedule(None, 4, 3, 0.02, 24, (16, 22), 1e-4, 'PCKA App. B'),
}
MOBILE = ('mobilenetv2_half', 'shufflenetv1', 'shufflenetv2')

# Titles of teachers and students, by pair; configs/_base_/pairs has the networks.
PAIRS = {
    'resnet110_resnet20_cifar100': ('ResNet-110', 'ResNet-20'),
    'resnet110_resnet32_cifar100': ('ResNet-110', 'ResNet-32'),
    'wrn40_2_wrn40_1_cifar100': ('WRN-40-2', 'WRN-40-1'),
    'wrn40_2_wrn16_2_cifar100': ('WRN-40-2', 'WRN-16-2'),
    'resnet32x4_resnet8x4_cifar100': ('ResNet-32x4', 'ResNet-8x4'),
    'vgg13_vgg8_cifar100': ('VGG-13', 'VGG-8'),
    'wrn40_2_shufflenetv1_cifar100': ('WRN-40-2', 'ShuffleNetV1'),
    'resnet32x4_shufflenetv1_cifar100': ('ResNet-32x4', 'ShuffleNetV1'),
    'vgg13_mobilenetv2_half_cifar100': ('VGG-13', 'MobileNetV2 (half)'),
    'resnet56_resnet20_cifar100': ('ResNet-56', 'ResNet-20'),
    'resnet32x4_shufflenetv2_cifar100': ('ResNet-32x4', 'ShuffleNetV2'),
    'resnet50_mobilenetv2_half_cifar100': ('ResNet-50', 'MobileNetV2 (half)'),
    'wrn40_2_resnet8x4_cifar100': ('WRN-40-2', 'ResNet-8x4'),
    'resnet50_vgg8_cifar100': ('ResNet-50', 'VGG-8'),
    'resnet110_resnet14_cifar100': ('ResNet-110', 'ResNet-14'),
    'resnet20_resnet8_cifar100': ('ResNet-20', 'ResNet-8'),
    'resnet34_resnet18_in1k': ('ResNet-34', 'ResNet-18'),
    'resnet50_mobilenet-v1_in1k': ('ResNet-50', 'MobileNetV1'),
    'deit3-small_deit-tiny_in1k': ('DeiT III-S', 'DeiT-Ti'),
    'deit3-base_deit-small_in1k': ('DeiT III-B', 'DeiT-S'),
    'cascade_mask_rcnn_x101_faster_rcnn_r50_fpn_2x_coco': (
        'Cascade Mask R-CNN X101',
        'Faster R-CNN R50',
    ),
    'retinanet_x101_r50_fpn_2x_coco': ('RetinaNet X101', 'RetinaNet R50'),
    'fcos_r101_r50_fpn_2x_coco': ('FCOS R101', 'FCOS R50'),
    'gfl_r101_r50_fpn_2x_coco': ('GFL R101', 'GFL R50'),
    'faster_rcnn_r101_r50_fpn_2x_coco': ('Faster R-CNN R101', 'Faster R-CNN R50'),
    'retinanet_r101_r50_fpn_2x_coco': ('RetinaNet R101', 'RetinaNet R50'),
    'reppoints_x101_r50_fpn_2x_coco': ('RepPoints X101', 'RepPoints R50'),
    'cascade_mask_rcnn_x101_mask_rcnn_r50_fpn_2x_coco': (
        'Cascade Mask R-CNN X101',
        'Mask R-CNN R50',
    ),
}
CIFAR_PAIRS = tuple(pair for pair in PAIRS if pair.endswith('_cifar100'))
COCO_PAIRS = tuple(pair for pair in PAIRS if pair.endswith('_coco'))
# Column headers of the papers' tables.
PCKA_TABLES = COCO_PAIRS[:7]
RCKA_TABLE = CIFAR_PAIRS[:9]
CMKD_TABLES = (
    'resnet32x4_resnet8x4_cifar100',
    'resnet56_resnet20_cifar100',
    'resnet110_resnet32_cifar100',
    'wrn40_2_wrn40_1_cifar100',
    'wrn40_2_wrn16_2_cifar100',
    'vgg13_vgg8_cifar100',
    'resnet32x4_shufflenetv1_cifar100',
    'wrn40_2_shufflenetv1_cifar100',
    'resnet32x4_shufflenetv2_cifar100',
    'resnet50_mobilenetv2_half_cifar100',
    'vgg13_mobilenetv2_half_cifar100',
    'wrn40_2_resnet8x4_cifar100',
)
DLKD_TABLES = (
    'wrn40_2_wrn16_2_cifar100',
    'wrn40_2_wrn40_1_cifar100',
    'resnet56_resnet20_cifar100',
    'resnet32x4_resnet8x4_cifar100',
    'vgg13_vgg8_cifar100',
    'vgg13_mobilenetv2_half_cifar100',
    'resnet50_mobilenetv2_half_cifar100',
    'resnet50_vgg8_cifar100',
    'resnet32x4_shufflenetv1_cifar100',
    'resnet32x4_shufflenetv2_cifar100',
    'wrn40_2_shufflenetv1_cifar100',
)
VIT_PAIRS = ('deit3-small_deit-tiny_in1k', 'deit3-base_deit-small_in1k')
IN1K_PAIRS = ('resnet34_resnet18_in1k', 'resnet50_mobilenet-v1_in1k')


class Method(NamedTuple):
    """A method, or one of its ablations.

    Attributes:
        folder: Folder of its configs in ``configs``.
        title: How docstrings and tables call it.
        distiller: Distiller in ``configs/_base_/distillers``.
        losses: Published arguments of each loss, by its name.
        without: Losses of the distiller that it leaves out.
        update: Arguments that differ from the distiller's, by loss.
        model: Further settings of ``model``.
        paper: False for weights that no paper publishes.
    """

    folder: str
    title: str
    distiller: str
    losses: Losses
    without: tuple[str, ...] = ()
    update: Mapping[str, Mapping[str, Any]] = {}
    model: Mapping[str, Any] = {}
    paper: bool = True


def _updated(losses: Losses, update: Losses) -> Losses:
    return {name: {**losses.get(name, {}), **update.get(name, {})} for name in {**losses, **update}}


def _variant(method: Method, title: str, *without: str, **update: Mapping[str, Any]) -> Method:
    """An ablation: some losses fewer, or some arguments of losses changed."""
    kept = {name: arguments for name, arguments in method.losses.items() if name not in without}
    return method._replace(
        folder=f'{method.folder}/ablations',
        title=title,
        losses=_updated(kept, update),
        without=without,
        update=update,
    )


# RCKA 3.3 and App. B.
RCKA = Method(
    'rcka',
    'RCKA',
    'rcka',
    dict(
        rcka_features=dict(type='mmkd.FCKALoss', loss_weight=5.0),
        rcka_logits=dict(type='mmkd.LCKALoss', loss_weight=5.0),
    ),
)
# PCKA 3.4 and Tables 11 to 13; the released code compares four levels.
_PCKA = dict(type='mmkd.PCKALoss', loss_weight=10.0, center=False)
_PYRAMID = dict(_PCKA, patch_size=16, levels=(0, 1, 2, 3))
PCKA = Method('pcka', 'PCKA', 'pcka_pyramid', dict(pcka=_PYRAMID))
# The released code keeps patches of 16 however few there are. Its configs of some pairs add the
# term of exchanged rows and columns.
PCKA_RELEASED = _variant(PCKA, 'PCKA as released', pcka=dict(min_patches=1))._replace(folder='pcka')
_INTER = dict(pcka=dict(inter_weight=1.0))
# Table 14 gives neither patch size nor levels.
PCKA_CLASSIFIER = Method('pcka', 'PCKA', 'pcka_classifier', dict(pcka=dict(_PCKA, patch_size=4)))
# FKD F.6: the weights of VGG-13 and VGG-8; those of other pairs are not published.
FKD = Method(
    'fkd',
    'FKD',
    'fkd',
    dict(fkd=dict(type='mmkd.FKDLoss', kernel_weight=300.0, regularization_weight=20.0)),
)
# CMKD IV-A.
CMKD = Method(
    'cmkd',
    'CMKD',
    'cmkd',
    dict(cmkd=dict(type='mmkd.CMKDLoss', tau=4.0, primary_weight=4.0, secondary_weight=1.0)),
)
# DKD's own weights for most pairs; CMKD does not print those beside it.
_DKD = dict(type='DKDLoss', tau=4.0, alpha=1.0, beta=8.0)
CMKD_DKD = Method('cmkd', 'CMKD and DKD together', 'cmkd_dkd', dict(**CMKD.losses, dkd=_DKD))
# DLKD VI-A, and eq. 7 as printed.
DLKD = Method(
    'dlkd',
    'DLKD',
    'dlkd',
    dict(
        dlkd_align=dict(type='mmkd.DLKDAlignLoss', loss_weight=10.0),
        dlkd_corr=dict(type='mmkd.DLKDCorrLoss', loss_weight=20.0, tau=0.5),
        dlkd_sup=dict(type='mmkd.DLKDSupLoss', loss_weight=0.5, tau=0.07, candidates='both'),
    ),
    model=dict(views='rotations'),
)
# The weights of the released script for CIFAR-100.
DLKD_RELEASED = _variant(
    DLKD,
    'DLKD as released',
    dlkd_align=dict(loss_weight=20.0),
    dlkd_corr=dict(loss_weight=50.0),
    dlkd_sup=dict(loss_weight=1.0),
)._replace(folder='dlkd')


# MMRazor's and RepDistiller's weights; docs/methods/baselines.md says which.
def _baseline(name: str, title: str, losses: Losses, distiller: str | None = None) -> Method:
    return Method(f'baselines/{name}', title, distiller or name, losses, paper=False)


def _levels(name: str, count: int, **arguments: Any) -> Losses:
    return {f'{name}{level}': arguments for level in range(count)}


_DENSE = dict(type='mmkd.TopKLocationsLoss')
_DIST = dict(type='DISTLoss', inter_loss_weight=1.0, intra_loss_weight=1.0)

METHODS = {
    'rcka': RCKA,
    'rcka_alrs': RCKA,
    'rcka_vitkd': RCKA._replace(
        title='RCKA and ViTKD',
        distiller='rcka_vitkd',
        losses=dict(
            **RCKA.losses,
            vitkd_mimic0=dict(type='mmkd.ViTKDMimicLoss', loss_weight=3e-5),
            vitkd_mimic1=dict(type='mmkd.ViTKDMimicLoss', loss_weight=3e-5),
            vitkd_generation=dict(type='mmkd.ViTKDGenerationLoss', loss_weight=3e-6),
        ),
    ),
    'rcka_fcka': _variant(RCKA, 'FCKA alone', 'rcka_logits'),
    'rcka_lcka': _variant(RCKA, 'LCKA alone', 'rcka_features'),
    'pcka': PCKA,
    'pcka_released': PCKA_RELEASED,
    'pcka_mimic': PCKA._replace(
        title='PCKA + mimic',
        distiller='pcka_mimic_pyramid',
        losses=dict(**PCKA.losses, mimic=dict(type='mmkd.MimicLoss', levels=(0, 1, 2, 3))),
    ),
    'fkd': FKD,
    'fkd_no-penalty': _variant(
        FKD, 'FKD without regularization', fkd=dict(regularization_weight=0.0)
    ),
    'fkd_raw-kernel': _variant(
        FKD, 'FKD with the kernel of eq. 3', fkd=dict(normalize=False, kernel_weight=0.01)
    ),
    'fkd_exponent1': _variant(FKD, 'FKD with p = 1 in eq. 3', fkd=dict(exponent=1.0)),
    'fkd_exponent4': _variant(FKD, 'FKD with p = 4 in eq. 3', fkd=dict(exponent=4.0)),
    'cmkd': CMKD,
    'cmkd_dkd': CMKD_DKD,
    'cmkd_pearson-raw': _variant(
        CMKD,
        'Pearson of softmaxes without z-scores',
        cmkd=dict(correlations='pearson', normalize=False),
    ),
    'cmkd_pearson': _variant(CMKD, 'Pearson with z-scores', cmkd=dict(correlations='pearson')),
    'cmkd_spearman': _variant(CMKD, 'Spearman alone', cmkd=dict(correlations='spearman')),
    'cmkd_probabilities': _variant(
        CMKD, 'CMKD with ranks of probabilities', cmkd=dict(ranked='probabilities')
    ),
    **{
        f'cmkd_beta{beta}': _variant(
            CMKD, f'CMKD with beta {beta}', cmkd=dict(primary_weight=float(beta))
        )
        for beta in (1, 2, 3, 5)
    },
    'dlkd': DLKD,
    'dlkd_released': DLKD_RELEASED,
    'dlkd_lr0.01': DLKD._replace(folder='dlkd/ablations', title='DLKD at a rate of 0.01'),
    'dlkd_align': _variant(DLKD, 'Align alone', 'dlkd_corr', 'dlkd_sup'),
    'dlkd_corr': _variant(DLKD, 'Corr alone', 'dlkd_align', 'dlkd_sup'),
    'dlkd_sup': _variant(DLKD, 'Sup alone', 'dlkd_align', 'dlkd_corr'),
    'dlkd_align-sup': _variant(DLKD, 'Align and Sup', 'dlkd_corr'),
    'dlkd_corr-sup': _variant(DLKD, 'Corr and Sup', 'dlkd_align'),
    'dlkd_align-corr': _variant(DLKD, 'Align and Corr', 'dlkd_sup'),
    **{
        f'dlkd_align-x{expansion}': _variant(
            DLKD,
            f'Align with a hidden layer of {expansion} widths',
            'dlkd_corr',
            'dlkd_sup',
            dlkd_align=dict(student_connector=dict(expansion=expansion)),
        )
        for expansion in (0.25, 0.5, 1, 2, 4, 8, 32, 64)
    },
    'kd': _baseline('kd', 'KD', dict(kd=dict(type='KLDivergence', tau=4.0, loss_weight=0.9))),
    'fitnet': _baseline('fitnet', 'FitNet', dict(fitnet=dict(type='L2Loss', loss_weight=100.0))),
    'at': _baseline('at', 'AT', dict(at=dict(type='ATLoss', loss_weight=1000.0))),
    'rkd': _baseline(
        'rkd',
        'RKD',
        dict(
            rkd_distance=dict(type='DistanceWiseRKD', loss_weight=25.0),
            rkd_angle=dict(type='AngleWiseRKD', loss_weight=50.0),
        ),
    ),
    'dkd': _baseline('dkd', 'DKD', dict(dkd=_DKD)),
    'dist': _baseline('dist', 'DIST', dict(dist=dict(_DIST, tau=4.0))),
    'cc': _baseline(
        'cc', 'CC', dict(cc=dict(type='mmkd.CCKDLoss', gamma=0.4, order=2, loss_weight=0.02))
    ),
    'sp': _baseline('sp', 'SP', dict(sp=dict(type='mmkd.SPLoss', loss_weight=3000.0))),
}
# The same names on COCO: the first for one-stage detectors, the second for two-stage ones.
DENSE = {
    'kd': _baseline('kd', 'KD of class logits', dict(kd=_DENSE), 'kd_dense'),
    'dist': _baseline('dist', 'DIST of class logits', dict(dist=_DENSE), 'dist_dense'),
    'dist_mimic': _baseline(
        'dist',
        'DIST of class logits + mimic',
        dict(dist=_DENSE, mimic=dict(type='mmkd.MimicLoss', loss_weight=1.0)),
        'dist_mimic_dense',
    ),
    'fitnet': _baseline(
        'fitnet',
        'FitNet',
        _levels('fitnet', 5, type='L2Loss', loss_weight=1.0, div_element=True),
        'fitnet_pyramid',
    ),
    'cwd': _baseline(
        'cwd',
        'CWD',
        _levels('cwd', 5, type='ChannelWiseDivergence', tau=1.0, loss_weight=10.0),
        'cwd_pyramid',
    ),
    'pkd': _baseline(
        'pkd', 'PKD', _levels('pkd', 5, type='PKDLoss', loss_weight=10.0), 'pkd_pyramid'
    ),
    'mgd': _baseline(
        'mgd', 'MGD', _levels('mgd', 5, type='MGDLoss', alpha_mgd=2e-5), 'mgd_pyramid'
    ),
    'fbkd': _baseline('fbkd', 'FBKD', _levels('fbkd', 4, type='FBKDLoss'), 'fbkd_pyramid'),
}
TWO_STAGE = {
    **DENSE,
    'kd': _baseline(
        'kd',
        'KD of shared proposals',
        dict(kd=dict(type='KLDivergence', tau=1.0, loss_weight=1.0)),
        'kd_proposals',
    ),
    'dist': _baseline(
        'dist',
        'DIST of shared proposals',
        dict(dist=dict(_DIST, tau=1.0, loss_weight=1.0)),
        'dist_proposals',
    ),
    'dist_mimic': _baseline(
        'dist',
        'DIST of shared proposals + mimic',
        dict(
            dist=dict(_DIST, tau=1.0, loss_weight=1.0),
            mimic=dict(type='mmkd.MimicLoss', loss_weight=1.0),
        ),
        'dist_mimic_proposals',
    ),
    'pkd': _baseline(
        'pkd', 'PKD', _levels('pkd', 5, type='PKDLoss', loss_weight=6.0), 'pkd_pyramid'
    )._replace(update={f'pkd{level}': dict(loss_weight=6.0) for level in range(5)}),
}


class Row(NamedTuple):
    """A config, and what a paper publishes of it.

    Attributes:
        method: Key of ``METHODS``, or on COCO of ``DENSE`` and ``TWO_STAGE``.
        pair: Key of ``PAIRS``.
        schedule: Key of ``SCHEDULES``.
        source: Paper and table of the result; what the config is for if there is none.
        result: Published top-1 accuracy or box AP; None if there is none.
        update: Arguments of this pair that differ from the method's, by loss.
    """

    method: str
    pair: str
    schedule: str
    source: str
    result: float | None
    update: Mapping[str, Mapping[str, Any]] = {}


def method_of(row: Row) -> Method:
    """The method of a row, with the row's arguments."""
    methods, coco = METHODS, row.pair in COCO_PAIRS
    if coco and row.method in DENSE:
        methods = TWO_STAGE if 'faster_rcnn' in row.pair else DENSE
    method = PCKA_CLASSIFIER if row.method == 'pcka' and not coco else methods[row.method]
    return method._replace(
        losses=_updated(method.losses, row.update), update=_updated(method.update, row.update)
    )


def config_of(row: Row) -> str:
    """Path of a row's config in ``configs``."""
    return f'{method_of(row).folder}/{row.method}_{row.pair}.py'


def _table(
    method: str,
    schedule: str,
    source: str,
    pairs: tuple[str, ...],
    *results: float | None,
    update: Mapping[str, Mapping[str, Any]] = {},
) -> list[Row]:
    """Rows of one line of a table. Mobile students and two-stage detectors have their own rate."""

    def schedule_of(pair: str) -> str:
        if schedule == 'coco' and ('faster_rcnn' in pair or 'mask_rcnn' in pair):
            return 'coco two-stage'
        mobile = any(pair.endswith(f'{student}_cifar100') for student in MOBILE)
        return 'cifar mobile' if schedule == 'cifar' and mobile else schedule

    results = results or (None,) * len(pairs)
    return [
        Row(method, pair, schedule_of(pair), source, result, update)
        for pair, result in zip(pairs, results, strict=True)
    ]


_8X4, _20 = 'resnet32x4_resnet8x4_cifar100', 'resnet56_resnet20_cifar100'
_SNV2 = 'resnet32x4_shufflenetv2_cifar100'
_OURS = ('resnet20_resnet8_cifar100',)
_PCKA_TABLE = (
    'resnet110_resnet20_cifar100',
    'resnet110_resnet32_cifar100',
    'wrn40_2_wrn16_2_cifar100',
    'vgg13_vgg8_cifar100',
)
_FKD_TABLE = (
    _8X4,
    'vgg13_vgg8_cifar100',
    'resnet32x4_shufflenetv1_cifar100',
    'resnet50_vgg8_cifar100',
)
_RN18 = ('resnet34_resnet18_in1k',)
# fmt: off
ROWS = [
    *_table('rcka', 'cifar rcka', 'RCKA, Table 1', RCKA_TABLE,
            72.26, 74.31, 75.34, 76.51, 76.11, 74.97, 77.21, 76.97, 70.12),
    *_table('rcka_alrs', 'cifar alrs', 'RCKA, Table 1', RCKA_TABLE,
            72.26, 74.31, 75.34, 76.51, 76.11, 74.97, 77.21, 76.97, 70.12),
    *_table('rcka_fcka', 'cifar rcka', 'RCKA, Table 1', RCKA_TABLE,
            71.49, 73.64, 74.70, 75.53, 74.93, 74.35, 75.98, 75.67, 68.97),
    *_table('rcka_lcka', 'cifar rcka', 'RCKA, Table 1', RCKA_TABLE,
            70.87, 73.64, 74.63, 75.78, 75.12, 74.35, 76.12, 76.43, 69.37),
    *_table('rcka', 'cifar rcka', 'comparison on CPUs', _OURS),
    *_table('rcka', 'in1k', 'RCKA, Table 2', IN1K_PAIRS),
    *_table('rcka_vitkd', 'in1k deit', 'RCKA, Table 8', VIT_PAIRS, 77.23, 83.12),
    *_table('rcka_alrs', 'in1k alrs', 'RCKA, Table 2', IN1K_PAIRS),
    *_table('pcka', 'cifar rcka', 'PCKA, Table 14', _PCKA_TABLE, 70.97, 74.11, 75.61, 74.98),
    *_table('pcka', 'cifar rcka', 'comparison of methods', (_8X4,)),
    *_table('pcka', 'coco', 'PCKA, Tables 3, 4 and 9', PCKA_TABLES,
            41.4, 40.3, 39.8, 42.8, 40.1, 38.6, 41.0),
    *_table('pcka_mimic', 'coco', 'PCKA, Table 3', PCKA_TABLES,
            42.4, 40.7, 40.7, None, None, None, None),
    *(row._replace(update=_INTER if 'rcnn' in row.pair or 'gfl' in row.pair else {})
      for row in _table('pcka_released', 'coco', 'released configs', COCO_PAIRS)),
    *_table('fkd', 'cifar', 'FKD, Table 2', _FKD_TABLE, 75.57, 73.78, 75.00, 74.61),
    *_table('fkd_no-penalty', 'cifar', 'FKD, Table 2', _FKD_TABLE, 74.89, 73.08, 74.66, 73.99),
    *_table('fkd', 'in1k 90e', 'FKD, Table 2', _RN18, 71.23),
    *_table('fkd_no-penalty', 'in1k 90e', 'FKD, Table 2', _RN18, 70.84),
    *_table('fkd', 'cifar', 'comparison on CPUs', _OURS),
    *_table('fkd_raw-kernel', 'cifar', 'FKD, eq. 3', ('vgg13_vgg8_cifar100',)),
    *_table('fkd_exponent1', 'cifar', 'FKD, eq. 3', ('vgg13_vgg8_cifar100',)),
    *_table('fkd_exponent4', 'cifar', 'FKD, eq. 3', ('vgg13_vgg8_cifar100',)),
    *_table('cmkd', 'cifar', 'CMKD, Tables I and II', CMKD_TABLES,
            76.89, 71.83, 74.03, 74.67, 76.60, 74.32, 75.71, 76.72, 76.48, 69.59, 69.23, 76.96),
    *_table('cmkd_dkd', 'cifar', 'CMKD, Tables I and II', CMKD_TABLES,
            77.13, 72.26, 74.31, 75.02, 76.82, 74.51, 76.98, 77.01, 77.69, 70.37, 69.60, 77.16),
    *_table('cmkd', 'in1k cmkd', 'CMKD, Tables III and IV', IN1K_PAIRS, 72.02, 72.42,
            update=dict(cmkd=dict(tau=1.0))),
    *_table('cmkd_dkd', 'in1k cmkd', 'CMKD, Tables III and IV', IN1K_PAIRS, 72.21, 73.11,
            update=dict(cmkd=dict(tau=1.0))),
    *_table('cmkd', 'cifar', 'comparison on CPUs', _OURS),
    *_table('cmkd', 'cifar', "CCKD's pair", ('resnet110_resnet14_cifar100',)),
    *_table('cmkd_pearson-raw', 'cifar', 'CMKD, Table VI', (_8X4, _20), 75.58, 71.05),
    *_table('cmkd_pearson', 'cifar', 'CMKD, Table VI', (_8X4, _20), 76.55, 71.49),
    *_table('cmkd_spearman', 'cifar', 'not in the paper', (_8X4, _20)),
    *_table('cmkd_probabilities', 'cifar', 'CMKD, eq. 13', (_8X4, _20)),
    *(row for beta in (1, 2, 3, 5)
      for row in _table(f'cmkd_beta{beta}', 'cifar', 'CMKD, Fig. 8', (_8X4, _20))),
    *(row._replace(schedule='cifar') for row in _table(
        'dlkd', 'cifar', 'DLKD, Tables I and II', DLKD_TABLES,
        77.20, 76.74, 72.34, 77.11, 75.40, 72.52, 73.18, 76.15, 78.89, 79.54, 78.01)),
    *(row for row in _table('dlkd_lr0.01', 'cifar', 'not in the paper', DLKD_TABLES)
      if row.schedule == 'cifar mobile'),
    *_table('dlkd', 'in1k', 'DLKD, Table III', _RN18, 72.12),
    # As measured: candidates from the other network.
    *_table('dlkd', 'cifar', 'comparison on CPUs', _OURS,
            update=dict(dlkd_sup=dict(candidates='other'))),
    *_table('dlkd_released', 'cifar', 'released script', DLKD_TABLES),
    *(row._replace(schedule='cifar') for method, *results in (
        ('dlkd_align', 76.59, 79.01),
        ('dlkd_corr', 74.94, 76.06),
        ('dlkd_sup', 74.73, 75.98),
        ('dlkd_align-sup', 76.99, 79.26),
        ('dlkd_corr-sup', 75.90, 77.35),
        ('dlkd_align-corr', 76.90, 79.17),
    ) for row in _table(method, 'cifar', 'DLKD, Table VIII', (_8X4, _SNV2), *results)),
    *(Row(f'dlkd_align-x{expansion}', _SNV2, 'cifar', 'DLKD, Table VII', result)
      for expansion, result in (
          (0.25, 78.54), (0.5, 78.63), (1, 78.58), (2, 78.62), (4, 78.43), (8, 78.57),
          (32, 78.81), (64, 78.66))),
]
# Baselines, as the papers quote them from other implementations: RCKA Table 1, CMKD Tables I and
# II, FKD Table 2 and DLKD Tables I and II. ResNet-110 -> ResNet-14 and ResNet-20 -> ResNet-8 have
# none.
_QUOTED = {
    'kd': (70.67, 73.08, 73.54, 74.92, 73.33, 72.98, 74.83, 74.07, 67.37,
           70.66, 74.45, 67.35, 73.79, 73.81, None, None),
    'fitnet': (68.99, 71.06, 72.24, 73.58, 73.50, 71.02, 73.73, 73.59, 64.14,
               69.21, 73.54, 63.16, 74.61, None, None, None),
    'at': (70.22, 70.55, 72.77, 74.08, 73.44, 71.43, 73.32, 72.73, 59.40,
           70.55, 72.73, 58.58, 74.11, None, None, None),
    'rkd': (69.25, 71.82, 72.22, 73.35, 71.90, 71.48, 72.21, 72.28, 64.52,
            69.61, 73.21, 64.43, 75.26, 71.50, None, None),
    'dkd': (None, 74.11, 74.81, 76.24, 76.32, 74.68, 76.70, 76.45, 69.71,
            71.97, 77.07, 70.35, 75.56, None, None, None),
    'dist': (69.94, 73.55, 74.42, 75.29, 75.79, 73.74, 75.23, 75.23, 68.48,
             71.55, 77.35, 69.14, 75.67, None, None, None),
    'cc': (69.48, 71.48, 72.21, 73.56, 72.97, 70.71, 71.38, 71.14, 64.86,
           None, None, None, None, None, None, None),
    'sp': (70.04, 72.69, 72.43, 73.83, 72.94, 72.68, 74.52, 73.48, 66.30,
           71.48, 75.15, 68.99, None, 73.34, None, None),
}
for _method, _results in _QUOTED.items():
    ROWS += _table(_method, 'cifar', 'quoted', CIFAR_PAIRS, *_results)
# PCKA, Tables 3 and 4.
_QUOTED_COCO = {
    'kd': (39.7, 37.2, 39.9, None, None, None, None),
    'dist': (40.4, 39.8, None, None, None, None, None),
    'dist_mimic': (41.8, 40.1, None, None, None, None, None),
    'fitnet': (None, None, 39.9, 40.7, None, None, None),
    **dict.fromkeys(('cwd', 'pkd', 'mgd', 'fbkd'), (None,) * 7),
}
for _method, _results in _QUOTED_COCO.items():
    ROWS += _table(_method, 'coco', 'PCKA, Tables 3 and 4', PCKA_TABLES, *_results)
