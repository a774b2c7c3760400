from mmengine.model import MMDistributedDataParallel
from torch import nn

from mmkd.models.model_wrapper import unwrap_model


class Wrapper(MMDistributedDataParallel):
    """The wrapper's type, without the process group that its constructor needs."""

    def __init__(self, module):
        nn.Module.__init__(self)
        self.module = module


def test_unwraps_only_wrappers():
    model = nn.Linear(2, 2)
    model.module = nn.ReLU()  # a model may have a part of this name
    assert unwrap_model(model) is model
    assert unwrap_model(Wrapper(model)) is model
