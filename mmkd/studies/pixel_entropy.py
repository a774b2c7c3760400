"""Which pixels a feature depends on: noise that is learned pixel by pixel."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mmkd.functional.checks import check_positive, check_positive_int

# Bounds of the noise's logarithm, in units of the network's input. Pixels without any influence
# would grow without end.
LOW, HIGH = math.log(1e-4), math.log(10.0)
# H = log(sigma) + OFFSET is the entropy of Gaussian noise, in nats.
OFFSET = 0.5 * math.log(2 * math.pi * math.e)


def pixel_entropies(
    features: Callable[[Tensor], Tensor],
    images: Tensor,
    scale: Tensor | float,
    *,
    change: float = 0.1,
    steps: int = 100,
    rate: float = 0.1,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Entropies of the largest Gaussian noise that leaves the features as they are.

    $$ \min_\sigma \; \mathbb{E}_\epsilon \frac{\|f(x + \sigma \epsilon) - f(x)\|^2}{\sigma_f^2}
       - \lambda \sum_i \log \sigma_i, \qquad H_i = \log \sigma_i + \tfrac12 \log(2 \pi e) $$

    Ding et al. 2022, sec. IV: https://arxiv.org/abs/2012.00573. All channels of a pixel share its
    sigma. The images are independent of each other. For a small noise, the optimum moves the
    features by ``change`` of their variance, which sets $\lambda = 2 \cdot$ ``change`` / n for n
    pixels.

    Args:
        features: Maps images (B, C, H, W) to features (B, D), differentiable, image by image.
        images: Shape (B, C, H, W).
        scale: $\sigma_f^2$, the variance of the features over images.
        change: How far the noise may move the features.
        steps: Steps of Adam.
        rate: Its learning rate, for log sigma.
        generator: Of the noise, on the device of the images.

    Returns:
        Entropies in nats, shape (B, H, W). Sigma is in units of ``images``, from 1e-4 to 10.

    Raises:
        ValueError: If an argument is not positive.
    """
    check_positive('change', change)
    check_positive('rate', rate)
    check_positive_int('steps', steps)
    pixels = images.shape[-2] * images.shape[-1]
    weight = 2 * change / pixels
    with torch.no_grad():
        target = features(images)
    log_sigma = torch.full_like(images[:, :1], math.log(0.05)).requires_grad_()
    optimizer = torch.optim.Adam([log_sigma], lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=rate / 100)
    for _ in range(steps):
        noise = torch.randn(
            images.shape, generator=generator, device=images.device, dtype=images.dtype
        )
        noise = log_sigma.exp() * noise
        # Noise of both signs: what is linear in it cancels in the gradient's error.
        moved = features(torch.cat([images + noise, images - noise])) - target.repeat(2, 1)
        distance = moved.square().sum() / 2 / scale
        (gradient,) = torch.autograd.grad(distance - weight * log_sigma.sum(), log_sigma)
        log_sigma.grad = gradient
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            log_sigma.clamp_(LOW, HIGH)
    return (log_sigma.detach() + OFFSET).squeeze(1)


def concept_pixels(entropies: Tensor) -> Tensor:
    """Pixels whose entropy is below the mean of their image, (B, H, W) -> bool."""
    return entropies < entropies.mean((1, 2), keepdim=True)


class View(NamedTuple):
    """A shift by whole pixels, and perhaps a mirror image.

    Attributes:
        down: Pixels by which the content moves down; what leaves the image is lost.
        right: Pixels by which it moves to the right.
        mirrored: Whether it is mirrored afterwards.
    """

    down: int
    right: int
    mirrored: bool

    def of(self, images: Tensor) -> Tensor:
        """The view of images (..., H, W); zeros fill what was empty."""
        shifted = _shift(images, self.down, self.right)
        return shifted.flip(-1) if self.mirrored else shifted

    def undo(self, maps: Tensor) -> Tensor:
        """Move maps (..., H, W) of the view back to the places of the image."""
        return _shift(maps.flip(-1) if self.mirrored else maps, -self.down, -self.right)

    def seen(self, height: int, width: int) -> Tensor:
        """Which pixels of the image the view shows, (H, W)."""
        return self.undo(self.of(torch.ones(height, width))).bool()


def _shift(maps: Tensor, down: int, right: int) -> Tensor:
    height, width = maps.shape[-2:]
    # Negative padding crops.
    return F.pad(maps, (right, -right, down, -down))[..., :height, :width]


def random_view(size: tuple[int, int], generator: torch.Generator) -> View:
    """A shift of at most an eighth of the image (H, W), mirrored half of the time."""
    down, right = (
        int(torch.randint(-(side // 8), side // 8 + 1, (), generator=generator)) for side in size
    )
    return View(down, right, bool(torch.randint(2, (), generator=generator)))


def consistency(first: Tensor, second: Tensor, views: tuple[View, View]) -> Tensor:
    """IoU of the concept pixels of two views, over the pixels that both show (eq. 9).

    Args:
        first: Entropies of the first view (B, H, W).
        second: Those of the second.
        views: The views.

    Returns:
        Shape (B,); NaN without any concept pixel.
    """
    height, width = first.shape[-2:]
    shared = (views[0].seen(height, width) & views[1].seen(height, width)).to(first.device)
    concepts = [
        view.undo(concept_pixels(each).float()).bool() & shared
        for view, each in zip(views, (first, second), strict=True)
    ]
    both = (concepts[0] & concepts[1]).sum((1, 2))
    return both / (concepts[0] | concepts[1]).sum((1, 2))
