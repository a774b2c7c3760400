"""Each study's numbers against scikit-learn, SciPy, NumPy or a loop."""

import sys

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics
from torch import nn

from mmkd.functional import cka
from mmkd.studies.kinds import STUDIES
from mmkd.studies.kinds.mmd_bound import theorem
from mmkd.studies.kinds.shared_layout import SharedLayout
from mmkd.studies.reservoir import Reservoir
from mmkd.studies.study import Batch, Outputs, Setup

CLASSES = ('a', 'b', 'c', 'd')
N = 90


def outputs(seed, width, labels, sharpness=1.0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    centers = draw(len(CLASSES), width)
    features = centers[labels] + draw(len(labels), width)
    logits = 2 * sharpness * nn.functional.one_hot(labels, len(CLASSES)) + draw(len(labels), 4)
    layers = {'early': draw(len(labels), 7), 'late': features}
    return Outputs(features, logits, layers)


@pytest.fixture(scope='module')
def whole():
    labels = torch.randint(4, (N,), generator=torch.Generator().manual_seed(9))
    teacher = outputs(0, 12, labels, 2.0)
    students = {'kd': outputs(1, 5, labels), 'mine': outputs(2, 6, labels)}
    return Batch(labels, teacher, students)


def part(batch, rows):
    def cut(each):
        layers = {name: layer[rows] for name, layer in each.layers.items()}
        return Outputs(each.features[rows], each.logits[rows], layers, each.sigmoid)

    students = {name: cut(each) for name, each in batch.students.items()}
    return Batch(batch.labels[rows], cut(batch.teacher), students)


def run(name, batch, size=32, **settings):
    """A study's findings for a batch that arrives in parts."""
    students = [*batch.students]
    study = STUDIES[name](Setup(**{'students': students, 'classes': CLASSES, **settings}))
    for start in range(0, len(batch.labels), size):
        if study.training_images:
            study.learn(part(batch, slice(start, start + size)))
    for start in range(0, len(batch.labels), size):
        study.add(part(batch, slice(start, start + size)))
    return study.finish()


def numbers(*args, **settings):
    return run(*args, **settings).numbers


def hsic_1(k, l):  # noqa: E741
    """The unbiased estimator as Song et al. print it."""
    n = len(k)
    k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))  # noqa: E741
    trace, sums = np.trace(k @ l), k.sum() * l.sum() / ((n - 1) * (n - 2))
    return (trace + sums - 2 / (n - 2) * (k @ l).sum()) / (n * (n - 3))


def by_batches(x, y, kernel, batches):
    values = np.zeros(3)
    for rows in batches:
        k, l = kernel(x[rows]), kernel(y[rows])  # noqa: E741
        values += len(k) * np.array([hsic_1(k, l), hsic_1(k, k), hsic_1(l, l)])
    return values[0] / np.sqrt(values[1] * values[2])


def test_layers_are_compared_by_the_minibatch_estimator(whole):
    found = numbers('cka', whole, size=32)
    # Parts of 32 rows are joined to 64; the rest of 26 is a batch of its own.
    batches = [slice(0, 64), slice(64, N)]
    student = found['students']['kd']
    assert found['teacher_layers'] == student['layers'] == ['early', 'late']
    for row, of_teacher in enumerate(whole.teacher.layers.values()):
        for column, of_student in enumerate(whole.students['kd'].layers.values()):
            x, y = of_teacher.double().numpy(), of_student.double().numpy()
            assert student['linear'][row][column] == pytest.approx(
                by_batches(x, y, lambda rows: rows @ rows.T, batches), abs=1e-5
            )


def test_rbf_cka_has_one_bandwidth_for_all_batches(whole):
    found = numbers('cka', whole)['students']['mine']['rbf'][1][1]
    sides = [whole.teacher.layers['late'].numpy(), whole.students['mine'].layers['late'].numpy()]
    grams = []
    for side in sides:
        distances = metrics.pairwise_distances(side[:64].astype(float))
        width = 0.4 * torch.tensor(distances[np.triu_indices(64, 1)]).median().item()
        grams.append(metrics.pairwise.rbf_kernel(side.astype(float), gamma=1 / (2 * width**2)))
    values = np.zeros(3)
    for rows in (slice(0, 64), slice(64, N)):
        k, l = (gram[rows, rows] for gram in grams)  # noqa: E741
        values += len(k) * np.array([hsic_1(k, l), hsic_1(k, k), hsic_1(l, l)])
    assert found == pytest.approx(values[0] / np.sqrt(values[1] * values[2]), abs=1e-4)


def test_one_batch_gives_the_cka_of_the_losses(whole):
    found = numbers('cka', whole, size=N)['students']['kd']
    x, y = whole.teacher.layers['late'], whole.students['kd'].layers['late']
    assert found['linear'][1][1] == pytest.approx(float(cka(x, y, unbiased=True)), abs=1e-5)
    assert found['linear_biased'][1][1] == pytest.approx(float(cka(x, y)), abs=1e-5)


def test_rows_too_few_for_an_estimate_are_counted(whole):
    found = numbers('cka', part(whole, slice(67)), size=64)
    assert (found['samples'], found['left_out']) == (64, 3)
    with pytest.raises(ValueError, match='cka: expected at least 4 samples, got 3'):
        run('cka', part(whole, slice(3)))


def test_logits_by_scipy(whole):
    found = numbers('logits', whole)['students']['kd']
    teacher, student = whole.teacher.logits.numpy(), whole.students['kd'].logits.numpy()
    rows = [*zip(student, teacher, strict=True)]
    assert found['pearson'] == pytest.approx(np.mean([stats.pearsonr(*row)[0] for row in rows]))
    assert found['spearman'] == pytest.approx(np.mean([stats.spearmanr(*row)[0] for row in rows]))
    x, y = whole.students['kd'].logits, whole.teacher.logits
    assert found['cka'] == pytest.approx(float(cka(x, y)), abs=1e-6)
    assert found['class_cka'] == pytest.approx(float(cka(x.mT, y.mT)), abs=1e-6)


def test_epochs_make_a_curve(whole):
    figure = run('logits', whole, epochs=[9, 3]).figures['']
    assert [[*line.get_xdata()] for line in figure.axes[0].lines] == [[3, 9]] * 4
    assert not run('logits', whole, epochs=[3, 3]).figures[''].axes[0].lines


def test_class_matrices_by_numpy(whole):
    found = numbers('classes', whole)['students']['mine']
    student, teacher = whole.students['mine'].logits.numpy(), whole.teacher.logits.numpy()
    assert np.allclose(found['class_correlations'], np.corrcoef(student.T), atol=1e-6)
    assert np.allclose(found['teacher_class_correlations'], np.corrcoef(teacher.T), atol=1e-6)
    labels = whole.labels.numpy()
    for label in range(4):
        distance = np.abs(student - teacher)[labels == label].mean(0)
        assert np.allclose(found['logit_differences'][label], distance, atol=1e-6)


def test_similarities_of_all_pairs_by_a_loop(whole):
    found = numbers('samples', whole, samples=10)['networks']['kd']
    cosines = metrics.pairwise.cosine_similarity(whole.students['kd'].features.numpy())
    same = {True: [], False: []}
    for i in range(N):
        for j in range(N):
            if i != j:
                same[bool(whole.labels[i] == whole.labels[j])].append(cosines[i, j])
    assert found['intra'] == pytest.approx(np.mean(same[True]), abs=1e-6)
    assert found['inter'] == pytest.approx(np.mean(same[False]), abs=1e-6)
    lengths = (whole.students['kd'].features.numpy() ** 2).sum(1)
    counts = np.histogram(lengths / lengths.max(), 40, (0, 1))[0]
    assert found['normalized_squared_length']['histogram'] == counts.tolist()


def test_one_layout_holds_all_networks(whole):
    some = part(whole, slice(40))
    twin = Batch(some.labels, some.teacher, {'twin': some.teacher})
    study = SharedLayout(Setup(students=['twin'], classes=CLASSES))
    study.add(twin)
    points = study.finish().figures[''].axes
    places = [np.asarray(axes.collections[0].get_offsets()) for axes in points[:2]]
    spread = np.ptp(places[0], 0).mean()
    assert np.abs(places[0] - places[1]).mean() < 0.02 * spread


def test_silhouettes_by_scikit_learn(whole):
    found = numbers('embedding', part(whole, slice(40)))
    features = whole.students['kd'].features[:40].numpy()
    labels = whole.labels[:40].numpy()
    value = metrics.silhouette_score(features, labels, metric='cosine')
    assert found['silhouette']['kd'] == pytest.approx(value, abs=1e-5)
    assert 0.5 < found['trustworthiness'] <= 1


def test_umap_names_its_extra(whole, monkeypatch):
    monkeypatch.setitem(sys.modules, 'umap', None)
    with pytest.raises(ImportError, match=r'pip install mmkd\[umap\]'):
        run('embedding', whole, layout='umap')


def test_calibration_by_a_loop(whole):
    found = numbers('calibration', whole)['networks']['teacher']
    scores = whole.teacher.logits.softmax(1).double().numpy()
    confidence, labels = scores.max(1), whole.labels.numpy()
    right = scores.argmax(1) == labels
    error = 0.0
    for low in range(15):
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert found['ece'] == pytest.approx(error, abs=1e-6)
    assert found['negative_log_likelihood'] == pytest.approx(metrics.log_loss(labels, scores))
    truth = np.eye(4)[labels]
    assert found['brier'] == pytest.approx(((scores - truth) ** 2).sum(1).mean(), abs=1e-6)


def test_scores_of_single_classes_are_sigmoids(whole):
    sigmoid = Outputs(whole.teacher.features, whole.teacher.logits, sigmoid=True)
    batch = Batch(whole.labels, sigmoid, {'kd': whole.students['kd']})
    found = numbers('calibration', batch)['networks']['teacher']
    assert found['confidence'] == pytest.approx(float(sigmoid.logits.sigmoid().amax(1).mean()))


def test_entropies_by_scipy(whole):
    found = numbers('entropy', whole)
    probabilities = whole.teacher.logits.softmax(1).double().numpy()
    entropies = stats.entropy(probabilities, axis=1)
    assert found['mean_entropy'] == pytest.approx(entropies.mean(), abs=1e-6)
    unsure = entropies >= entropies.mean()
    assert found['share']['unsure'] == pytest.approx(unsure.mean())
    right = whole.students['kd'].logits.argmax(1) == whole.labels
    assert found['halves']['sure']['accuracy']['kd'] == pytest.approx(right.numpy()[~unsure].mean())


def test_answers_by_scikit_learn(whole):
    found = numbers('agreement', whole)
    teacher, student = (
        each.logits.argmax(1).numpy() for each in (whole.teacher, whole.students['kd'])
    )
    expected = metrics.confusion_matrix(teacher, student, labels=range(4))
    assert found['answers']['kd'] == expected.tolist()
    row, labels = found['to_teacher']['kd'], whole.labels.numpy()
    differ = teacher != student
    assert row['reference_right'] == (differ & (teacher == labels)).sum()
    assert row['other_right'] == (differ & (student == labels)).sum()
    assert row['disagreements'] == differ.sum()
    parts = row['reference_right'] + row['other_right'] + row['neither_right']
    assert parts == row['disagreements']


def test_a_new_head_repeats_what_the_features_determine(whole):
    """Logits that are the new head's optimum agree with it; those of other features do not."""
    features = whole.teacher.features
    head = nn.Linear(12, 4).requires_grad_()
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn='strong_wolfe')

    def loss():
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(head(features), whole.labels)
        value = value + 5e-4 / 2 * head.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    own = Outputs(features, head(features).detach())
    other = Outputs(whole.students['kd'].features, own.logits)
    found = numbers('head', Batch(whole.labels, own, {'other': other}))['to_own_new_head']
    assert found['teacher']['agreement'] == 1
    assert found['other']['agreement'] < 0.95


def test_the_theorem_by_its_terms():
    generator = np.random.default_rng(0)
    x, y = generator.random((9, 4)), generator.random((9, 6))
    found = theorem(torch.tensor(x), torch.tensor(y), center=False)
    k, l = x @ x.T, y @ y.T  # noqa: E741
    k, l = k / np.linalg.norm(k), l / np.linalg.norm(l)  # noqa: E741
    assert found['cka'] == pytest.approx((k * l).sum())
    assert found['equation'] == pytest.approx(found['cka'])
    assert found['bound'] == pytest.approx(1 - 81 / 2 * (k.mean() - l.mean()) ** 2)
    assert found['bound'] >= found['cka']
    assert found['printed'] == pytest.approx(2 - 9 * ((k - l) ** 2).mean())


def test_the_bound_holds_on_every_batch(whole):
    found = numbers('mmd', whole)['students']
    assert [each['plain']['batches'] for each in found.values()] == [2, 2]
    assert all(each[kind]['holds'] for each in found.values() for kind in ('plain', 'centered'))


@pytest.mark.parametrize('sizes', [[50], [1, 19, 30], [7] * 7 + [1]])
def test_a_reservoir_does_not_depend_on_the_batches(sizes):
    kept, start = Reservoir(8, seed=1), 0
    for size in sizes:
        kept.add({'x': torch.arange(start, start + size)})
        start += size
    once = Reservoir(8, seed=1)
    once.add({'x': torch.arange(50)})
    assert kept['x'].tolist() == once['x'].tolist() == sorted(once['x'].tolist())
    assert (len(kept), kept.seen) == (8, 50)


@pytest.mark.parametrize(
    ('name', 'settings', 'message'),
    [
        ('logits', {'classes': ['person']}, 'at least 2 classes, got 1'),
        ('head', {'kind': 'detector'}, 'a classifier, got a detector'),
    ],
)
def test_what_does_not_suit_says_why(name, settings, message):
    with pytest.raises(ValueError, match=message):
        STUDIES[name](Setup(**{'students': ['s'], 'classes': CLASSES, **settings}))
