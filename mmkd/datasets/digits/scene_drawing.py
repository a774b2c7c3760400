"""Drawing of a digit scene: a textured ground, clutter, then handwritten digits in layers."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

MIN_VISIBLE = 0.8  # share of a digit's ink that later digits must leave uncovered
MIN_CONTRAST, MAX_CONTRAST = 60.0, 160.0  # gray levels between a glyph and what lies under it
HEIGHTS = (1 / 14, 7 / 8)  # of a digit, relative to the scene; drawn log-uniformly
MAX_DIGITS = 8
_ATTEMPTS = 25  # to find a place that leaves the other digits visible


@dataclass(frozen=True)
class Scene:
    """A drawn scene.

    Attributes:
        image: BGR picture of shape ``(S, S, 3)``, uint8.
        labels: The digits' values, in drawing order.
        inks: One boolean mask of shape ``(S, S)`` a digit: its ink, including covered parts.
    """

    image: np.ndarray
    labels: list[int]
    inks: list[np.ndarray]

    def visible_inks(self) -> list[np.ndarray]:
        """Return masks of the ink that no later digit covers."""
        return _uncovered(self.inks)


def draw_scene(
    rng: np.random.Generator, glyphs: np.ndarray, labels: np.ndarray, size: int
) -> Scene:
    """Draw one to eight of ``glyphs`` over clutter on a textured ground.

    Every digit except the largest lies inside the picture. At least :data:`MIN_VISIBLE` of each
    digit's ink stays uncovered.

    Args:
        rng: Source of all randomness. The scene depends only on its state.
        glyphs: Digits to choose from, shape ``(n, 8, 8)``, float32, ink near 1.
        labels: Their values, shape ``(n,)``.
        size: Side of the square scene in pixels.
    """
    image = _ground(rng, size)
    _add_clutter(rng, image, glyphs)
    drawn: list[int] = []
    inks: list[np.ndarray] = []
    for _ in range(rng.integers(1, MAX_DIGITS + 1)):
        pick = int(rng.integers(len(glyphs)))
        height = size * HEIGHTS[0] * (HEIGHTS[1] / HEIGHTS[0]) ** rng.random()
        for _ in range(_ATTEMPTS):
            alpha = _warp_glyph(rng, glyphs[pick], height, size)
            ink = alpha >= 0.5
            if _legible([*inks, ink]):
                paint(rng, image, alpha)
                drawn.append(int(labels[pick]))
                inks.append(ink)
                break
    return Scene(_expose(rng, image), drawn, inks)


def paint(rng: np.random.Generator, image: np.ndarray, alpha: np.ndarray) -> None:
    """Blend a glyph into ``image`` in place, in a color that contrasts with the pixels below.

    Args:
        rng: Chooses the polarity (lighter or darker), the contrast and the hue.
        image: Picture of shape ``(S, S, 3)``, float32, 0 to 255.
        alpha: Coverage of the glyph, shape ``(S, S)``, 0 to 1.
    """
    under = float(image[alpha >= 0.5].mean())
    step = rng.uniform(MIN_CONTRAST, MAX_CONTRAST)
    levels = [level for level in (under - step, under + step) if 0 <= level <= 255]
    # If the step leaves the scale on both sides, take the farther end, at least 127 away.
    level = float(rng.choice(levels)) if levels else 255.0 * (under < 127.5)
    hue = rng.normal(0, 20, 3)
    hue -= hue.mean()
    # Clipping the hue at 0 or 255 would reduce the contrast. Scale the hue to fit instead.
    hue *= min(1.0, min(level, 255 - level) / np.abs(hue).max())
    x, y, width, height = cv2.boundingRect((alpha > 0).astype(np.uint8))
    patch = image[y : y + height, x : x + width]
    weight = alpha[y : y + height, x : x + width, None].astype(np.float32)
    patch += weight * ((level + hue).astype(np.float32) - patch)


def _legible(inks: list[np.ndarray]) -> bool:
    return all(
        seen.sum() >= MIN_VISIBLE * ink.sum()
        for seen, ink in zip(_uncovered(inks), inks, strict=True)
    )


def _uncovered(inks: list[np.ndarray]) -> list[np.ndarray]:
    seen = []
    covered = np.zeros_like(inks[0])
    for ink in reversed(inks):
        seen.append(ink & ~covered)
        covered = covered | ink
    return seen[::-1]


def _ground(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a colored surface with noise at several scales and a few flat panes."""
    base = np.clip(rng.uniform(40, 215) + rng.normal(0, 15, 3), 0, 255)
    image = np.empty((size, size, 3), np.float32)
    image[:] = base
    for cells in (3, 9, 27):
        noise = rng.normal(0, rng.uniform(1, 9), (cells, cells, 3)).astype(np.float32)
        image += cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    for _ in range(rng.integers(4)):
        pane = np.zeros((size, size), np.uint8)
        corners = rng.uniform(-0.2, 1.2, (4, 2)) * size
        cv2.fillConvexPoly(pane, cv2.convexHull(corners.astype(np.int32)), 1)
        image[pane > 0] += rng.normal(0, 12, 3)
    return np.clip(image, 0, 255)


def _add_clutter(rng: np.random.Generator, image: np.ndarray, glyphs: np.ndarray) -> None:
    """Draw ink that is no digit: fragments, curves, polygons, crosses."""
    size = len(image)
    for _ in range(rng.integers(1, 7)):
        extent = size * rng.uniform(0.06, 0.35)
        if rng.random() < 0.3:
            glyph = glyphs[rng.integers(len(glyphs))]
            alpha = _fragment(rng, _warp_glyph(rng, glyph, extent, size))
        else:
            alpha = _line_drawing(rng, extent, size)
        if (alpha >= 0.5).any():
            paint(rng, image, alpha)


def _warp_glyph(
    rng: np.random.Generator, glyph: np.ndarray, height: float, size: int
) -> np.ndarray:
    """Return the coverage ``(size, size)`` of a glyph of ``height`` at a random place."""
    rows, columns = np.nonzero(glyph >= 0.25)
    low = np.array([columns.min(), rows.min()])
    high = np.array([columns.max(), rows.max()])
    half = (high - low + 1) / 2
    scale = height / (2 * half[1])
    turn = math.radians(rng.uniform(-10, 10))
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    slant = np.array([[rng.uniform(0.85, 1.2), rng.uniform(-0.15, 0.15)], [0, 1]])
    linear = scale * rotation @ slant
    # Cubic interpolation may spread the glyph by half a source pixel.
    reach = np.minimum(np.abs(linear) @ (half + 0.5), size / 2)
    center = rng.uniform(reach, size - reach)
    shift = center - linear @ ((low + high) / 2)
    value = cv2.warpAffine(
        glyph, np.column_stack([linear, shift]), (size, size), flags=cv2.INTER_CUBIC
    )
    # A steeper ramp makes the edges of a large glyph as crisp as those of a small one.
    threshold, gain = rng.uniform(0.3, 0.5), max(2.0, 0.5 * scale)
    return np.clip(0.5 + gain * (value - threshold), 0, 1)


def _fragment(rng: np.random.Generator, alpha: np.ndarray) -> np.ndarray:
    """Return the part of a glyph on one side of a random line: 25 to 45 % of its ink."""
    turn = rng.uniform(0, 2 * math.pi)
    along = np.tensordot([math.cos(turn), math.sin(turn)], np.indices(alpha.shape), 1)
    cut = np.quantile(along[alpha >= 0.5], rng.uniform(0.25, 0.45))
    return np.where(along <= cut, alpha, 0)


def _line_drawing(rng: np.random.Generator, extent: float, size: int) -> np.ndarray:
    """Return the coverage of an open curve, an outlined polygon or a cross of size ``extent``."""
    lines = _LINE_DRAWINGS[rng.integers(len(_LINE_DRAWINGS))](rng)
    turn = rng.uniform(0, 2 * math.pi)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    center = rng.uniform(0, size, 2)
    points = [(line @ rotation.T * extent / 2 + center).astype(np.int32) for line in lines]
    width = max(1, round(extent * rng.uniform(0.06, 0.2)))
    canvas = np.zeros((size, size), np.uint8)
    cv2.polylines(canvas, points, isClosed=False, color=255, thickness=width, lineType=cv2.LINE_AA)
    return canvas.astype(np.float32) / 255


def _curve(rng: np.random.Generator) -> list[np.ndarray]:
    start, bend, end = rng.uniform(-1, 1, (3, 2))
    t = np.linspace(0, 1, 16)[:, None]
    return [(1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end]


def _polygon(rng: np.random.Generator) -> list[np.ndarray]:
    sides = rng.integers(3, 5)
    angle = 2 * math.pi * np.arange(sides + 1) / sides
    return [np.stack([np.cos(angle), rng.uniform(0.5, 1) * np.sin(angle)], axis=1)]


def _cross(rng: np.random.Generator) -> list[np.ndarray]:
    across = np.array([[-1.0, 0.0], [1.0, 0.0]])
    return [across, rng.uniform(0.5, 1) * across[:, ::-1] + [rng.uniform(-0.5, 0.5), 0]]


_LINE_DRAWINGS = (_curve, _polygon, _cross)


def _expose(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Blur slightly, add sensor noise, and round to uint8."""
    blurred = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.9))
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    noisy = blurred + np.float32(rng.uniform(1, 8)) * noise
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
