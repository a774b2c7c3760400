"""Run a model on an image of zeros, without weights or data."""

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement, InstanceData

Size = tuple[int, int]


def zero_sample(size: Size) -> BaseDataElement:
    """Return a data sample for an image of ``size`` (height, width), with one box of class 0."""
    height, width = size
    information = dict(
        img_shape=size, ori_shape=size, pad_shape=size, batch_input_shape=size, scale_factor=(1, 1)
    )
    box = torch.tensor([[0.0, 0.0, width / 2, height / 2]])
    instances = InstanceData(bboxes=box, labels=torch.zeros(1, dtype=torch.long))
    return BaseDataElement(metainfo=information, gt_instances=instances)


@torch.no_grad()
def run_on_zeros(model: BaseModel, size: Size, mode: str = 'tensor') -> None:
    """Run ``model`` once in eval mode, then restore the mode of each module.

    Args:
        model: A detector or classifier.
        size: Height and width of the image in pixels.
        mode: ``'features'`` runs backbone and neck, ``'tensor'`` the network without losses and
            post-processing.
    """
    training = {module: module.training for module in model.modules()}
    parameter = next(model.parameters(), None)
    image = torch.zeros(1, 3, *size, device=None if parameter is None else parameter.device)
    model.eval()
    try:
        with torch.compiler.set_stance('force_eager'):
            if mode == 'features':
                model.extract_feat(image)
            else:
                model(image, [zero_sample(size)], mode='tensor')
    finally:
        for module, was_training in training.items():
            module.training = was_training
