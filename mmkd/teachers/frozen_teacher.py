"""A teacher with frozen weights, which no optimizer, checkpoint or DDP wrapper sees."""

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mmkd.models.building import build_model
from mmkd.models.compilation import begin_step, compile_features
from mmkd.models.multi_view import Views, all_views
from mmkd.storage.checkpoint import (
    assert_unchanged,
    checksums,
    class_names,
    digest,
    load_all,
    read_checkpoint,
    state_dict_of,
)
from mmkd.teachers.renormalize import Renormalize

Mode = Literal['features', 'tensor', 'loss']
Precision = Literal['fp32', 'fp16', 'bf16']
MODES = get_args(Mode)
PRECISIONS = {'fp32': torch.float32, 'fp16': torch.float16, 'bf16': torch.bfloat16}
# The keys of a teacher's config that are not arguments of its model.
ARGUMENTS = ('checkpoint', 'precision', 'mode', 'compile', 'channels_last')


class FrozenTeacher:
    """A model in eval mode, without gradients, outside the student's module tree.

    It is not an ``nn.Module``, so its owner does not optimize, save, synchronize or copy it. The
    model follows the device of its inputs.

    Args:
        model: A model, which is frozen in place; or its config: ``cfg_path`` and overrides, or
            ``type`` and arguments (see :func:`mmkd.models.building.build_model`).
        checkpoint: Path or URL of the weights. Every tensor has to match. ``None`` keeps the
            weights of a built model. For a config, it keeps the initialization that the config
            names, with a warning.
        precision: ``'fp32'``, ``'fp16'`` or ``'bf16'``. ``None`` follows the student's autocast.
        mode: What to run: ``'features'`` (backbone and neck), ``'tensor'`` (the network without
            losses and post-processing) or ``'loss'`` (as in training). ``None`` (default) lets
            the algorithm choose the cheapest mode that runs all recorded modules.
        compile: Compile backbone and neck: True, or a dict of arguments of :func:`torch.compile`.
            If they use CUDA graphs, call :func:`mmkd.models.compilation.begin_step` before each
            step.
        channels_last: Use the channels_last memory format for weights and images. It makes
            convolutions faster on a CPU, and on a GPU in half precision. Shapes and values stay.
            Recorded maps have the format, too: a loss that calls ``view`` on them raises, as
            MMRazor's ``ChannelWiseDivergence`` does. Defaults to False.

    Raises:
        FileNotFoundError: If the checkpoint does not exist.
        ValueError: If the checkpoint is truncated or does not match, or an argument is not one of
            those above.
    """

    def __init__(
        self,
        model: BaseModel | Mapping[str, Any],
        checkpoint: str | None = None,
        *,
        precision: Precision | None = None,
        mode: Mode | None = None,
        compile: bool | Mapping[str, Any] = False,
        channels_last: bool = False,
    ) -> None:
        if precision is not None and precision not in PRECISIONS:
            raise ValueError(
                f'precision: expected one of {[*PRECISIONS]} or None, got {precision!r}'
            )
        if mode is not None and mode not in MODES:
            raise ValueError(f'mode: expected one of {[*MODES]} or None, got {mode!r}')
        self.checkpoint, self.precision, self.mode = checkpoint, precision, mode
        self.compiled, self.channels_last = compile is not False, channels_last
        self.model = build_model(model).requires_grad_(False).eval()
        if channels_last:
            self.model.to(memory_format=torch.channels_last)
        for module in self.model.modules():
            # The activation after a recorded output must not overwrite it.
            if getattr(module, 'inplace', False):
                module.inplace = False
        self._renormalize = Renormalize(None, None)
        self.classes: tuple[str, ...] | None = None
        if checkpoint is not None:
            content = read_checkpoint(checkpoint)
            load_all(self.model, state_dict_of(content, str(checkpoint)), checkpoint)
            self.classes = class_names(content)
        elif self.model is not model:
            self.model.init_weights()
            warning = 'teacher: no checkpoint, it keeps its initial weights'
            print_log(warning, 'current', level=logging.WARNING)
        self._loaded: dict[str, int] | None = checksums(self.model)  # None: verified already
        self.identity = digest(self._loaded)
        compile_features(self.model, compile)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> 'FrozenTeacher':
        """Build from one flat dict with arguments of this class and of the model."""
        model = dict(config)
        own = {name: model.pop(name) for name in ARGUMENTS if name in model}
        return cls(model, **own)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the model's weights."""
        return self.model.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Tensor], source: str) -> None:
        """Replace all weights with those that a checkpoint saved with the student."""
        load_all(self.model, state_dict, source)
        self._loaded = checksums(self.model)
        self.identity = digest(self._loaded)

    def by_prefix(self) -> dict[str, 'FrozenTeacher']:
        """Return each single teacher by the prefix of its modules' names: itself, with none."""
        return {'': self}

    def set_input_preprocessor(self, student_preprocessor: nn.Module | None) -> None:
        """Expect batches from the student's data preprocessor, and renormalize them."""
        own = getattr(self.model, 'data_preprocessor', None)
        self._renormalize = Renormalize(student_preprocessor, own)

    def __deepcopy__(self, memo: dict) -> 'FrozenTeacher':
        return self  # a copy of the student (such as an EMA) shares the teacher

    def __call__(
        self,
        inputs: Tensor,
        data_samples: Sequence[BaseDataElement] | None = None,
        *,
        views: Views | None = None,
    ) -> Any:
        """Run the teacher on the student's batch.

        Args:
            inputs: (B, 3, H, W), preprocessed for the student.
            data_samples: The batch's samples.
            views: Views of each image to extract features from; see
                :func:`mmkd.models.multi_view.all_views`.

        Returns:
            What the model returns. Distillation usually reads only the recorded outputs.
        """

        def run(model: BaseModel, images: Tensor) -> Any:
            with all_views(model, views):
                if self.mode == 'features':
                    return model.extract_feat(images)
                return model(images, data_samples, mode=self.mode or 'tensor')

        return self.apply(run, inputs, data_samples)

    def extract_feat(self, inputs: Tensor) -> Any:
        """Run only backbone and neck on images (B, 3, H, W) without data samples."""
        return self.apply(lambda model, images: model.extract_feat(images), inputs)

    @torch.no_grad()
    def apply(
        self,
        function: Callable[[BaseModel, Tensor], Any],
        inputs: Tensor,
        data_samples: Sequence[BaseDataElement] | None = None,
    ) -> Any:
        """Call ``function(model, images)`` with the batch in the teacher's normalization.

        The function runs without gradients, in the teacher's precision.

        Args:
            function: What to run.
            inputs: (B, 3, H, W), preprocessed for the student.
            data_samples: The batch's samples.

        Returns:
            What the function returns.
        """
        if self._loaded is not None:  # verify the weights at the first step
            assert_unchanged(self.model, self._loaded)
            self._loaded = None
        if next(self.model.parameters()).device != inputs.device:
            self.model.to(inputs.device)
        images = self._renormalize(inputs, data_samples)
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with self.autocast(images.device.type):
            return function(self.model, images)

    @torch.no_grad()
    def predict(self, batch: Any) -> Any:
        """Predict on a batch of a validation loader, with the teacher's own data preprocessor.

        Returns:
            The predicted samples, in the teacher's precision.
        """
        if self.compiled:
            begin_step()
        with self.autocast(next(self.model.parameters()).device.type):
            return self.model.test_step(batch)

    def autocast(self, device: str) -> contextlib.AbstractContextManager:
        """Context of the teacher's precision on a kind of device, such as ``'cuda'``."""
        if self.precision is None:
            return contextlib.nullcontext()
        dtype = PRECISIONS[self.precision]
        return torch.autocast(device, dtype=dtype, enabled=dtype is not torch.float32)
