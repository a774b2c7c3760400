"""Readings of the papers' equations that options choose, by a second route, and their factors."""

import math

import numpy as np
import pytest
import torch
from scipy import special, stats

from mmkd.functional import (
    alignment,
    cmkd,
    feature_kernel,
    feature_kernel_distance,
    knowledge_correlation,
    similarity_distance,
    supervised_contrastive,
)
from mmkd.losses import (
    CCKDLoss,
    CMKDLoss,
    DLKDAlignLoss,
    DLKDCorrLoss,
    DLKDSupLoss,
    FKDLoss,
    PCKALoss,
    SPLoss,
)

LABELS = torch.tensor([0, 1, 0, 2, 1, 1])


def rows(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64) + 0.3


def assert_loss(loss, expected, *arguments):
    """A module of weight 2 has twice the function's value, and its gradient is that of autograd."""
    assert loss(*arguments).item() == pytest.approx(2 * expected, rel=1e-9)
    student = arguments[0].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(s, *arguments[1:]), student)


@pytest.mark.parametrize('reduction', ['mean', 'sum'])
def test_alignment_of_raw_features(reduction):
    student, teacher = rows(6, 4), 3 * rows(6, 4, seed=1)
    expected = getattr(np, reduction)(((student - teacher).numpy() ** 2).sum(1))
    assert alignment(student, teacher, reduction, normalize=False).item() == pytest.approx(expected)
    loss = DLKDAlignLoss(loss_weight=2.0, reduction=reduction, normalize=False)
    assert_loss(loss, expected, student, teacher)


def test_alignment_of_raw_features_of_one_length_is_a_multiple():
    student, teacher = (7 * torch.nn.functional.normalize(rows(6, 4, seed=s)) for s in (0, 1))
    raw = alignment(student, teacher, normalize=False)
    torch.testing.assert_close(raw, 49 * alignment(student, teacher))


def test_sums_of_correlation_and_contrast_are_means_times_their_rows():
    student, teacher = rows(4 * 3, 5), rows(4 * 3, 5, seed=1)
    views = [x.unflatten(0, (4, 3)).transpose(0, 1) for x in (student, teacher)]
    mean = knowledge_correlation(*views).item()
    assert knowledge_correlation(*views, reduction='sum').item() == pytest.approx(3 * 3 * mean)
    assert_loss(DLKDCorrLoss(loss_weight=2.0, reduction='sum'), 9 * mean, student, teacher)
    student, teacher = student[:6], teacher[:6]
    mean = supervised_contrastive(student, teacher, LABELS).item()
    total = supervised_contrastive(student, teacher, LABELS, reduction='sum').item()
    assert total == pytest.approx(2 * 6 * mean)
    loss = DLKDSupLoss(loss_weight=2.0, reduction='sum')
    assert loss(student, teacher, LABELS).item() == pytest.approx(2 * total)


def eq_7_loop(student, teacher, labels, tau):
    """Eq. 7 of DLKD as printed, anchor by anchor: C = 2 N_y - 1 positives, without itself."""
    z = np.concatenate([x / np.linalg.norm(x, axis=1, keepdims=True) for x in (student, teacher)])
    y = np.concatenate([labels, labels])
    total = 0.0
    for i in range(len(z)):
        others = [k for k in range(len(z)) if k != i]
        log_sum = special.logsumexp([z[i] @ z[k] / tau for k in others])
        positives = [j for j in others if y[j] == y[i]]
        assert len(positives) == 2 * (labels == y[i]).sum() - 1
        total -= sum(z[i] @ z[j] / tau - log_sum for j in positives) / len(positives)
    return total


@pytest.mark.parametrize('tau', [0.07, 1.0])
def test_contrast_with_the_embeddings_of_both_networks(tau):
    student, teacher = rows(6, 5), rows(6, 5, seed=1)
    total = eq_7_loop(student.numpy(), teacher.numpy(), LABELS.numpy(), tau)
    options = dict(tau=tau, candidates='both')
    value = supervised_contrastive(student, teacher, LABELS, **options)
    assert value.item() == pytest.approx(total / 12, rel=1e-10)
    value = supervised_contrastive(student, teacher, LABELS, reduction='sum', **options)
    assert value.item() == pytest.approx(total, rel=1e-10)
    loss = DLKDSupLoss(loss_weight=2.0, **options)
    assert_loss(loss, total / 12, student, teacher, LABELS)
    assert torch.autograd.gradcheck(lambda t: loss(student, t, LABELS), teacher.requires_grad_())


def test_contrast_of_both_networks_by_hand():
    # Each anchor sees its own class at 1 (the other network), the other class twice at 0.
    embeddings = torch.eye(2)
    loss = DLKDSupLoss(tau=1.0, loss_weight=1.0, candidates='both')
    value = loss(embeddings, embeddings, torch.tensor([3, 7]))
    assert value.item() == pytest.approx(math.log(1 + 2 / math.e))


@pytest.mark.parametrize('count', [0, 1])
def test_contrast_of_both_networks_is_zero_for_one_row_or_none(count):
    student = torch.randn(count, 3, requires_grad=True)
    labels = torch.zeros(count, dtype=torch.long)
    value = supervised_contrastive(student, torch.randn(count, 3), labels, candidates='both')
    value.backward()
    assert value == 0
    assert not student.grad.any()


def test_contrast_of_both_networks_with_nan_or_zeros():
    student, teacher = rows(6, 5), rows(6, 5, seed=1)
    student[2] = 0
    assert supervised_contrastive(student, teacher, LABELS, candidates='both').isfinite()
    student[2, 0] = float('nan')
    assert supervised_contrastive(student, teacher, LABELS, candidates='both').isnan()


def stretched(image, height, width):
    """Bilinear, with half-pixel centers, of one image (H, W)."""
    weights = []
    for size, target in zip(image.shape, (height, width), strict=True):
        place = np.clip((np.arange(target) + 0.5) * size / target - 0.5, 0, size - 1)
        weights.append(np.maximum(0, 1 - np.abs(place[:, None] - np.arange(size))))
    return weights[0] @ image @ weights[1].T


def pcka_loop(student, teacher, side, inter):
    """The released PCKA: patches of one side however few there are, and no centering."""
    total = 0.0
    for channel in range(student.shape[1]):
        sides = []
        for maps in (student.numpy(), teacher.numpy()):
            height, width = (-(-size // side) * side for size in maps.shape[2:])
            images = [stretched(image, height, width) for image in maps[:, channel]]
            corners = [(i, j) for i in range(0, height, side) for j in range(0, width, side)]
            patches = [[x[i : i + side, j : j + side] for x in images] for i, j in corners]
            sides.append(np.array(patches).reshape(len(corners), -1))
        for x, y in [sides] + inter * [[rows.T for rows in sides]]:
            k, l = x @ x.T, y @ y.T  # noqa: E741
            total += 1 - (k * l).sum() / np.linalg.norm(k) / np.linalg.norm(l)
    return total / student.shape[1]


@pytest.mark.parametrize('inter', [0, 1])
@pytest.mark.parametrize('size', [(7, 10), (3, 4), (9, 12)])
def test_pcka_as_released(size, inter):
    """13 x 21 pixels are two patches of 16; here at half the scale: 7 x 10 and 8."""
    student, teacher = rows(2, 3, *size), rows(2, 3, *size, seed=1)
    released = dict(patch_size=8, center=False, min_patches=1, inter_weight=float(inter))
    expected = pcka_loop(student, teacher, 8, inter)
    value = PCKALoss(loss_weight=10.0, **released)(student, teacher).item()
    assert value == pytest.approx(10 * expected, rel=1e-9, abs=1e-12)
    ours = PCKALoss(loss_weight=10.0, **released | dict(min_patches=4))(student, teacher).item()
    assert (ours == value) == (size == (9, 12))  # it has four patches


def fkd_loop(student, teacher, normalize, exponent, pairs):
    """Eq. 3 pair by pair."""
    total, count = 0.0, 0
    for i in range(len(student)):
        for j in range(len(student)):
            if i != j or pairs == 'all':
                values = []
                for x in (student.numpy(), teacher.numpy()):
                    scale = np.linalg.norm(x[i]) * np.linalg.norm(x[j]) if normalize else 1.0
                    values.append(float(x[i] @ x[j]) / scale)
                total += abs(values[0] - values[1]) ** exponent
                count += 1
    return total / count


@pytest.mark.parametrize('normalize', [True, False])
@pytest.mark.parametrize('exponent', [1, 2, 2.5, 4])
@pytest.mark.parametrize('pairs', ['distinct', 'all'])
def test_feature_kernels_of_eq_3(normalize, exponent, pairs):
    student, teacher = rows(5, 3), rows(5, 7, seed=1)
    settings = dict(normalize=normalize, exponent=exponent, pairs=pairs)
    expected = fkd_loop(student, teacher, **settings)
    assert feature_kernel_distance(student, teacher, **settings).item() == pytest.approx(expected)
    loss = FKDLoss(1.0, 0.0, loss_weight=2.0, **settings)
    assert_loss(loss, expected, student, teacher)


def test_algorithm_2_is_algorithm_1_times_its_factor():
    student, teacher = rows(5, 3), rows(5, 7, seed=1)
    first = feature_kernel_distance(student, teacher)
    second = feature_kernel_distance(student, teacher, pairs='all')
    torch.testing.assert_close(second, first * 4 / 5)


def test_raw_kernel_is_the_gram_matrix():
    x = rows(5, 3)
    np.testing.assert_allclose(feature_kernel(x, normalize=False), x.numpy() @ x.numpy().T)


def sp_loop(student, teacher):
    """Tung and Mori, with NumPy."""
    grams = []
    for x in (student.numpy(), teacher.numpy()):
        gram = x @ x.T
        grams.append(gram / np.linalg.norm(gram, axis=1, keepdims=True))
    return ((grams[0] - grams[1]) ** 2).sum() / len(student) ** 2


def test_similarity_preserving():
    student, teacher = rows(5, 3), rows(5, 7, seed=1)
    expected = sp_loop(student, teacher)
    assert similarity_distance(student, teacher).item() == pytest.approx(expected)
    assert similarity_distance(3 * student, student).item() == pytest.approx(0, abs=1e-15)
    maps = student[:, :, None, None].expand(-1, -1, 2, 2)  # the same Gram matrix, times 4
    assert SPLoss(2.0)(maps, teacher).item() == pytest.approx(2 * expected)
    assert_loss(SPLoss(2.0), expected, student, teacher)


@pytest.mark.parametrize('value', [0.0, 1.0])
def test_similarity_of_constant_features_is_finite(value):
    student = torch.full((4, 3), value, requires_grad=True)
    similarity_distance(student, rows(4, 2).float()).backward()
    assert student.grad.isfinite().all()


def cmkd_loop(student, teacher, normalize, correlations):
    """Both correlations by SciPy, at temperature 4 and weights 4 and 1."""
    entropies = stats.entropy(special.softmax(teacher, axis=1), axis=1)
    losses = []
    for s, t, h in zip(student, teacher, entropies, strict=True):
        scores = [stats.zscore(z, ddof=1) if normalize else z for z in (s, t)]
        linear = 1 - stats.pearsonr(*(special.softmax(z / 4) for z in scores))[0]
        ranking = 1 - stats.spearmanr(s, t)[0]
        sure = h < entropies.mean()
        both = linear + 4 * ranking if sure else 4 * linear + ranking
        losses.append({'both': both, 'pearson': 4 * linear, 'spearman': 4 * ranking}[correlations])
    return np.mean(losses)


@pytest.mark.parametrize('normalize', [True, False])
@pytest.mark.parametrize('correlations', ['both', 'pearson', 'spearman'])
@pytest.mark.parametrize('ranked', ['zscores', 'probabilities'])
def test_parts_of_cmkd(normalize, correlations, ranked):
    student, teacher = 2 * rows(8, 10), 3 * rows(8, 10, seed=1)
    settings = dict(normalize=normalize, correlations=correlations, ranked=ranked)
    expected = cmkd_loop(student.numpy(), teacher.numpy(), normalize, correlations)
    exact = dict(settings, rank_strength=1e-6)
    assert cmkd(student, teacher, **exact).item() == pytest.approx(expected, rel=1e-9)
    assert CMKDLoss(loss_weight=2.0, **exact)(student, teacher).item() == pytest.approx(
        2 * expected
    )


def test_soft_ranks_of_probabilities_are_those_of_the_softmax():
    from mmkd.functional import soft_rank, zscore

    student, teacher = 2 * rows(8, 10), 3 * rows(8, 10, seed=1)
    value = cmkd(student, teacher, correlations='spearman', ranked='probabilities')
    soft = soft_rank((zscore(student) / 4).softmax(-1), 0.5, 'fast').numpy()
    exact = stats.rankdata(teacher.numpy(), axis=1)
    rho = [stats.pearsonr(s, t)[0] for s, t in zip(soft, exact, strict=True)]
    assert value.item() == pytest.approx(4 * (1 - np.mean(rho)))
    assert value != cmkd(student, teacher, correlations='spearman')


def soft_ranks(values, strength=0.5):
    """Sums of sigmoids, with NumPy: ``pairwise`` of ``soft_rank``."""
    unit = strength * (values.max() - values.min()) / (len(values) - 1)
    return np.array([0.5 + special.expit((v - values) / unit).sum() for v in values])


def test_soft_ranks_of_both_networks():
    student, teacher = 2 * rows(8, 10), 3 * rows(8, 10, seed=1)
    options = dict(rank_method='pairwise', correlations='spearman', teacher_ranks='soft')
    pairs = zip(student.numpy(), teacher.numpy(), strict=True)
    rho = [stats.pearsonr(soft_ranks(s), soft_ranks(t))[0] for s, t in pairs]
    expected = 4 * (1 - np.mean(rho))
    assert cmkd(student, teacher, **options).item() == pytest.approx(expected)
    assert CMKDLoss(loss_weight=2.0, **options)(student, teacher).item() == pytest.approx(
        2 * expected
    )
    exact = dict(rank_strength=1e-6)  # soft ranks are exact here
    torch.testing.assert_close(
        cmkd(student, teacher, teacher_ranks='soft', **exact), cmkd(student, teacher, **exact)
    )


@pytest.mark.parametrize('rank_method', ['fast', 'pairwise'])
@pytest.mark.parametrize('settings', [{}, dict(ranked='probabilities'), dict(normalize=False)])
def test_equal_logits_have_no_distance_and_no_gradient_with_soft_ranks_of_both(
    rank_method, settings
):
    teacher = torch.randn(16, 100, generator=torch.Generator().manual_seed(0))

    def length(student, teacher_ranks):
        student = student.clone().requires_grad_()
        loss = CMKDLoss(rank_method=rank_method, teacher_ranks=teacher_ranks, **settings)
        value = loss(student, teacher)
        value.backward()
        return value.item(), student.grad.norm().item()

    _, unrelated = length(teacher.flip(0), 'exact')
    value, left = length(teacher, 'exact')
    assert value > 1e-4
    assert left > 1e-4 * unrelated
    value, left = length(teacher, 'soft')
    assert value == 0
    assert left < 1e-6 * unrelated


def test_cckd_of_layers_in_the_networks_divides_by_the_length():
    student, teacher = rows(5, 3), rows(5, 7, seed=1)
    unit = [torch.nn.functional.normalize(x) for x in (student, teacher)]
    expected = CCKDLoss(loss_weight=1.0)(*unit).item()
    loss = CCKDLoss(loss_weight=2.0, normalize=True)
    assert_loss(loss, expected, student, teacher)
    assert CCKDLoss(loss_weight=2.0)(student, teacher).item() != pytest.approx(2 * expected)


@pytest.mark.parametrize(
    ('loss', 'settings', 'message'),
    [
        (DLKDCorrLoss, dict(reduction='none'), 'reduction: expected one of'),
        (DLKDSupLoss, dict(reduction='total'), 'reduction: expected one of'),
        (FKDLoss, dict(exponent=0.5), 'exponent: expected a finite number >= 1, got 0.5'),
        (FKDLoss, dict(exponent=math.inf), 'exponent: expected'),
        (FKDLoss, dict(pairs='some'), "pairs: expected one of .*, got 'some'"),
        (CMKDLoss, dict(correlations='kendall'), 'correlations: expected one of'),
        (CMKDLoss, dict(ranked='logits'), 'ranked: expected one of'),
        (CMKDLoss, dict(teacher_ranks='hard'), r"teacher_ranks: expected one of .* got 'hard'"),
        (DLKDSupLoss, dict(candidates='all'), r"candidates: expected one of .* got 'all'"),
        (SPLoss, dict(loss_weight=-1.0), 'loss_weight: expected'),
    ],
)
def test_unknown_readings(loss, settings, message):
    with pytest.raises(ValueError, match=message):
        loss(**settings)
