"""The mathematics of distillation: pure functions on tensors. Imports torch only."""

from mmkd.functional.cckd import correlation, correlation_congruence
from mmkd.functional.cmkd import cmkd
from mmkd.functional.dlkd import alignment, knowledge_correlation, rotations, supervised_contrastive
from mmkd.functional.fkd import feature_kernel, feature_kernel_distance
from mmkd.functional.kernel_alignment.cka import cka
from mmkd.functional.kernel_alignment.patches import fitting_patch_size, to_patches
from mmkd.functional.kernel_alignment.pcka import pcka, pyramid_pcka
from mmkd.functional.localization import localization_divergence
from mmkd.functional.mmd import mmd
from mmkd.functional.ranking.rank_correlation import pearson, rank, spearman, zscore
from mmkd.functional.ranking.soft_rank import soft_rank
from mmkd.functional.similarity import similarity_distance
from mmkd.functional.soft_focal import soft_focal

__all__ = [
    'alignment',
    'cka',
    'cmkd',
    'correlation',
    'correlation_congruence',
    'feature_kernel',
    'feature_kernel_distance',
    'fitting_patch_size',
    'knowledge_correlation',
    'localization_divergence',
    'mmd',
    'pcka',
    'pearson',
    'pyramid_pcka',
    'rank',
    'rotations',
    'similarity_distance',
    'soft_focal',
    'soft_rank',
    'spearman',
    'supervised_contrastive',
    'to_patches',
    'zscore',
]
