"""Generated data holds the truth it claims: checked on the rows, in float64, and by what a model can reach."""

import pickle

import numpy as np
import polars as pl
import pytest
import sklearn.datasets
from scipy.stats import multivariate_normal
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from breadth.data import (
    DataError,
    load,
    make_categorical,
    make_friedman,
    make_higgs_like,
    make_imbalanced,
    make_mammography_like,
    make_missing,
    make_multiclass,
    make_null,
    names,
)

CLASSIFIERS = [
    make_higgs_like,
    make_imbalanced,
    make_mammography_like,
    make_multiclass,
    make_null,
    make_categorical,
]


@pytest.mark.parametrize("make", CLASSIFIERS)
def test_labels_are_drawn_from_the_true_probability(make):
    data = make(20_000, seed=3)
    p = data.truth.true_probability(data.to_numpy())  # (n, K)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-12)  # rounding of a softmax
    assert p.min() > 0 and p.shape == (20_000, len(data.classes))
    # calibrated: within rows of like probability, the share of a class is that probability (4.5 standard errors)
    for k in range(p.shape[1]):
        for rows in np.array_split(np.argsort(p[:, k]), 10):
            expected = p[rows, k].sum()
            spread = np.sqrt((p[rows, k] * (1 - p[rows, k])).sum())
            assert abs((data.y[rows] == k).sum() - expected) < 4.5 * spread + 1
    # the labels' own loss and error are the Bayes values, within 5 standard errors of their mean
    losses = -np.log(p[np.arange(len(p)), data.y])
    assert abs(losses.mean() - data.truth.bayes_log_loss) < 5 * losses.std() / np.sqrt(len(p))
    assert abs((p.argmax(1) != data.y).mean() - data.truth.bayes_error) < 5 * 0.5 / np.sqrt(len(p))


@pytest.mark.parametrize("make", [*CLASSIFIERS, make_friedman])
def test_a_seed_gives_the_same_rows_and_another_seed_others(make):
    first, again, other = make(300, seed=1), make(300, seed=1), make(300, seed=2)
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    assert first.to_numpy().dtype == np.float32
    copy = pickle.loads(pickle.dumps(first))
    assert copy.fingerprint() == first.fingerprint()


def test_higgs_like_is_balanced_hard_and_out_of_reach_of_a_line():
    data = make_higgs_like(40_000)
    p = data.truth.true_probability(data.to_numpy())[:, 1]
    assert data.X.shape == (40_000, 28)
    assert 0.51 < data.y.mean() < 0.55
    assert 0.82 < roc_auc_score(data.y, p) < 0.86
    # the best linear fit of the labels falls short of the truth
    X = np.column_stack((np.ones(len(p)), data.to_numpy(np.float64)))
    line = X @ np.linalg.lstsq(X, data.y, rcond=None)[0]
    assert roc_auc_score(data.y, line) < roc_auc_score(data.y, p) - 0.02


def test_more_features_leave_the_balance_and_the_first_ones_in_place():
    assert 0.5 < make_higgs_like(20_000, n_features=100).y.mean() < 0.56
    assert make_higgs_like(20, n_features=8).X.width == 8


def test_friedman_is_scikit_learns_function_of_the_same_features():
    data = make_friedman(500, n_features=7, noise_std=0, seed=4)
    X = data.to_numpy(np.float64)

    class Same(np.random.RandomState):
        def uniform(self, *args, **kwargs):
            return X

    peer = sklearn.datasets.make_friedman1(500, n_features=7, noise=0.0, random_state=Same())[1]
    np.testing.assert_allclose(data.y, peer, rtol=1e-12)  # order of the terms
    assert data.truth.noise_variance == 0


def test_friedman_noise_has_the_stated_variance():
    data = make_friedman(20_000, noise_std=2.0)
    residual = data.y - data.truth.regression_function(data.to_numpy())
    # the variance of a variance estimate is 2 sigma^4 / n
    assert abs(residual.var() - 4.0) < 5 * 4.0 * np.sqrt(2 / 20_000)


def test_imbalanced_probability_is_bayes_rule_on_the_densities():
    data = make_imbalanced(1000, prevalence=0.1, n_features=5)
    X = data.to_numpy(np.float64)
    mean = np.array([1.5, 1.5, 1.5, 0, 0])
    positive = 0.5 * multivariate_normal(mean).pdf(X) + 0.5 * multivariate_normal(-mean).pdf(X)
    joint = np.column_stack((0.9 * multivariate_normal(np.zeros(5)).pdf(X), 0.1 * positive))
    expected = joint / joint.sum(1, keepdims=True)
    np.testing.assert_allclose(data.truth.true_probability(X), expected, rtol=1e-10)  # densities of 5 factors
    assert data.y.sum() == 100


def test_mammography_like_probability_is_bayes_rule_on_the_densities():
    data = make_mammography_like(20_000)
    z = data.to_numpy(np.float64)
    z[:, ::2] = 2 * np.log(z[:, ::2])
    mean = np.array([2.4, 1.8, 1.4, 1, 0.6, 0])
    positive = 0.7 * multivariate_normal(mean, 1.44).pdf(z) + 0.3 * multivariate_normal(mean / 3, 0.64).pdf(z)
    joint = np.column_stack(((1 - 0.0232) * multivariate_normal(np.zeros(6)).pdf(z), 0.0232 * positive))
    p = data.truth.true_probability(data.to_numpy())
    np.testing.assert_allclose(p, joint / joint.sum(1, keepdims=True), rtol=1e-10)  # densities of 6 factors
    assert data.X.width == 6 and data.y.sum() == 464
    assert 0.92 < roc_auc_score(data.y, p[:, 1]) < 0.97
    assert 0.6 < average_precision_score(data.y, p[:, 1]) < 0.75


def test_categories_carry_their_effects_in_the_order_of_the_codes():
    data = make_categorical(5000, n_categories=(3, 12), n_numeric=2)
    assert data.X["cat1"].dtype == pl.Enum([f"k{code:02d}" for code in range(12)])
    assert data.categorical_mask.tolist() == [False, False, True, True]
    effects = data.truth.true_probability.effects
    flat = np.array([[0.0, 0.0, a, b] for a in range(3) for b in range(12)])
    p = data.truth.true_probability(flat)
    expected = (effects[0][:, None] + effects[1][None, :]).ravel()
    np.testing.assert_allclose(np.log(p[:, 1] / p[:, 0]), expected, rtol=1e-10, atol=1e-12)  # one log of a ratio


def test_null_labels_carry_no_information():
    data = make_null(4000, classes=4)
    assert data.truth.bayes_error == 0.75
    assert data.truth.bayes_log_loss == pytest.approx(np.log(4), rel=1e-12)
    correlation = np.corrcoef(data.to_numpy().T, data.y)[-1, :-1]
    assert np.abs(correlation).max() < 4.5 / np.sqrt(4000)


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.7])
@pytest.mark.parametrize("mechanism", ["mcar", "mar"])
def test_cells_go_missing_at_the_stated_rate_and_the_rest_stays(mechanism, fraction):
    data = make_categorical(20_000)
    holed = make_missing(data, fraction, mechanism=mechanism)
    first = 1 if mechanism == "mar" else 0
    for j, column in enumerate(holed.X.iter_columns()):
        expected = 0.0 if j < first else fraction
        assert abs(column.null_count() / 20_000 - expected) < 5 * 0.5 / np.sqrt(20_000)
        kept = column.is_not_null()
        assert column.filter(kept).equals(data.X[column.name].filter(kept))
        assert column.dtype == data.X[column.name].dtype
    assert holed.truth is None and data.truth is not None
    gone = holed.X["x1"].is_null().to_numpy()
    if fraction > 0:
        # at random given the first feature: the rows with a larger one lose more, and only under "mar"
        share_high, share_low = gone[data.X["x0"].to_numpy() > 0].mean(), gone[data.X["x0"].to_numpy() <= 0].mean()
        assert (share_high > share_low + 0.1) == (mechanism == "mar")


def test_what_cannot_be_knocked_out_is_refused():
    data = make_friedman(10, n_features=5)
    for fraction in (1.0, -0.1, float("nan")):
        with pytest.raises(DataError, match=r"fraction=.* is out of range; give a share in \[0, 1\)"):
            make_missing(data, fraction)
    with pytest.raises(DataError, match="mechanism='mnar' is not known; pass 'mcar' or 'mar'"):
        make_missing(data, 0.2, mechanism="mnar")
    with pytest.raises(DataError, match="needs two features and a complete first one"):
        make_missing(make_missing(data, 0.9), 0.2, mechanism="mar")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_higgs_like(1), "n=1 is too small; give 2 or more"),
        (lambda: make_higgs_like(10, n_features=7), "n_features=7 is too small; give 8 or more"),
        (lambda: make_friedman(10, n_features=4), "n_features=4 is too small; give 5"),
        (lambda: make_friedman(10, noise_std=-1), "noise_std=-1 is too small; give 0"),
        (lambda: make_imbalanced(50, prevalence=0.02), "gives 1 positives; both classes need two rows"),
        (lambda: make_mammography_like(50), "gives 1 positives; both classes need two rows"),
        (lambda: make_multiclass(5, classes=5), "n=5 is too small; give 6"),
        (lambda: make_null(10, classes=1), "classes=1 is too small; give 2"),
        (lambda: make_categorical(10, n_categories=()), "n_categories=0 is too small"),
        (lambda: make_multiclass(11, classes=10), "drew no row of class"),
    ],
)
def test_sizes_out_of_range_are_refused(call, message):
    with pytest.raises(DataError, match=message):
        call()


def test_the_truth_is_the_best_score_there_is():
    data = make_multiclass(5000, classes=3)
    p = data.truth.true_probability(data.to_numpy())
    best = log_loss(data.y, p)
    for sharper in (0.5, 0.8, 1.25, 2.0):
        bent = p**sharper / (p**sharper).sum(1, keepdims=True)
        assert log_loss(data.y, bent) > best


@pytest.mark.parametrize("name", names("generated"))
def test_generators_are_loaded_by_name_and_size(name):
    data = load(f"{name}:1_000", seed=5)
    assert len(data) == 1000 and data.name == f"{name}:1000"
    assert load(f"{name}:1000", seed=5).fingerprint() == data.fingerprint() != load(f"{name}:1000").fingerprint()
