"""How many pixels of an image a network uses, and whether it uses the same in two views."""

from typing import Any

import torch
from torch import Tensor

from mmkd.studies.panels import color_bar, heat_map, panels
from mmkd.studies.pixel_entropy import (
    concept_pixels,
    consistency,
    pixel_entropies,
    random_view,
)
from mmkd.studies.study import Batch, Findings, Setup, Study

SHOWN = 4
STEPS = 100


class Knowledge(Study):
    """DLKD's knowledge quantification (sec. IV, Tables XI and XII).

    Entropy of the noise that each pixel bears, mean over pixels and images: lower means that the
    network uses more pixels. Consistency: IoU of the concept pixels of two views, each shifted by
    up to an eighth of the image and perhaps mirrored. A detector's features are the means of its
    pyramid's levels. Every image takes 600 forward and backward passes of each network, so this
    study runs only where it is named: choose ``images``.
    """

    costly = True

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._views = torch.Generator().manual_seed(setup.seed)
        self._scale: dict[str, Tensor] = {}
        self._entropy: dict[str, list[Tensor]] = {name: [] for name in setup.names}
        self._concepts: dict[str, list[Tensor]] = {name: [] for name in setup.names}
        self._overlap: dict[str, list[Tensor]] = {name: [] for name in setup.names}
        self._shown: dict[str, list[Tensor]] = {name: [] for name in setup.names}
        self._images: list[Tensor] = []

    def add(self, batch: Batch) -> None:
        """Learn the noise of a batch's images, and of two views of each."""
        size = None
        for name, network in self.setup.networks.items():
            inputs = network.model.data_preprocessor(batch.raw, False)['inputs']
            if size is None:
                size = inputs.shape[-2], inputs.shape[-1]
                views = random_view(size, self._views), random_view(size, self._views)
            if not self._images:
                self._images = [*_pictures(inputs[:SHOWN])]
            if name not in self._scale:
                self._scale[name] = _variance(network.features(inputs))
            found = self._entropies(name, inputs)
            first, second = (self._entropies(name, view.of(inputs)) for view in views)
            self._entropy[name].append(found.mean((1, 2)).cpu())
            self._concepts[name].append(concept_pixels(found).float().mean((1, 2)).cpu())
            self._overlap[name].append(consistency(first, second, views).cpu())
            if not self._shown[name]:
                self._shown[name] = [*found[:SHOWN].cpu()]

    def _entropies(self, name: str, inputs: Tensor) -> Tensor:
        generator = torch.Generator(inputs.device).manual_seed(self.setup.seed)
        network = self.setup.networks[name]
        return pixel_entropies(
            network.features, inputs, self._scale[name], steps=STEPS, generator=generator
        )

    def finish(self) -> Findings:
        """Means over all images, and maps of some."""
        found = {
            name: dict(
                entropy=float(torch.cat(self._entropy[name]).mean()),
                concept_share=float(torch.cat(self._concepts[name]).mean()),
                consistency=float(torch.cat(self._overlap[name]).nanmean()),
            )
            for name in self.setup.names
        }
        images = sum(map(len, self._entropy[self.setup.names[0]]))
        text = ', '.join(
            f'{name} {each["entropy"]:.3f} / {each["consistency"]:.3f}'
            for name, each in found.items()
        )
        numbers = dict(images=images, networks=found)
        return Findings(f'entropy / consistency: {text}', numbers, {'': self._draw()})

    def _draw(self) -> Any:
        names = self.setup.names
        figure, grid = panels(len(self._images), 1 + 2 * len(names), 2.3, 2.2)
        values = torch.cat([each.flatten() for maps in self._shown.values() for each in maps])
        low, high = (float(values.quantile(q)) for q in (0.01, 0.99))
        for row, image in enumerate(self._images):
            grid[row, 0].imshow(image.numpy())
            grid[row, 0].set_title('image', fontsize=9)
            for column, name in enumerate(names):
                entropies = self._shown[name][row]
                axes, concepts = grid[row, 1 + 2 * column], grid[row, 2 + 2 * column]
                drawn = heat_map(axes, entropies.numpy(), f'{name}: entropy', low, high)
                used = concept_pixels(entropies[None])[0]
                heat_map(concepts, used.numpy(), f'{name}: concept pixels', 0, 1, 'gray')
            for axes in grid[row]:
                axes.set_axis_off()
                axes.set_aspect('equal')
        color_bar(figure, drawn, grid, 'entropy in nats')
        return figure


def _variance(features: Tensor) -> Tensor:
    """Mean squared distance of features to their mean; their own square for one image."""
    center = features.mean(0) if len(features) > 1 else 0
    return (features - center).square().sum(1).mean().clamp(min=1e-12)


def _pictures(inputs: Tensor) -> Tensor:
    """Normalized images (B, C, H, W) as pictures (B, H, W, C) in [0, 1]."""
    low, high = inputs.amin((1, 2, 3), True), inputs.amax((1, 2, 3), True)
    return ((inputs - low) / (high - low).clamp(min=1e-6)).permute(0, 2, 3, 1).cpu()
