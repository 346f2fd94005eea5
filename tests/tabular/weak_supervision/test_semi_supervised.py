"""Self-training and spreading labels: fixed points in closed form, planted clusters, and bad input."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.datasets import make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular.weak_supervision.label_propagation import LabelPropagation, LabelSpreading
from breadth.tabular.weak_supervision.self_training import SelfTrainingClassifier

# what scikit-learn declares for its own
ZERO = {"check_non_transformer_estimators_n_iter": "n_iter_ can be 0"}


@pytest.mark.filterwarnings("ignore:.*max_iter", "ignore:.*unlabeled samples")
@parametrize_with_checks(
    [
        SelfTrainingClassifier(LogisticRegression(), max_iter=5),
        LabelPropagation(max_iter=5),
        LabelSpreading(max_iter=5),
    ],
    expected_failed_checks=lambda model: ZERO if isinstance(model, SelfTrainingClassifier) else {},
)
def test_estimator_protocol(estimator, check):
    check(estimator)


def moons(n: int = 200, labels: int = 5, seed: int = 0):
    """Two half circles; so many rows of each have a label."""
    X, truth = make_moons(n, noise=0.05, random_state=seed)
    y = np.full(n, -1)
    for k in (0, 1):
        rows = np.flatnonzero(truth == k)[:labels]
        y[rows] = k
    return X, y, truth


def affinity(model, X):
    if model.kernel == "rbf":
        return np.exp(-model.gamma * ((X[:, None] - X[None]) ** 2).sum(-1))
    near = np.argsort(((X[:, None] - X[None]) ** 2).sum(-1), axis=1, kind="stable")[:, : model.n_neighbors]
    W = np.zeros((len(X), len(X)))
    np.put_along_axis(W, near, 1.0, axis=1)
    return W


@pytest.mark.parametrize("kernel", ["rbf", "knn"])
def test_propagation_ends_where_a_walk_first_meets_each_label(kernel):
    """F_u = (I - T_uu)^-1 T_ul Y_l, Zhu & Ghahramani's eq. 5."""
    X, y, _ = moons(80)
    model = LabelPropagation(kernel, tol=1e-13, max_iter=100_000).fit(X, y)
    T = affinity(model, X)
    T /= T.sum(1, keepdims=True)
    known = y != -1
    one_hot = np.eye(2)[y[known]]
    F = np.linalg.solve(np.eye((~known).sum()) - T[np.ix_(~known, ~known)], T[np.ix_(~known, known)] @ one_hot)
    assert_allclose(model.label_distributions_[~known], F, atol=1e-9)  # slow walks leave tol times their length
    assert_array_equal(model.label_distributions_[known], one_hot)


@pytest.mark.parametrize("kernel", ["rbf", "knn"])
def test_spreading_ends_at_its_limit(kernel):
    """(1 - a) (I - a S)^-1 Y, Zhou et al.'s eq. 4, rows scaled to sum 1."""
    X, y, _ = moons(80)
    model = LabelSpreading(kernel, alpha=0.7, tol=1e-13, max_iter=1000).fit(X, y)
    W = affinity(model, X)
    np.fill_diagonal(W, 0)
    root = np.sqrt(W.sum(0))
    S = W / root / root[:, None]
    Y = (y[:, None] == [0, 1]).astype(float)
    F = np.linalg.solve(np.eye(80) - 0.7 * S, Y)
    assert_allclose(model.label_distributions_, F / F.sum(1, keepdims=True), atol=1e-9)  # the tolerance of the loop


@pytest.mark.parametrize("make", [LabelPropagation, LabelSpreading])
@pytest.mark.parametrize("kernel", ["rbf", "knn"])
def test_a_few_labels_reach_the_ends_of_half_circles_that_no_line_divides(make, kernel):
    X, y, truth = moons(300, labels=3)
    model = make(kernel, max_iter=2000, **({"alpha": 0.99} if make is LabelSpreading else {})).fit(X, y)
    line = LogisticRegression().fit(X[y != -1], y[y != -1]).score(X, truth)
    assert (model.transduction_ == truth).mean() > 0.97 > line
    fresh, other = make_moons(300, noise=0.05, random_state=9)
    assert model.score(fresh, other) > 0.97


def test_spreading_can_correct_a_wrong_label_and_propagation_keeps_it():
    X, y, truth = moons(200, labels=60)
    wrong = np.flatnonzero(y == 0)[0]
    y[wrong] = 1
    assert LabelSpreading(alpha=0.95, max_iter=500).fit(X, y).transduction_[wrong] == truth[wrong] == 0
    assert LabelPropagation(max_iter=5000).fit(X, y).transduction_[wrong] == 1


def test_surest_answers_join_first_and_stay():
    X, y, _ = moons(300, labels=20)
    model = SelfTrainingClassifier(GaussianNB(), criterion="k_best", k_best=7, max_iter=None).fit(X, y)
    joined = np.bincount(model.labeled_iter_)
    assert joined[0] == 40 and (joined[1:-1] == 7).all() and joined.sum() == 300
    assert model.termination_condition_ == "all_labeled"
    first = GaussianNB().fit(X[y != -1], y[y != -1]).predict_proba(X).max(1)
    rows = model.labeled_iter_ == 1
    assert first[rows].min() >= first[model.labeled_iter_ > 1].max()
    assert_array_equal(model.transduction_[y != -1], y[y != -1])


def test_rounds_end_for_the_reason_that_is_said():
    X, y, _ = moons()
    fit = SelfTrainingClassifier(GaussianNB(), threshold=0.999999, max_iter=100).fit(X, y)
    assert fit.termination_condition_ == "no_change" and (fit.transduction_ == -1).any()
    assert SelfTrainingClassifier(GaussianNB(), max_iter=1).fit(X, y).termination_condition_ == "max_iter"
    none = SelfTrainingClassifier(GaussianNB(), max_iter=0).fit(X, y)
    assert none.n_iter_ == 0 and (none.transduction_ == y).all()


def test_rows_without_labels_lower_the_error_where_classes_are_clusters_and_no_label_is_lost():
    """Two Gaussians with equal spread and four labels: the labels' own line is far from the one that divides them."""
    gained = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        truth = rng.integers(2, size=500)
        X = rng.normal(size=(500, 2)) + 3 * truth[:, None] * [1, 0]
        y = np.full(500, -1)
        for k in (0, 1):
            rows = np.flatnonzero(truth == k)[:2]
            y[rows] = k
        alone = LogisticRegression().fit(X[y != -1], y[y != -1]).score(X, truth)
        gained.append(
            SelfTrainingClassifier(LogisticRegression(), 0.9, max_iter=None).fit(X, y).score(X, truth) - alone
        )
    assert np.mean(gained) > 0


@pytest.mark.parametrize("make", [LabelPropagation, LabelSpreading])
@pytest.mark.parametrize("kernel", ["rbf", "knn"])
def test_sparse_rows_object_labels_pickles_and_threads(make, kernel):
    X, y, _ = moons(100)
    dense = make(kernel, n_jobs=2).fit(X, y)
    assert_allclose(make(kernel).fit(csr_matrix(X), y).label_distributions_, dense.label_distributions_, atol=1e-12)
    again = pickle.loads(pickle.dumps(dense)).predict_proba(X)
    assert_allclose(again, dense.predict_proba(X), rtol=1e-12)  # BLAS sums by where arrays lie in memory
    wide = np.hstack([X, np.zeros((100, 20))])  # columns that add nothing, so that another search is taken
    assert_allclose(make(kernel).fit(wide, y).label_distributions_, dense.label_distributions_, atol=1e-12)


def test_a_row_that_no_label_reaches_has_no_distribution_and_a_far_query_an_even_one():
    X = np.vstack([np.zeros((5, 1)), np.ones((5, 1)), np.full((5, 1), 1e6)]) + np.linspace(0, 0.01, 15)[:, None]
    y = np.array([0, *[-1] * 4, 1, *[-1] * 9])
    for make in (LabelPropagation, LabelSpreading):
        model = make().fit(X, y)
        assert (model.label_distributions_[10:] == 0).all() and np.isfinite(model.label_distributions_).all()
        assert_array_equal(model.predict_proba([[-1e9]]), [[0.5, 0.5]])
    ties = LabelPropagation("knn", n_neighbors=3).fit(np.ones((6, 1)), [0, 1, -1, -1, -1, -1])
    assert np.isfinite(ties.label_distributions_).all()


def test_a_loop_that_has_not_ended_says_so():
    X, y, _ = moons()
    with pytest.warns(ConvergenceWarning, match="raise max_iter"):
        LabelPropagation(max_iter=2).fit(X, y)
    with pytest.warns(UserWarning, match="no unlabeled"):
        SelfTrainingClassifier(GaussianNB()).fit(X, np.abs(y))
    with pytest.warns(UserWarning, match="in the first round"):
        SelfTrainingClassifier(GaussianNB(), criterion="k_best", k_best=1000).fit(X, y)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (LabelPropagation("cubic"), "kernel must be"),
        (LabelPropagation(gamma=-1.0), "gamma must be >= 0"),
        (LabelPropagation("knn", n_neighbors=1000), "at most n_samples = 200"),
        (LabelSpreading("knn", n_neighbors=0), "n_neighbors must be >= 1"),
        (LabelSpreading(alpha=1.0), "alpha must be in"),
        (LabelSpreading(max_iter=0), "max_iter must be >= 1"),
        (SelfTrainingClassifier(), "estimator must be"),
        (SelfTrainingClassifier(GaussianNB(), threshold=1.0), "threshold must be"),
        (SelfTrainingClassifier(GaussianNB(), criterion="best"), "criterion must be"),
        (SelfTrainingClassifier(GaussianNB(), k_best=0), "k_best must be"),
        (SelfTrainingClassifier(GaussianNB(), max_iter=-1), "max_iter must be"),
    ],
    ids=range(11),
)
def test_bad_parameters_are_told(model, words):
    X, y, _ = moons()
    with pytest.raises(ValueError, match=words):
        model.fit(X, y)


@pytest.mark.parametrize("model", [LabelPropagation(), LabelSpreading(), SelfTrainingClassifier(GaussianNB())])
def test_no_label_at_all_strings_of_numpy_and_holes_are_told(model):
    X, y, _ = moons()
    with pytest.raises(ValueError, match="y has no label"):
        model.fit(X, np.full(200, -1))
    if isinstance(model, SelfTrainingClassifier):
        with pytest.raises(ValueError, match="use dtype object"):
            model.fit(X, y.astype(str))
        with pytest.raises(AttributeError, match="predict_proba"):
            SelfTrainingClassifier(LinearSVC()).fit(X, y)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.where(np.arange(400).reshape(200, 2) == 3, np.nan, X), np.where(y == -1, 0, y))
