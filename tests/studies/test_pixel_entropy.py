"""Knowledge quantification: a linear network has a solution in closed form."""

import math

import numpy as np
import pytest
import torch

from mmkd.studies.pixel_entropy import (
    HIGH,
    OFFSET,
    View,
    concept_pixels,
    consistency,
    pixel_entropies,
    random_view,
)


def test_a_linear_network_by_its_closed_form():
    """sigma_i^2 = lambda scale / (2 |J_i|^2), with lambda = 2 change / n."""
    torch.manual_seed(0)
    matrix = torch.randn(16, 6)
    matrix[3] = 0  # a pixel without influence
    images = torch.randn(64, 1, 4, 4)

    def features(inputs):
        return inputs.flatten(1) @ matrix

    found = pixel_entropies(features, images, 2.0, change=0.01, steps=200)
    sigma = (0.01 * 2.0 / 16 / matrix.square().sum(1)).sqrt()
    expected = sigma.log() + OFFSET
    expected[3] = HIGH + OFFSET
    mean = found.mean(0).flatten()
    assert torch.allclose(mean, expected, atol=0.2)
    assert found.shape == (64, 4, 4)


def test_entropy_of_a_gaussian():
    from scipy import stats

    assert math.log(0.3) + OFFSET == pytest.approx(stats.norm(scale=0.3).entropy())


@pytest.mark.parametrize(
    'view', [View(0, 0, False), View(1, -2, False), View(-1, 1, True), View(2, 0, True)]
)
def test_a_view_is_undone(view):
    image = torch.arange(1.0, 25).view(4, 6)
    back = view.undo(view.of(image))
    seen = view.seen(4, 6)
    assert torch.equal(back[seen], image[seen])
    assert not back[~seen].any()
    assert int(seen.sum()) == (4 - abs(view.down)) * (6 - abs(view.right))


def test_consistency_by_a_loop():
    generator = torch.Generator().manual_seed(3)
    views = View(1, 0, True), View(-1, 2, False)
    maps = [torch.rand(2, 5, 6, generator=generator) for _ in views]
    found = consistency(*maps, views)
    for index in range(2):
        both = either = 0
        for row in range(5):
            for column in range(6):
                uses = []
                for view, each in zip(views, maps, strict=True):
                    y, x = row + view.down, column + view.right
                    if not (0 <= y < 5 and 0 <= x < 6):
                        break
                    x = 5 - x if view.mirrored else x
                    entropies = each[index].numpy()
                    uses.append(entropies[y, x] < np.mean(entropies))
                else:
                    both, either = both + all(uses), either + any(uses)
        assert float(found[index]) == pytest.approx(both / either)


def test_equal_maps_are_consistent():
    maps = torch.rand(1, 8, 8)
    plain = View(0, 0, False)
    assert float(consistency(maps, maps, (plain, plain))) == 1
    assert 0 < int(concept_pixels(maps).sum()) < 64


def test_views_stay_within_an_eighth():
    generator = torch.Generator().manual_seed(0)
    views = [random_view((32, 16), generator) for _ in range(60)]
    assert {view.mirrored for view in views} == {True, False}
    assert max(abs(view.down) for view in views) == 4
    assert max(abs(view.right) for view in views) == 2


@pytest.mark.parametrize(
    ('argument', 'value'), [('change', 0.0), ('rate', -1.0), ('steps', 0), ('steps', 2.5)]
)
def test_wrong_arguments_are_named(argument, value):
    with pytest.raises((ValueError, TypeError), match=argument):
        pixel_entropies(lambda x: x.flatten(1), torch.zeros(1, 1, 2, 2), 1.0, **{argument: value})
