"""Behaviour of the two gradient-boosting estimators."""

from __future__ import annotations

import pickle

import numpy as np
import polars as pl
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.metrics import log_loss
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular import GradientBoostingClassifier, GradientBoostingRegressor
from breadth.tabular.trees import boosting_base, losses


@parametrize_with_checks([GradientBoostingClassifier(), GradientBoostingRegressor()])
def test_scikit_learns_own_checks_pass_with_no_expected_failure(estimator, check):
    check(estimator)


def made(n=3000, n_features=6, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, n_features))
    signal = np.sin(2 * X[:, 0]) + X[:, 1] * (X[:, 2] > 0)
    return X, signal, rng


def tasks():
    """(name, estimator, X, y, weight) for each loss and option whose fit must not depend on threads or row order."""
    X, signal, rng = made(4000)
    X = X.astype(np.float32)
    X[rng.random(X.shape) < 0.05] = np.nan
    weight = rng.exponential(size=len(X))
    two = (signal + rng.logistic(size=len(X)) > 0).astype(int)
    four = np.digitize(signal + rng.normal(size=len(X)), [-1, 0, 1])
    heavy = signal + rng.standard_cauchy(len(X)) + 1e6
    counts = rng.poisson(np.exp(signal)).astype(float)
    few = {"max_iter": 8}
    return [
        ("two classes", GradientBoostingClassifier(**few), X, two, None),
        ("two classes, weighted", GradientBoostingClassifier(**few), X, two, weight),
        ("focal", GradientBoostingClassifier("focal", focal_alpha=0.3, **few), X, two, None),
        ("four classes, weighted", GradientBoostingClassifier(class_weight="balanced", **few), X, four, weight),
        ("level-wise", GradientBoostingClassifier(growth="level", max_depth=5, **few), X, two, None),
        ("many leaves", GradientBoostingClassifier(max_leaf_nodes=None, min_samples_leaf=1, **few), X, two, None),
        ("some features", GradientBoostingClassifier(max_features=0.5, random_state=3, **few), X, two, None),
        ("squared, heavy tails", GradientBoostingRegressor(**few), X, heavy, None),
        ("squared, weighted", GradientBoostingRegressor(**few), X, heavy, weight),
        ("absolute", GradientBoostingRegressor("absolute_error", **few), X, heavy, None),
        ("quantile, weighted", GradientBoostingRegressor("quantile", quantile=0.8, **few), X, heavy, weight),
        ("poisson", GradientBoostingRegressor("poisson", **few), X, counts, None),
        ("categorical", GradientBoostingClassifier(categorical_features=[6], **few),
         np.column_stack([X, rng.integers(0, 40, len(X))]), two, None),
        ("monotone", GradientBoostingClassifier(monotonic_cst=[0, 1, 0, 0, 0, 0], **few), X, two, None),
    ]  # fmt: skip


@pytest.mark.parametrize("task", tasks(), ids=lambda task: task[0])
def test_one_two_and_three_threads_and_permuted_rows_give_the_same_bits(task, monkeypatch):
    monkeypatch.setattr(boosting_base, "WORK_FOR_THREADS", 0)
    _, model, X, y, weight = task
    order = np.random.default_rng(0).permutation(len(X))
    scores = [clone(model).set_params(n_threads=t).fit(X, y, weight)._scores(X) for t in (1, 2, 3)]
    permuted = clone(model).set_params(n_threads=2)
    permuted.fit(X[order], y[order], None if weight is None else weight[order])
    assert np.array_equal(scores[0], scores[1])
    assert np.array_equal(scores[0], scores[2])
    assert np.array_equal(scores[0], permuted._scores(X))
    assert len(np.unique(scores[0])) > 30


@pytest.mark.slow
def test_permuted_rows_give_the_same_bits_above_200_000_rows():
    X, signal, rng = made(300_000, 4)
    y = (signal + rng.logistic(size=len(X)) > 0).astype(int)
    order = rng.permutation(len(X))
    a = GradientBoostingClassifier(max_iter=10).fit(X, y)
    b = GradientBoostingClassifier(max_iter=10).fit(X[order], y[order])
    assert np.array_equal(a.decision_function(X), b.decision_function(X))


def test_subsampled_rows_are_the_seeds_and_fit_as_well():
    X, signal, rng = made(6000)
    y = signal + 0.3 * rng.normal(size=len(X))
    fits = [
        GradientBoostingRegressor(subsample=0.5, random_state=s).fit(X[:4000], y[:4000]).predict(X[4000:])
        for s in (0, 0, 1)
    ]
    assert np.array_equal(fits[0], fits[1])
    assert not np.array_equal(fits[0], fits[2])
    whole = GradientBoostingRegressor().fit(X[:4000], y[:4000]).predict(X[4000:])
    mse = [np.mean((p - y[4000:]) ** 2) for p in (fits[0], whole)]
    assert mse[0] < 1.15 * mse[1]


def test_training_scores_are_the_prediction():
    """The scores kept in float32 by codes and the walk down the trees by values agree."""
    X, signal, rng = made(1000)
    X[rng.random(X.shape) < 0.1] = np.nan
    y = (signal + rng.logistic(size=len(X)) > 0).astype(int)
    for subsample in (1.0, 0.6):
        model = GradientBoostingClassifier(subsample=subsample, random_state=0, max_iter=30)
        model.fit(X, y, X_val=X, y_val=y)
        assert np.isclose(model.validation_loss_[-1], log_loss(y, model.predict_proba(X)), rtol=1e-9)
        stages = list(model.staged_decision_function(X))
        assert len(stages) == model.n_iter_ == 30
        np.testing.assert_allclose(stages[-1], model.decision_function(X), rtol=1e-12, err_msg="sum order differs")


@pytest.mark.parametrize("seed", range(3))
def test_missing_values_carry_what_they_tell(seed):
    X, _, rng = made(4000, 3, seed)
    y = (rng.random(4000) < 0.5).astype(int)
    X[:, 1] = np.where(rng.random(4000) < np.where(y == 1, 0.6, 0.1), np.nan, X[:, 1])
    model = GradientBoostingClassifier(max_iter=50).fit(X[:2000], y[:2000])
    assert model.score(X[2000:], y[2000:]) > 0.7


def test_a_value_missing_only_at_prediction_goes_with_the_larger_side():
    X = np.repeat([[0.0], [1.0], [2.0]], [100, 100, 400], axis=0)
    y = X[:, 0] * 10
    model = GradientBoostingRegressor(max_iter=1, learning_rate=1.0, max_leaf_nodes=2).fit(X, y)
    assert model.predict([[np.nan]]) == model.predict([[2.0]])


def test_float64_values_that_float32_cannot_tell_apart_are_told_apart():
    rng = np.random.default_rng(0)
    x = 1.7e9 + rng.integers(0, 2, 400)
    y = (x > 1.7e9).astype(int)
    assert GradientBoostingClassifier(max_iter=5).fit(x[:, None], y).score(x[:, None], y) == 1.0


@pytest.mark.parametrize(("shift", "scale"), [(0, 1e-25), (1e6, 1.0), (-1e3, 1e-4), (0, 1e25)])
def test_regression_follows_its_targets_unit_and_origin(shift, scale):
    X, signal, _ = made(1500)
    plain = GradientBoostingRegressor().fit(X, signal).predict(X)
    moved = GradientBoostingRegressor().fit(X, signal * scale + shift).predict(X)
    np.testing.assert_allclose((moved - shift) / scale, plain, atol=2e-2, err_msg="fixed point and near ties")
    assert np.corrcoef(moved, plain)[0, 1] > 0.9995


def test_integer_weights_equal_repeated_rows():
    X, signal, rng = made(800)
    y = signal + 0.2 * rng.normal(size=len(X))
    w = rng.integers(0, 4, len(X))
    weighted = GradientBoostingRegressor(max_iter=20).fit(X, y, w).predict(X)
    repeated = GradientBoostingRegressor(max_iter=20).fit(np.repeat(X, w, 0), np.repeat(y, w)).predict(X)
    np.testing.assert_allclose(weighted, repeated, atol=1e-5, err_msg="gradients are rounded before they are summed")


@pytest.mark.parametrize("scale", [1e-300, 1e-60, 1e-3, 1e40, 1e300])
def test_weights_that_cannot_count_rows_are_scaled_to_mean_one_and_said_to_be(scale):
    X, signal, rng = made(400)
    w = rng.uniform(0.5, 1.5, 400)
    w /= w.mean()
    with pytest.warns(UserWarning, match="scaled to mean 1"):
        scaled = GradientBoostingRegressor(max_iter=10).fit(X, signal, w * scale).predict(X)
    np.testing.assert_allclose(
        scaled,
        GradientBoostingRegressor(max_iter=10).fit(X, signal, w).predict(X),
        atol=1e-4,
        err_msg="float32 weights",
    )


def test_a_rate_that_makes_scores_diverge_is_named():
    X, signal, _ = made(300)
    with pytest.raises(ValueError, match="Lower learning_rate"):
        GradientBoostingRegressor(learning_rate=3.0, max_iter=400).fit(X, signal)


def test_missing_values_of_nullable_pandas_columns_are_missing():
    pandas = pytest.importorskip("pandas")
    X, signal, _ = made(300)
    y = signal > 0
    frame = pandas.DataFrame({"x": X[:, 5], "b": pandas.array(y, dtype="boolean")})
    frame.loc[::9, "b"] = pandas.NA
    assert GradientBoostingClassifier(max_iter=20).fit(frame, y).score(frame, y) > 0.9
    assert GradientBoostingClassifier(max_iter=20, categorical_features=["b"]).fit(frame, y).score(frame, y) > 0.9


def test_rows_of_weight_zero_are_as_if_absent():
    X, signal, _ = made(500)
    w = np.ones(500)
    w[::5] = 0
    a = GradientBoostingRegressor(max_iter=5).fit(X, signal, w).predict(X)
    b = GradientBoostingRegressor(max_iter=5).fit(X[w > 0], signal[w > 0], w[w > 0]).predict(X)
    assert np.array_equal(a, b)


@pytest.mark.parametrize("sign", [-1, 1])
def test_monotone_constraints_hold_everywhere(sign):
    X, _, rng = made(3000, 3)
    y = np.sin(3 * X[:, 0]) + X[:, 1]
    model = GradientBoostingRegressor(monotonic_cst=[sign, 0, 0], max_iter=60).fit(X, y)
    grid = np.repeat(rng.normal(size=(40, 1, 3)), 200, axis=1)
    grid[:, :, 0] = np.linspace(-4, 4, 200)
    predicted = model.predict(grid.reshape(-1, 3)).reshape(40, 200)
    assert (sign * np.diff(predicted, axis=1) >= -1e-12).all()
    assert np.ptp(predicted) > 0.5


def test_text_and_categorical_columns_of_a_frame_are_used_as_categories():
    rng = np.random.default_rng(0)
    city = rng.choice(["Ulm", "Bonn", "Kiel", "Jena"], 2000)
    effect = {"Ulm": 1.0, "Bonn": -1.0, "Kiel": 0.9, "Jena": -0.9}
    y = np.array([effect[c] for c in city]) + 0.1 * rng.normal(size=2000)
    frame = pl.DataFrame({"city": city, "noise": rng.normal(size=2000)})
    typed = frame.with_columns(pl.col("city").cast(pl.Categorical))
    model = GradientBoostingRegressor(max_iter=60).fit(frame, y)
    assert np.mean((model.predict(frame) - y) ** 2) < 0.02
    assert model.feature_names_in_.tolist() == ["city", "noise"]
    assert np.array_equal(GradientBoostingRegressor(max_iter=60).fit(typed, y).predict(typed), model.predict(frame))
    pandas = pytest.importorskip("pandas")
    other = pandas.DataFrame({"city": pandas.Categorical(city), "noise": frame["noise"].to_numpy()})
    assert np.array_equal(GradientBoostingRegressor(max_iter=60).fit(other, y).predict(other), model.predict(frame))


def test_unknown_and_missing_categories_are_predicted_alike():
    frame = pl.DataFrame({"c": ["a", "b", None] * 100})
    y = np.array([0.0, 1.0, 5.0] * 100)
    model = GradientBoostingRegressor(max_iter=100, learning_rate=0.5).fit(frame, y)
    new = pl.DataFrame({"c": ["a", "b", None, "never seen"]}, schema={"c": pl.String})
    predicted = model.predict(new)
    np.testing.assert_allclose(predicted[:3], [0, 1, 5], atol=0.5, err_msg="categorical splits are shrunk")
    assert predicted[3] == predicted[2]


def test_beyond_255_categories_the_rare_ones_share_a_code():
    rng = np.random.default_rng(0)
    c = np.concatenate([np.repeat(np.arange(254), 20), 1000 + np.arange(300)])
    y = np.where(c >= 1000, 3.0, np.where(c % 2 == 0, 1.0, -1.0)) + 0.01 * rng.normal(size=len(c))
    model = GradientBoostingRegressor(categorical_features=[0], max_iter=100).fit(c[:, None], y)
    predicted = model.predict(np.array([[1000], [1299], [4], [5]]))
    assert predicted[0] == predicted[1]
    np.testing.assert_allclose(predicted, [3, 3, 1, -1], atol=0.5)


def test_early_stopping_keeps_the_best_round():
    X, signal, rng = made(1200)
    y = (signal + rng.logistic(size=len(X)) > 0).astype(int)
    model = GradientBoostingClassifier(
        max_iter=500, early_stopping=True, n_iter_no_change=5, learning_rate=0.3, random_state=0
    ).fit(X, y)
    assert model.n_iter_ == np.argmin(model.validation_loss_) + 1
    assert len(model.validation_loss_) < 500
    given = GradientBoostingClassifier(max_iter=300, early_stopping=True, learning_rate=0.3)
    given.fit(X[:800], y[:800], X_val=X[800:], y_val=y[800:])
    assert given.n_iter_ == np.argmin(given.validation_loss_) + 1
    np.testing.assert_allclose(
        log_loss(y[800:], given.predict_proba(X[800:])), given.validation_loss_.min(), rtol=1e-9, err_msg="sum order"
    )


@pytest.mark.parametrize("alpha", [None, 0.25])
def test_focal_loss_gives_calibrated_probabilities_of_rare_positives(alpha):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40_000, 2))
    truth = expit(1.5 * X[:, 0] - 3.5)
    y = (rng.random(len(X)) < truth).astype(int)
    model = GradientBoostingClassifier("focal", focal_alpha=alpha, max_iter=60, max_leaf_nodes=8).fit(X, y)
    p = model.predict_proba(X)[:, 1]
    for lo, hi in ((0.0, 0.02), (0.02, 0.1), (0.1, 0.4), (0.4, 1.0)):
        inside = (p >= lo) & (p < hi)
        assert abs(p[inside].mean() - truth[inside].mean()) < 0.2 * truth[inside].mean()


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("eta", [0.001, 0.3, 0.5, 0.99])
def test_focal_probability_inverts_the_risks_minimiser(gamma, eta):
    def risk(s):
        p, q = expit(s), expit(-s)
        return -eta * q**gamma * np.log(p) - (1 - eta) * p**gamma * np.log(q)

    best = minimize_scalar(risk, bounds=(-30, 30), method="bounded", options={"xatol": 1e-10}).x
    np.testing.assert_allclose(losses.focal_probability(np.array([best]), gamma, None), eta, rtol=1e-4)


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_quantile_predictions_leave_that_share_below(q):
    X, signal, rng = made(5000)
    y = signal + rng.exponential(size=len(X))
    model = GradientBoostingRegressor("quantile", quantile=q, max_iter=80, max_leaf_nodes=8).fit(X, y)
    assert abs(np.mean(y <= model.predict(X)) - q) < 0.03


def test_importances_point_at_the_features_that_matter():
    X, signal, _ = made(3000)
    model = GradientBoostingRegressor(max_iter=30).fit(X, signal)
    assert set(np.argsort(model.feature_importances_)[-3:]) == {0, 1, 2}
    assert np.isclose(model.feature_importances_.sum(), 1)
    assert model.importances("split").sum() == (model._ensemble.left >= 0).sum()
    assert set(model.used_features_) <= set(range(6))


@pytest.mark.parametrize("n_features", [1, 3])
def test_fitting_leaves_its_input_as_it_was(n_features):
    X, signal, _ = made(300, 3)
    X = np.ascontiguousarray(X[:, :n_features])
    before = X.copy(), signal.copy()
    GradientBoostingRegressor(max_iter=3).fit(X, signal)
    assert np.array_equal(X, before[0])
    assert np.array_equal(signal, before[1])


def test_a_pickled_model_predicts_the_same():
    X, y = load_iris(return_X_y=True)
    model = GradientBoostingClassifier(max_iter=20).fit(X, y)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("n", [2, 3, 5, 41])
def test_a_handful_of_rows_is_enough(n):
    X, y = load_breast_cancer(return_X_y=True)
    rows = np.concatenate([np.flatnonzero(y == 0)[: n // 2], np.flatnonzero(y == 1)[: n - n // 2]])
    model = GradientBoostingClassifier().fit(X[rows], y[rows])
    assert np.isfinite(model.predict_proba(X)).all()


def test_one_row_can_be_regressed():
    assert GradientBoostingRegressor().fit([[1.0, 2.0]], [3.0]).predict([[0.0, 0.0]]) == [3.0]


def test_constant_columns_all_missing_columns_and_constant_targets_do_no_harm():
    X, y = load_diabetes(return_X_y=True)
    padded = np.column_stack([np.full(len(X), 7.0), X, np.full(len(X), np.nan)])
    a = GradientBoostingRegressor(max_iter=20).fit(X, y).predict(X)
    b = GradientBoostingRegressor(max_iter=20).fit(padded, y).predict(padded)
    np.testing.assert_allclose(a, b, rtol=1e-12)
    assert np.array_equal(GradientBoostingRegressor().fit(X, np.full(len(X), 4.0)).predict(X), np.full(len(X), 4.0))


def test_more_classes_than_rows_of_most_of_them():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), np.arange(60) % 50
    p = GradientBoostingClassifier(max_iter=3).fit(X, y).predict_proba(X)
    assert p.shape == (60, 50)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-12)


X3 = np.arange(60, dtype=float).reshape(30, 2)
Y3 = np.arange(30) % 2


@pytest.mark.parametrize(
    ("model", "fit", "words"),
    [
        (GradientBoostingClassifier(), (X3, np.zeros(30)), "one class"),
        (GradientBoostingClassifier(), (np.where(X3 == 4, np.inf, X3), Y3), "infinity"),
        (GradientBoostingClassifier(), (X3, Y3[:29]), "inconsistent numbers of samples"),
        (GradientBoostingClassifier(max_bins=256), (X3, Y3), r"max_bins must be an integer in \[2, 255\]; got 256"),
        (GradientBoostingClassifier(learning_rate=0), (X3, Y3), "learning_rate"),
        (GradientBoostingClassifier(growth="depth"), (X3, Y3), "growth must be 'leaf' or 'level'; got 'depth'"),
        (GradientBoostingClassifier(loss="hinge"), (X3, Y3), "'log_loss' or 'focal'; got 'hinge'"),
        (GradientBoostingClassifier(loss="focal"), (X3, np.arange(30) % 3), "two classes; y holds 3"),
        (GradientBoostingClassifier(monotonic_cst=[1]), (X3, Y3), "each of 2 features"),
        (GradientBoostingClassifier(categorical_features=[5]), (X3, Y3), "index 5, but X has 2 columns"),
        (GradientBoostingClassifier(categorical_features=["a"]), (X3, Y3), "no column names"),
        (GradientBoostingClassifier(), (X3, Y3, -np.ones(30)), "[Nn]egative"),
        (GradientBoostingClassifier(), (X3, Y3, np.zeros(30)), "zero"),
        (GradientBoostingRegressor(), (X3, np.where(Y3, np.nan, 1.0)), "y contains NaN or infinity"),
        (GradientBoostingRegressor("poisson"), (X3, -np.ones(30)), "poisson.*needs y >= 0"),
        (GradientBoostingRegressor("quantile", quantile=1.5), (X3, Y3), "quantile must be"),
        (GradientBoostingRegressor("poisson"), (X3, np.full(30, 1e35)), "up to 1e30"),
        (GradientBoostingRegressor("quantile", monotonic_cst=[1, 0]), (X3, Y3), "monotonic_cst cannot be kept"),
        (GradientBoostingClassifier(early_stopping=True), (X3[:8], Y3[:8]), "validation_fraction=0.1 of 8 rows"),
        (GradientBoostingClassifier(validation_fraction=1.5), (X3, Y3), "validation_fraction"),
        (GradientBoostingClassifier(l2_regularization=np.inf), (X3, Y3), "l2_regularization"),
        (GradientBoostingClassifier(class_weight="foo"), (X3, Y3), "'balanced', a dict or None; got 'foo'"),
        (GradientBoostingRegressor("huber"), (X3, Y3), "loss must be one of"),
    ],
)
def test_bad_input_is_named_with_what_would_be_right(model, fit, words):
    with pytest.raises(ValueError, match=words):
        model.fit(*fit)


def test_wrong_types_are_type_errors():
    with pytest.raises(TypeError, match="max_iter must be an integer"):
        GradientBoostingClassifier(max_iter=2.5).fit(X3, Y3)


def test_predicting_with_other_columns_is_refused():
    model = GradientBoostingClassifier(max_iter=2).fit(pl.DataFrame({"a": X3[:, 0], "b": X3[:, 1]}), Y3)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(pl.DataFrame({"a": X3[:, 0], "c": X3[:, 1]}))
    with pytest.raises(ValueError, match="features"):
        model.predict(X3[:, :1])
