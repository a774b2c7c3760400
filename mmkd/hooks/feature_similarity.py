"""Similarity of the student's outputs to the teacher's, epoch by epoch."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, get_args

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mmkd.functional import pcka
from mmkd.functional.checks import check_positive_int
from mmkd.hooks.similarity_measures import Measure, Pair, Similarity, check_shapes, tensors_of
from mmkd.models.model_wrapper import unwrap_model
from mmkd.recorders import LevelOutputsRecorder
from mmkd.registry import HOOKS
from mmkd.teachers import FrozenTeacher

FEATURE_PARTS = ('backbone', 'neck')


@dataclass(frozen=True)
class _Compared:
    """Two modules and how to compare their outputs."""

    name: str
    student: str
    teacher: str
    measures: Sequence[Measure]


@HOOKS.register_module()
class FeatureSimilarityHook(Hook):
    """Log how similar student and teacher are on validation images.

    By default the value is the unbiased PCKA of the necks, the mean over levels and batches, logged
    as ``similarity``. The biased one, which ``PCKALoss`` uses by default, stands beside it as
    ``similarity_biased``: it is close to 1 for few patches even if the maps have nothing in common.

    ``pairs`` compares other modules, by other measures, logged as ``similarity/NAME/MEASURE``:

    - ``'cka'``: unbiased linear CKA (Nguyen et al. 2021, eq. 3: https://arxiv.org/abs/2010.15327)
      of rows of any widths, gathered over all batches, at most 4096 a level. A row is a sample's
      vector (its logits), or the channels at a position of a map. The larger of two maps is
      averaged to the size of the smaller. Fewer than four rows give the biased value.
    - ``'pcka'``: unbiased PCKA of maps of one height and width.
    - ``'cosine'``, ``'pearson'``, ``'spearman'``: means over rows, for outputs of one shape.

    The hook works on any run, so you can compare a student that learns alone with a distilled one.
    Values go to all backends of the visualizer (TensorBoard, Weights & Biases), and
    :func:`mmkd.report` draws them. The hook restores the random state, so it does not change the
    training.

    Args:
        teacher: Config of a :class:`FrozenTeacher`. Defaults to the teacher of the algorithm.
        source: Module whose output to compare, in both models: a map or a tuple of maps. Default
            ``'neck'``, without ``pairs``.
        patch_size: See :func:`mmkd.functional.pcka`.
        num_batches: Number of batches of the validation loader to use.
        interval: Epochs between two measurements.
        pairs: What to compare, by name: a module of both models, or a dict of ``student`` and
            ``teacher`` (modules) and ``measures`` (default ``('cka',)``).

    Raises:
        ValueError: If an argument is out of range. Before training, if there is no teacher or no
            validation data, a model lacks a module, or a measure cannot compare the shapes.

    Example:
        >>> hook = FeatureSimilarityHook(
        ...     pairs=dict(
        ...         neck='neck',
        ...         logits=dict(student='head.fc', teacher='head.fc', measures=['cka', 'pearson']),
        ...     )
        ... )
    """

    priority = 'BELOW_NORMAL'

    def __init__(
        self,
        teacher: Mapping[str, Any] | None = None,
        source: str | None = None,
        patch_size: int = 16,
        num_batches: int = 4,
        interval: int = 1,
        pairs: Mapping[str, str | Mapping[str, Any]] | None = None,
    ) -> None:
        check_positive_int('num_batches', num_batches)
        check_positive_int('interval', interval)
        if pairs is not None and source is not None:
            raise ValueError(
                f'source: expected `source` or `pairs`, got both; add source {source!r} to pairs'
            )
        if pairs is not None and not pairs:
            raise ValueError('pairs: expected at least one pair of modules, got none')
        self.teacher_config = teacher
        self.source = source or 'neck'
        self.patch_size = patch_size
        self.num_batches = num_batches
        self.interval = interval
        self.pairs = [_pair(name, given) for name, given in (pairs or {}).items()]
        self._default = not self.pairs
        if self._default:
            self.pairs = [_Compared('source', self.source, self.source, ['pcka'])]

    def before_train(self, runner: Runner) -> None:
        """Build the teacher, attach a recorder to each module, and compare one batch."""
        model = unwrap_model(runner.model)
        self.student = getattr(model, 'architecture', model)
        self.preprocessor = model.data_preprocessor
        if self.teacher_config is not None:
            self.teacher: Any = FrozenTeacher.from_config(self.teacher_config)
            self.teacher.set_input_preprocessor(self.preprocessor)
        elif hasattr(model, 'teacher'):
            self.teacher = model.teacher
        else:
            raise ValueError('FeatureSimilarityHook: expected `teacher`, since the model has none')
        if runner.val_dataloader is None:
            raise ValueError('FeatureSimilarityHook: expected a run with validation, got none')
        self._recorders = [
            (
                _recorder(f'{pair.name}.student', pair.student, self.student),
                _recorder(f'{pair.name}.teacher', pair.teacher, self.teacher.model),
            )
            for pair in self.pairs
        ]
        self._whole = [
            not all(_is_feature(name, prefixes) for name in names)
            for names, prefixes in (
                ([pair.student for pair in self.pairs], ['']),
                ([pair.teacher for pair in self.pairs], [*self.teacher.by_prefix()]),
            )
        ]
        self._run(runner.val_dataloader, 1, self._check)

    def after_train_epoch(self, runner: Runner) -> None:
        """Measure and log."""
        if not self.every_n_epochs(runner, self.interval):
            return
        values = self._measure(runner.val_dataloader)
        runner.visualizer.add_scalars(values, step=runner.epoch + 1)
        text = '  '.join(f'{name}: {number:.4f}' for name, number in values.items())
        runner.logger.info(f'Epoch(similarity) [{runner.epoch + 1}]  {text}')

    def _check(self, outputs: Sequence[Sequence[Pair]]) -> None:
        for pair, levels in zip(self.pairs, outputs, strict=True):
            check_shapes(levels, pair.measures, f'FeatureSimilarityHook: {pair.name}')

    def _measure(self, loader: DataLoader) -> dict[str, float]:
        found = [
            Similarity(pair.measures, self.patch_size, self.num_batches) for pair in self.pairs
        ]
        biased: list[Tensor] = []

        def add(outputs: Sequence[Sequence[Pair]]) -> None:
            for similarity, levels in zip(found, outputs, strict=True):
                similarity.add(levels)
            if self._default:
                biased.extend(pcka(s, t, self.patch_size) for s, t in outputs[0])

        self._run(loader, self.num_batches, add)
        if self._default:
            (value,) = found[0].values()
            return {'similarity': value[1], 'similarity_biased': float(torch.stack(biased).mean())}
        return {
            f'similarity/{pair.name}/{measure}': value
            for pair, similarity in zip(self.pairs, found, strict=True)
            for measure, value in similarity.values()
        }

    @torch.no_grad()
    def _run(
        self, loader: DataLoader, batches: int, use: Callable[[Sequence[Sequence[Pair]]], None]
    ) -> None:
        """Run both models on some batches, and hand the recorded outputs of each to ``use``."""
        training = self.student.training
        self.student.eval()
        try:
            with torch.random.fork_rng():  # a loader draws from the generator that training uses
                for batch in islice(loader, batches):
                    data = self.preprocessor(batch, False)
                    for side in range(2):
                        self._record(side, data)
                    each = zip(self.pairs, self._recorders, strict=True)
                    use([self._outputs(pair, recorders) for pair, recorders in each])
        finally:
            self.student.train(training)
            for pair in self._recorders:
                for recorder in pair:
                    recorder.reset_data_buffer()

    def _record(self, side: int, data: Mapping[str, Any]) -> None:
        """Run the student (0) or the teacher (1) as far as something is recorded."""
        samples, whole = data['data_samples'], self._whole[side]

        def run(model: Any, images: Tensor) -> Any:
            if whole:
                return model(images, samples, mode='tensor')
            return model.extract_feat(images)

        recorders = [pair[side] for pair in self._recorders]
        for recorder in recorders:
            recorder.__enter__()
        try:
            if side == 0:
                run(self.student, data['inputs'])
            else:
                for member in self.teacher.by_prefix().values():
                    member.apply(run, data['inputs'], samples)
        finally:
            for recorder in recorders:
                recorder.__exit__(None, None, None)

    def _outputs(self, pair: _Compared, recorders: Sequence[LevelOutputsRecorder]) -> list[Pair]:
        student, teacher = (tensors_of(recorder.get_record_data()) for recorder in recorders)
        for recorder in recorders:
            recorder.reset_data_buffer()
        if len(student) != len(teacher) or not student:
            raise ValueError(
                f'FeatureSimilarityHook: {pair.name}: expected as many outputs of {pair.student} '
                f'(student) as of {pair.teacher} (teacher), got {len(student)} and {len(teacher)}'
            )
        return [*zip(student, teacher, strict=True)]


def _pair(name: str, given: str | Mapping[str, Any]) -> _Compared:
    if isinstance(given, str):
        given = dict(student=given, teacher=given)
    unknown = [key for key in given if key not in ('student', 'teacher', 'measures')]
    if unknown or 'student' not in given or 'teacher' not in given:
        raise ValueError(
            f'pairs.{name}: expected a module, or a dict of student, teacher and measures, got '
            f'{dict(given)!r}'
        )
    measures = given.get('measures', ('cka',))
    measures = [measures] if isinstance(measures, str) else [*measures]
    known = get_args(Measure)
    if not measures or any(measure not in known for measure in measures):
        raise ValueError(f'pairs.{name}.measures: expected some of {[*known]}, got {measures}')
    return _Compared(name, given['student'], given['teacher'], measures)


def _recorder(where: str, source: str, model: nn.Module) -> LevelOutputsRecorder:
    names = [name for name, _ in model.named_modules() if name]
    if source not in names:
        close = difflib.get_close_matches(source, names, n=3)
        hint = f'; close names: {", ".join(close)}' if close else ''
        raise ValueError(f'FeatureSimilarityHook: {where}: no module {source!r}{hint}')
    recorder = LevelOutputsRecorder(source)
    recorder.initialize(model)
    return recorder


def _is_feature(name: str, prefixes: Sequence[str]) -> bool:
    """Whether running backbone and neck is enough for a module."""
    short = next((name.removeprefix(p) for p in prefixes if name.startswith(p)), name)
    return short.partition('.')[0] in FEATURE_PARTS
