"""The methods, and which of them serve a pair of models."""

from mmengine.config import Config

from mmkd.checking.close_names import did_you_mean
from mmkd.pairing.inspection.model_kind import is_classifier
from mmkd.pairing.methods.box_methods import BOX_METHODS
from mmkd.pairing.methods.classifier_methods import CLASSIFIER_METHODS
from mmkd.pairing.methods.instance_methods import INSTANCE_METHODS
from mmkd.pairing.methods.logit_methods import LOGIT_METHODS
from mmkd.pairing.methods.method import Fitted, Method, Pair
from mmkd.pairing.methods.pyramid_methods import PYRAMID_METHODS
from mmkd.pairing.methods.recipe import recipe

DETECTOR_METHODS: dict[str, Method] = {
    'recipe': recipe,
    **PYRAMID_METHODS,
    **INSTANCE_METHODS,
    **LOGIT_METHODS,
    **BOX_METHODS,
}
# Those that gain most in the tables of docs/choose-a-method.md.
DEFAULT_DETECTOR_METHOD, DEFAULT_CLASSIFIER_METHOD = 'pkd', 'dist'


def choose_method(name: str | None, student: Config, teacher: Config) -> tuple[str, Method]:
    """Return a method by its name, or the default for models of this kind.

    Args:
        name: Name of the method; None chooses pkd for detectors and dist for classifiers.
        student: Config of the student.
        teacher: Config of the teacher.

    Raises:
        TypeError: If the name is no text.
        ValueError: If one model is a detector and the other a classifier, or if there is no such
            method for them.
    """
    classifiers = is_classifier(student)
    kind = {True: 'a classifier', False: 'a detector'}
    if is_classifier(teacher) != classifiers:
        raise ValueError(
            f'teacher: expected {kind[classifiers]}, because the student is one, got '
            f'{kind[not classifiers]}'
        )
    methods = CLASSIFIER_METHODS if classifiers else DETECTOR_METHODS
    default = DEFAULT_CLASSIFIER_METHOD if classifiers else DEFAULT_DETECTOR_METHOD
    name = default if name is None else name
    if not isinstance(name, str):
        raise TypeError(f'method: expected a name, got {name!r}')
    if name not in methods:
        others = DETECTOR_METHODS if classifiers else CLASSIFIER_METHODS
        reason = f', which is for {kind[not classifiers][2:]}s' if name in others else ''
        raise ValueError(
            f'method: expected one of {[*methods]} for {kind[classifiers]}, got {name!r}{reason}'
            f'{"" if reason else did_you_mean(name, methods)}'
        )
    return name, methods[name]


__all__ = ['CLASSIFIER_METHODS', 'DETECTOR_METHODS', 'Fitted', 'Method', 'Pair', 'choose_method']
