"""Whether the teacher's classes are those of the data."""

from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.logging import print_log
from mmengine.runner import Runner

from mmkd.datasets.class_names import plain_name
from mmkd.datasets.train_and_val import classes_of, different_label
from mmkd.models.heads import classifying_heads
from mmkd.models.model_wrapper import unwrap_model
from mmkd.teachers import FrozenTeacher


def teacher_problems(runner: Runner, dataset: Any) -> Iterator[str]:
    """Yield a sentence for each teacher whose labels mean other classes than the data set's.

    This matters where a loss compares logits, or the teacher is evaluated on the data. Teachers
    whose checkpoint names no classes are not compared, nor are those of another number of classes.
    """
    model: Any = unwrap_model(runner.model)
    teacher: Any = getattr(model, 'teacher', None)
    if not hasattr(teacher, 'by_prefix'):
        return
    is_evaluated = any(type(h).__name__ == 'TeacherEvaluationHook' for h in runner.hooks)
    for prefix, each in teacher.by_prefix().items():
        compared = _compared_logits(model, each, prefix)
        known, classes = each.classes, classes_of(dataset)
        if not (compared or is_evaluated) or len(known or classes) != len(classes):
            continue
        name = f'teacher {prefix}'.rstrip(' .')
        if known is None:
            print_log(f'{name}: its checkpoint names no classes to compare', 'current')
        elif difference := _difference(known, classes):
            use = f'{compared} is compared' if compared else 'the teacher is evaluated on the data'
            yield (
                f'{name}: expected the classes of the data in their order, as {use}, got '
                f'{difference}; give the data the order of the teacher by metainfo=dict(classes='
                '...), use a teacher of these classes, or compare features and leave out '
                'TeacherEvaluationHook'
            )


def _difference(teacher: Sequence[str], data: Sequence[str]) -> str:
    """The first label that means different classes; empty if there is none."""
    first, second = [[plain_name(name) for name in names] for names in (teacher, data)]
    label = different_label(first, second)
    if label is None and not _are_codes(first) and not _are_codes(second):
        label = next((i for i, name in enumerate(first) if name != second[i]), None)
    if label is None:
        return ''
    return f"label {label} is {teacher[label]!r} in the teacher's checkpoint and {data[label]!r}"


def _are_codes(names: Sequence[str]) -> bool:
    """Whether names are numbers or codes, such as ImageNet's folders: another spelling."""
    return all(any(character.isdigit() for character in name) for name in names)


def _compared_logits(model: Any, teacher: FrozenTeacher, prefix: str) -> str:
    """The first recorded output of a teacher that has a value for each class; empty without one."""
    heads: Iterator[tuple[str, Any]] = classifying_heads(teacher.model)
    counts = {head.num_classes for _, head in heads}
    modules = dict(teacher.model.named_modules())
    recorders = model.distiller.teacher_recorders.recorders.values()
    for recorder in recorders:
        source = str(getattr(recorder, 'source', ''))
        module = modules.get(source.removeprefix(prefix))
        width = getattr(module, 'out_features', getattr(module, 'out_channels', None))
        is_head = 'head' in source and 'reg' not in source
        # A value for each class and perhaps one for the background, at each anchor.
        if is_head and width and any(width % n == 0 or width % (n + 1) == 0 for n in counts):
            return source
    return ''
