"""Risk, gaps, learning curves, decomposition and diagnosis, against scikit-learn, mlxtend and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn import metrics
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import learning_curve as peer_learning_curve
from sklearn.model_selection import validation_curve
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from breadth.stats.decomposition import bias_variance, bootstrap_training_sets
from breadth.stats.diagnosis import diagnose
from breadth.stats.learning import LearningCurve, capacity_curve, empirical_risk, generalisation_gap, learning_curve


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def polynomial(degree):
    return make_pipeline(PolynomialFeatures(degree), LinearRegression())


def cubic(n, rng, noise=0.5):
    x = rng.uniform(-1, 1, n)
    return x[:, None], 4 * x**3 - 2 * x + rng.normal(0, noise, n)


@pytest.mark.parametrize("weighted", [False, True])
def test_empirical_risk_is_scikit_learns_loss(rng, weighted):
    y, predicted = rng.integers(0, 3, (2, 50)).astype(float)
    w = rng.random(50) if weighted else None
    for loss, peer in (
        ("squared", metrics.mean_squared_error),
        ("absolute", metrics.mean_absolute_error),
        ("zero_one", metrics.zero_one_loss),
    ):
        found = empirical_risk(y, predicted, loss=loss, weight=w)
        assert_allclose(found.mean, peer(y, predicted, sample_weight=w), rtol=1e-12)
        assert found.low < found.mean < found.high
    assert empirical_risk(y, predicted, weight=np.ones(50)).se == pytest.approx(empirical_risk(y, predicted).se)
    assert empirical_risk([1.0], [3.0])[:2] == (4.0, np.inf)


def test_the_interval_of_a_risk_covers_it(rng):
    held = 0
    for _ in range(300):
        found = empirical_risk(rng.normal(size=40), np.zeros(40))
        held += found.low <= 1 <= found.high
    assert abs(held / 300 - 0.95) < 0.06  # 4 standard errors, and the skewness of squares at n = 40


def test_the_gap_of_least_squares_is_the_closed_form(rng):
    # p columns, n rows, noise 1: training risk (n - p)/n, risk on fresh rows 1 + p/(n - p - 1) for normal columns
    n, p = 40, 8
    gaps = []
    for _ in range(150):
        X, X_new = rng.normal(size=(2, n, p))
        model = LinearRegression(fit_intercept=False)
        found = generalisation_gap(model, X, rng.normal(size=n), X_new, rng.normal(size=n))
        gaps.append((found.train.mean, found.test.mean, found.gap))
        assert found.low < found.gap < found.high
    expected = ((n - p) / n, 1 + p / (n - p - 1), 1 + p / (n - p - 1) - (n - p) / n)
    spread = np.std(gaps, axis=0) / np.sqrt(len(gaps))
    assert (np.abs(np.mean(gaps, 0) - expected) < 5 * spread).all()


def test_learning_curves_are_scikit_learns_on_the_same_splits(rng):
    X, y = cubic(80, rng)
    order = [rng.permutation(80) for _ in range(3)]
    splits = [(o[20:], o[:20]) for o in order]
    model, sizes = DecisionTreeRegressor(random_state=0), [5, 20, 60]
    ours = learning_curve(model, X, y, sizes, splits=splits)
    n, train, test = peer_learning_curve(model, X, y, train_sizes=sizes, cv=splits, scoring="neg_mean_squared_error")
    assert n.tolist() == ours.values.tolist()
    assert_allclose(ours.train, -train, rtol=1e-12, atol=1e-15)
    assert_allclose(ours.validation, -test, rtol=1e-12)
    ours = capacity_curve(model, X, y, "max_depth", [1, 3, 9], splits=splits)
    train, test = validation_curve(
        model, X, y, param_name="max_depth", param_range=[1, 3, 9], cv=splits, scoring="neg_mean_squared_error"
    )
    assert_allclose(ours.train, -train, rtol=1e-12, atol=1e-15)
    assert_allclose(ours.validation, -test, rtol=1e-12)


def test_the_gap_falls_as_the_root_or_faster_with_more_data(rng):
    X, y = rng.normal(size=(2000, 10)), rng.normal(size=2000)
    found = learning_curve(LinearRegression(), X, y, [40, 160, 640], n_repeats=8, test_size=0.5)
    gap = found.gap.mean(1)
    assert gap[0] > 2 * gap[1] > 4 * gap[2] > 0
    nested = learning_curve(LinearRegression(), X, y, [40, 160], n_repeats=8, test_size=0.5)
    assert_allclose(nested.validation, found.validation[:2])


def test_a_capacity_curve_names_what_is_too_simple_and_what_too_flexible(rng):
    X, y = cubic(200, rng)
    found = capacity_curve(KNeighborsRegressor(), X, y, "n_neighbors", [150, 90, 10, 1], n_repeats=20)
    told = diagnose(found, margin=0.02)
    assert told.fits == ("underfitting", "underfitting", "good", "overfitting")
    assert told.best == 2 and told.slope is None
    assert "underfitting at points [0, 1], overfitting at [3]" in told.explain()


def test_a_size_curve_tells_a_model_short_of_data_from_one_short_of_capacity(rng):
    X, y = cubic(600, rng)
    noise = 0.25
    tree = learning_curve(DecisionTreeRegressor(random_state=0), X, y, [25, 100, 400], n_repeats=20)
    told = diagnose(tree, margin=0.05, attainable=noise)
    assert told.fits[-1] == "overfitting" and told.gap.low > 0.05
    simple = learning_curve(polynomial(1), X, y, [25, 100, 400], n_repeats=20)
    told = diagnose(simple, margin=0.05, attainable=noise)
    assert told.fits[-1] == "underfitting" and not told.more_data_helps
    right = learning_curve(polynomial(3), X, y, [25, 100, 400], n_repeats=20)
    told = diagnose(right, margin=0.05, attainable=noise)
    assert told.fits[-1] == "good" and "neither is seen" in told.explain()
    many = rng.normal(size=(900, 60))
    target = many @ rng.normal(size=60) + rng.normal(size=900)
    told = diagnose(learning_curve(LinearRegression(), many, target, [80, 120, 200], n_repeats=20), margin=0.05)
    assert told.fits[-1] == "overfitting" and told.more_data_helps and "more data would help" in told.explain()


def test_without_a_difference_none_is_diagnosed_in_95_of_100_replays():
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(200):
        same = LearningCurve("size", np.array([10, 20]), *(1 + 0.1 * rng.normal(size=(2, 2, 10))))
        wrong += diagnose(same, margin=0.0, attainable=1.0).fits[-1] != "good"
    assert wrong / 200 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)  # two one-sided tests at 2.5 %


def test_the_decomposition_is_mlxtends_on_the_same_bootstrap_sets(rng):
    evaluate = pytest.importorskip("mlxtend.evaluate")
    X, y = cubic(60, rng)
    for model, target, loss, name in (
        (DecisionTreeRegressor(random_state=1), y, "squared", "mse"),
        (KNeighborsClassifier(3), np.digitize(y, [-0.5, 0.5]), "zero_one", "0-1_loss"),
    ):
        peer = evaluate.bias_variance_decomp(
            model, X[:40], target[:40], X[40:], target[40:], loss=name, num_rounds=20, random_seed=3
        )
        drawn = np.random.RandomState(3)
        sets = [(X[i], target[i]) for i in (drawn.choice(np.arange(40), 40) for _ in range(20))]
        ours = bias_variance(model, sets, X[40:], target[40:], loss=loss)
        variance = ours.variance if loss == "squared" else ours.variance_unbiased + ours.variance_biased
        assert_allclose((ours.loss, ours.bias, variance), peer, rtol=1e-12)
        assert_allclose(ours.loss, ours.bias + ours.variance, rtol=1e-12)


def test_least_squares_has_no_bias_and_variance_p_over_n(rng):
    n, p = 30, 4
    X_test = rng.normal(size=(50, p))
    beta = np.arange(1.0, p + 1)
    X = rng.normal(size=(n, p))
    sets = [(X, X @ beta + rng.normal(size=n)) for _ in range(400)]
    y_test = X_test @ beta + rng.normal(size=50)
    found = bias_variance(LinearRegression(fit_intercept=False), sets, X_test, y_test, best=X_test @ beta)
    variance = np.einsum("ij,jk,ik->i", X_test, np.linalg.inv(X.T @ X), X_test).mean()
    assert_allclose(found.variance, variance, rtol=0.15)
    assert found.bias < 0.05 * variance
    assert_allclose(found.loss, found.noise + found.bias + found.variance + found.cross, rtol=1e-12)


def test_depth_trades_bias_for_variance(rng):
    X_test, y_test = cubic(200, rng, noise=0)
    sets = [cubic(60, rng) for _ in range(40)]
    shallow, deep = (
        bias_variance(DecisionTreeRegressor(max_depth=d, random_state=0), sets, X_test, y_test) for d in (1, 9)
    )
    assert shallow.bias > 5 * deep.bias
    assert deep.variance > 1.5 * shallow.variance


def test_zero_one_variance_helps_where_the_main_prediction_is_wrong(rng):
    class Coin:
        """Predicts class 1 in 3 of 4 training sets."""

        def __init__(self):
            pass

        def get_params(self, deep=True):
            return {}

        def fit(self, X, y):
            self.says = y[0]
            return self

        def predict(self, X):
            return np.full(len(X), self.says)

    sets = [(np.zeros((1, 1)), np.array([c])) for c in (1, 1, 0, 1)]
    found = bias_variance(Coin(), sets, np.zeros((2, 1)), np.array([1, 0]), loss="zero_one")
    assert found.main.tolist() == [1, 1]
    assert (found.loss, found.bias) == (0.5, 0.5)
    assert (found.variance_unbiased, found.variance_biased, found.variance) == (0.125, 0.125, 0)
    noisy = bias_variance(
        DecisionTreeClassifier(), [(rng.normal(size=(9, 1)), rng.integers(0, 3, 9)) for _ in range(5)],
        rng.normal(size=(30, 1)), rng.integers(0, 3, 30), loss="zero_one", best=np.zeros(30, int),
    )  # fmt: skip
    assert_allclose(noisy.loss, noisy.noise + noisy.bias + noisy.variance + noisy.cross, rtol=1e-12)


def test_bootstrap_sets_repeat_with_their_seed_and_hold_rows_of_the_sample(rng):
    X, y = cubic(20, rng)
    one, other = (list(bootstrap_training_sets(X, y, 3, rng=1)) for _ in range(2))
    for (a, b), (c, d) in zip(one, other, strict=True):
        assert (a == c).all() and (b == d).all()
        assert np.isin(b, y).all() and len(b) == 20
    assert len(list(bootstrap_training_sets([[1], [2]], [1, 2], 1))) == 1


CURVE = LearningCurve("size", np.array([1]), np.ones((1, 1)), np.ones((1, 1)))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: empirical_risk([], []), "one length >= 1"),
        (lambda: empirical_risk([1, 2], [1]), "one length"),
        (lambda: empirical_risk([1, 2], [[1], [2]]), "y's shape"),
        (lambda: empirical_risk([1.0], [np.nan]), "finite number"),
        (lambda: empirical_risk([1.0], [1.0], loss="hinge"), "loss must be one of"),
        (lambda: empirical_risk([1.0], [1.0], weight=[0.0]), "positive sum"),
        (lambda: learning_curve(LinearRegression(), [[1.0]] * 8, [1] * 8, [4, 2]), "ascending"),
        (lambda: learning_curve(LinearRegression(), [[1.0]] * 8, [1] * 8, [7]), "holds 6 rows"),
        (lambda: learning_curve(LinearRegression(), [[1.0]] * 8, [1] * 7, [2]), "as many rows"),
        (lambda: learning_curve(LinearRegression(), [[1.0]] * 8, [1] * 8, [2], n_repeats=0), "n_repeats"),
        (lambda: learning_curve(LinearRegression(), [[1.0]], [1], [1]), "leaves no training row"),
        (lambda: learning_curve(LinearRegression(), [[1.0]] * 8, [1] * 8, [2], splits=[]), "splits"),
        (lambda: capacity_curve(LinearRegression(), [[1.0]] * 8, [1] * 8, "positive", []), "values must hold"),
        (lambda: diagnose(CURVE, margin=0), "repeats >= 2"),
        (lambda: diagnose(CURVE._replace(train=np.ones((1, 2)), validation=np.ones((1, 2))), margin=-1), "margin"),
        (lambda: bias_variance(LinearRegression(), [([[1.0]], [1.0])], [[1.0]], [1.0]), "at least 2 sets"),
        (lambda: bias_variance(LinearRegression(), [], [[1.0]], [1.0, 2.0]), "of one length"),
        (lambda: bias_variance(LinearRegression(), [], [[1.0]], [1.0], loss="log"), "loss must be one of"),
        (lambda: bootstrap_training_sets([], []), "at least one"),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_losses_of_numbers_name_the_loss_for_classes():
    X, y = np.arange(12.0)[:, None], np.repeat(["no", "yes"], 6)
    sets = [(X, y), (X[::-1], y[::-1])]
    with pytest.raises(ValueError, match=r"needs numbers, .*'zero_one'"):
        empirical_risk(y, y)
    with pytest.raises(ValueError, match=r"needs numbers, .*'zero_one'"):
        bias_variance(DecisionTreeClassifier(), sets, X, y)
