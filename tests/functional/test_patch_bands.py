"""Patches by band matrices against the plain cutting of maps."""

import pytest
import torch

from mmkd.functional import to_patches
from mmkd.functional.patch_bands import PatchCutter, bands

SIZES = pytest.mark.parametrize('size', [(8, 12), (10, 13), (3, 17), (1, 5), (25, 42)])
FITS = pytest.mark.parametrize('fit', ['resize', 'pad'])
P = 4


def column_major(patches, size):
    """Patches (G, N, D) of a map of this size, from row-major order, as (N, G, D)."""
    rows = -(-size[0] // P)
    return patches.unflatten(1, (rows, -1)).transpose(1, 2).flatten(1, 2).transpose(0, 1)


@SIZES
@FITS
def test_cut_equals_to_patches(size, fit):
    maps = torch.randn(3, 2, *size, dtype=torch.float64)
    cutter = PatchCutter(maps.shape, P, fit, torch.float64)
    expected = to_patches(maps, P, average='batch', fit=fit)
    torch.testing.assert_close(cutter.cut(maps), column_major(expected, size))


@SIZES
@FITS
def test_join_is_the_adjoint_of_cut(size, fit):
    maps = torch.randn(2, 3, *size, dtype=torch.float64)
    cutter = PatchCutter(maps.shape, P, fit, torch.float64)
    cut = cutter.cut(maps).clone()
    patches = torch.randn_like(cut)
    torch.testing.assert_close((cut * patches).sum(), (maps * cutter.join(patches)).sum())


def test_join_product_is_the_adjoint_of_the_weighted_patches():
    maps = torch.randn(2, 3, 10, 13, dtype=torch.float64)
    cutter = PatchCutter(maps.shape, P, 'resize', torch.float64)
    rows = cutter.cut(maps).clone().transpose(0, 1)
    for _ in range(2):  # what the first leaves behind does not matter
        weights = torch.randn(2, rows.shape[1], rows.shape[1], dtype=torch.float64)
        expected = cutter.join((weights @ rows).transpose(0, 1).contiguous()).clone()
        cutter.cut(maps)
        torch.testing.assert_close(cutter.join_product(weights), expected)


def test_a_cutter_forgets_what_it_cut_before():
    first, second = torch.randn(2, 2, 1, 10, 13)
    cutter = PatchCutter(first.shape, P, 'pad', torch.float32)
    cutter.join(cutter.cut(first).clone())
    expected = PatchCutter(first.shape, P, 'pad', torch.float32).cut(second)
    assert torch.equal(cutter.cut(second), expected)


def test_maps_of_any_layout_and_dtype_are_taken():
    maps = torch.randn(5, 2, 10, 13)
    cutter = PatchCutter((2, 5, 10, 13), P, 'resize', torch.float32)
    expected = cutter.cut(maps.half().float().transpose(0, 1).contiguous()).clone()
    assert torch.equal(cutter.cut(maps.half().transpose(0, 1)), expected)


def test_a_band_holds_only_the_pixels_it_looks_at():
    first, last = bands(10, 5, 'resize', torch.float32)
    assert first.pixels == slice(0, 5)  # nothing is stretched: the identity
    assert torch.equal(first.weights, torch.eye(5))
    assert torch.equal(last.weights, torch.eye(5))
    (padded,) = bands(3, 5, 'pad', torch.float32)
    assert padded.weights.shape == (3, 5)
    assert padded.weights[:, 3:].eq(0).all()
    assert all(band.weights.shape[0] <= 16 + 2 for band in bands(100, 16, 'resize', torch.float32))
