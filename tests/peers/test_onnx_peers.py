"""What ONNX Runtime makes of `to_onnx`, beside the model itself."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

from breadth.tabular import GradientBoostingClassifier, GradientBoostingRegressor

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

SUM_ORDER = 1e-12  # of float64 scores: the trees are added in another order
FLOAT32 = 1e-6  # of float32 outputs: half a unit in the last place of a number up to 16


def run(model, inputs):
    graph = model.to_onnx()
    onnx.checker.check_model(graph, full_check=True)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = inputs if isinstance(inputs, dict) else {"X": inputs}
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, inputs), strict=True))


def a_table(n=600, n_features=6, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(1e4, 3, size=(n, n_features)).astype(dtype)  # far from 0: float32 keeps few digits of a threshold
    score = X[:, 0] - X.mean() + (X[:, -1] > 1e4) * (X[:, n_features // 2] - 1e4) + rng.normal(size=n)
    X[rng.random(X.shape) < 0.1] = np.nan
    return X, score


def on_thresholds(model, X):
    """Rows that meet every threshold exactly, one representable step above and below, and missing everywhere."""
    trees, rows = model._ensemble, []
    rng = np.random.default_rng(1)
    for node in np.flatnonzero((trees.left >= 0) & np.isfinite(trees.threshold))[:300]:
        for step in (-np.inf, None, np.inf):
            row = X[rng.integers(len(X))].copy()
            cut = trees.threshold[node]
            row[trees.feature[node]] = cut if step is None else np.nextafter(cut, X.dtype.type(step))
            rows.append(row)
    return np.array([*rows, np.full(X.shape[1], np.nan, X.dtype)])


REGRESSORS = {
    "squared_error": GradientBoostingRegressor(max_iter=30),
    "absolute_error": GradientBoostingRegressor("absolute_error", max_iter=30),
    "quantile": GradientBoostingRegressor("quantile", quantile=0.9, max_iter=30),
    "poisson": GradientBoostingRegressor("poisson", max_iter=30),
    "deep level-wise": GradientBoostingRegressor(
        growth="level", max_leaf_nodes=None, max_depth=14, min_samples_leaf=1, max_iter=10
    ),
    "depth 1": GradientBoostingRegressor(max_depth=1, max_iter=30),
    "500 rounds": GradientBoostingRegressor(max_iter=500, max_leaf_nodes=4, learning_rate=0.02),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", REGRESSORS)
def test_a_regressor_takes_the_same_branches_even_on_its_own_thresholds(name, dtype):
    X, score = a_table(dtype=dtype)
    y = np.round(np.exp(score / 4)) if name == "poisson" else score
    model = REGRESSORS[name].fit(X, y)
    for rows in (X, on_thresholds(model, X), X[:1]):
        got = run(model, rows)["prediction"]
        assert got.dtype == dtype and got.shape == (len(rows),)
        want = model.predict(rows)
        assert_allclose(got, want, rtol=SUM_ORDER if dtype == np.float64 else FLOAT32, atol=SUM_ORDER)


CLASSIFIERS = {
    "two classes": (2, GradientBoostingClassifier(max_iter=30)),
    "five classes": (5, GradientBoostingClassifier(max_iter=15)),
    "focal": (2, GradientBoostingClassifier("focal", max_iter=30)),
    "focal, weighted": (2, GradientBoostingClassifier("focal", focal_gamma=0.5, focal_alpha=0.8, max_iter=30)),
    "focal, gamma 0": (2, GradientBoostingClassifier("focal", focal_gamma=0.0, max_iter=30)),
    "depth 1": (3, GradientBoostingClassifier(max_depth=1, max_iter=30)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_gives_the_same_labels_and_probabilities(name, dtype):
    n_classes, model = CLASSIFIERS[name]
    X, score = a_table(dtype=dtype)
    y = np.searchsorted(np.quantile(score, np.linspace(0, 1, n_classes + 1)[1:-1]), score)
    model.fit(X, y)
    for rows in (X, on_thresholds(model, X), X[:1]):
        got = run(model, rows)
        assert_allclose(got["probabilities"], model.predict_proba(rows), rtol=0, atol=FLOAT32)
        assert_array_equal(got["label"], model.predict(rows))
        assert got["probabilities"].dtype == dtype


@pytest.mark.parametrize("scale", [1.0, 200.0])
def test_focal_calibration_survives_huge_scores(scale):
    X, score = a_table()
    model = GradientBoostingClassifier("focal", max_iter=20).fit(X, score > 0)
    trees = model._ensemble
    model._ensemble = replace(trees, value=trees.value * scale)
    assert_allclose(run(model, X)["probabilities"], model.predict_proba(X), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "labels", [["no", "yes"], [-1, 7], [False, True], [1.0, 3.0], np.array(["b", "a"], dtype=object)]
)
def test_labels_come_back_as_they_were(labels):
    X, score = a_table()
    model = GradientBoostingClassifier(max_iter=5).fit(X, np.asarray(labels)[(score > 0).astype(int)])
    got = run(model, X)["label"]
    assert_array_equal(got, model.predict(X))
    assert type(got.tolist()[0]) is type(model.predict(X).tolist()[0])


def test_a_tree_of_one_leaf_and_a_table_of_one_column():
    X, score = a_table(n_features=1)
    constant = GradientBoostingRegressor(max_iter=3).fit(X, np.full(len(X), 2.5))
    assert (constant._ensemble.left < 0).all()
    assert_array_equal(run(constant, X)["prediction"], constant.predict(X))
    lone = GradientBoostingRegressor(max_iter=20).fit(X, score)
    assert_allclose(run(lone, X)["prediction"], lone.predict(X), rtol=SUM_ORDER, atol=SUM_ORDER)
    poor = GradientBoostingClassifier(max_iter=3, min_samples_leaf=10_000).fit(X, np.arange(len(X)) % 3)
    assert_allclose(run(poor, X)["probabilities"], poor.predict_proba(X), rtol=SUM_ORDER)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_present_or_missing_is_a_split_and_an_all_missing_column_is_none(dtype):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3)).astype(dtype)
    X[:, 1] = np.nan
    gone = rng.random(400) < 0.5
    X[gone, 0] = np.nan
    model = GradientBoostingRegressor(max_iter=10).fit(X, 3.0 * gone + 0.1 * X[:, 2])
    assert np.isposinf(model._ensemble.threshold[model._ensemble.left >= 0]).any()
    rows = np.vstack([X, [[np.inf, 0, 0], [-np.inf, 0, 0], [np.nan, np.nan, np.nan]]]).astype(dtype)
    want = model._link(model._ensemble.scores(rows))  # `predict` refuses infinities
    assert_allclose(run(model, rows)["prediction"], want, rtol=FLOAT32, atol=FLOAT32)


def categorical_table(n=1500, n_categories=40, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, n_categories, n)
    effect = rng.normal(size=n_categories)
    number = rng.normal(size=n)
    return rng, codes, number, effect[codes] + 0.5 * number + 0.2 * rng.normal(size=n)


@pytest.mark.parametrize("value", [lambda c: c, lambda c: c * 0.5 - 3, lambda c: c * 10**9])
def test_categories_that_are_numbers_go_in_as_they_are(value):
    rng, codes, number, y = categorical_table()
    X = np.column_stack([number, value(codes).astype(float), number**2, value(codes[::-1]).astype(float)])
    X[rng.random(len(X)) < 0.1, 1] = np.nan
    model = GradientBoostingRegressor(max_iter=20, categorical_features=[1, 3]).fit(X, y)
    assert (model._ensemble.category_set >= 0).any()
    unseen = X[:8].copy()
    unseen[:, 1] = [-1, 1e6, 0.25, 1.5, 255, 256, 39.5, -0.0]
    for rows in (X, unseen):
        assert_allclose(run(model, rows)["prediction"], model.predict(rows), rtol=SUM_ORDER, atol=SUM_ORDER)


@pytest.mark.parametrize("library", [pd, pl])
def test_text_columns_are_inputs_of_their_own(library):
    rng, codes, number, y = categorical_table(n=4000, n_categories=400)  # beyond 255: rare ones share a code
    town = np.array([f"town {c}" for c in codes], dtype=object)
    kind = np.where(codes % 3 > 0, "Ä", "b").astype(object)
    town[rng.random(len(town)) < 0.05] = None
    X = library.DataFrame({"number": number, "town": town.tolist(), "kind": kind.tolist()})
    model = GradientBoostingClassifier(max_iter=20).fit(X, y > 0)
    assert model._encoder.pooled
    inputs = {
        "number": number[:, None],
        "town": np.where(town == None, "", town)[:, None],  # noqa: E711  elementwise
        "kind": kind[:, None],
    }
    got = run(model, inputs)
    assert_allclose(got["probabilities"], model.predict_proba(X), rtol=0, atol=SUM_ORDER)
    unknown = library.DataFrame({"number": [0.0, np.nan], "town": ["nowhere", "town 1"], "kind": ["", "b"]})
    inputs = {name: np.array(unknown[name].to_list(), object)[:, None] for name in ("town", "kind")}
    inputs["number"] = np.array([[0.0], [np.nan]])
    assert_allclose(run(model, inputs)["probabilities"], model.predict_proba(unknown), rtol=0, atol=SUM_ORDER)


def test_unknown_categories_go_where_missing_values_go_on_either_side():
    _, codes, number, y = categorical_table()
    X = np.column_stack([codes.astype(float), number])
    X[codes % 7 == 0, 0] = np.nan
    model = GradientBoostingRegressor(max_iter=10, categorical_features=[0]).fit(X, y)
    trees = model._ensemble
    for missing_left in (False, True):
        model._ensemble = replace(trees, missing_left=np.full_like(trees.missing_left, missing_left))
        rows = np.vstack([X, [[99.0, 0.0], [np.nan, np.nan]]])
        assert_allclose(run(model, rows)["prediction"], model.predict(rows), rtol=SUM_ORDER, atol=SUM_ORDER)
    nobody = replace(trees, category_sets=trees.category_sets * np.array([0, 0, 0, 0, 1], np.uint64))
    model._ensemble = replace(nobody, missing_left=np.zeros_like(trees.missing_left))
    assert_allclose(run(model, X)["prediction"], model.predict(X), rtol=SUM_ORDER, atol=SUM_ORDER)


def test_what_onnx_cannot_hold_is_refused_by_name():
    _, codes, number, y = categorical_table(n=300)
    mixed = pd.DataFrame({"kind": [str(c) if c % 2 else int(c) for c in codes], "number": number})
    with pytest.raises(ValueError, match="'kind' holds text and numbers"):
        GradientBoostingRegressor(max_iter=2).fit(mixed, y).to_onnx()
    huge = pd.DataFrame({"key": pd.Series([2**60 + int(c) for c in codes], dtype="category"), "number": number})
    with pytest.raises(ValueError, match=r"'key' holds the integer .* float64 does not"):
        GradientBoostingRegressor(max_iter=2).fit(huge, y).to_onnx()
    taken = pd.DataFrame({"label": [str(c) for c in codes], "number": number})
    with pytest.raises(ValueError, match="'label' cannot be ONNX inputs"):
        GradientBoostingClassifier(max_iter=2).fit(taken, y > 0).to_onnx()
    with pytest.raises(NotFittedError):
        GradientBoostingRegressor().to_onnx()


def test_without_the_package_the_error_names_the_extra(monkeypatch):
    X, score = a_table(n=100)
    model = GradientBoostingRegressor(max_iter=2).fit(X, score)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "breadth\[onnx\]"'):
        model.to_onnx()
