"""The studies by name."""

from mmkd.studies.kinds.agreement import Agreement
from mmkd.studies.kinds.calibration import Calibration
from mmkd.studies.kinds.class_matrices import ClassMatrices
from mmkd.studies.kinds.entropy_split import EntropySplit
from mmkd.studies.kinds.knowledge import Knowledge
from mmkd.studies.kinds.layer_alignment import LayerAlignment
from mmkd.studies.kinds.logit_similarity import LogitSimilarity
from mmkd.studies.kinds.mmd_bound import MMDBound
from mmkd.studies.kinds.retrained_head import RetrainedHead
from mmkd.studies.kinds.sample_similarity import SampleSimilarity
from mmkd.studies.kinds.shared_layout import SharedLayout
from mmkd.studies.study import Study

STUDIES: dict[str, type[Study]] = {
    'cka': LayerAlignment,
    'logits': LogitSimilarity,
    'classes': ClassMatrices,
    'samples': SampleSimilarity,
    'embedding': SharedLayout,
    'calibration': Calibration,
    'entropy': EntropySplit,
    'agreement': Agreement,
    'head': RetrainedHead,
    'mmd': MMDBound,
    'knowledge': Knowledge,
}
