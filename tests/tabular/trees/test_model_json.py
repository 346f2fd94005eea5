"""Models as JSON text: the whole of a model comes back, and broken text is refused by name."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import date

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError

from breadth.tabular import GradientBoostingClassifier, GradientBoostingRegressor


def a_table(n=400, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = rng.normal(1e4, 1, size=(n, 4)).astype(dtype)
    X[rng.random(X.shape) < 0.1] = np.nan
    return X, np.nansum(X - 1e4, axis=1) + rng.normal(size=n)


def parameters_of(model):
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in model.get_params().items()}


def assert_same_model(model, again, X):
    for part in fields(model._ensemble):
        ours, theirs = getattr(model._ensemble, part.name), getattr(again._ensemble, part.name)
        assert_array_equal(ours, theirs)
        assert np.asarray(ours).dtype == np.asarray(theirs).dtype
    assert_array_equal(model.predict(X), again.predict(X))
    if hasattr(model, "predict_proba"):
        assert_array_equal(model.predict_proba(X), again.predict_proba(X))
        assert model.classes_.dtype == again.classes_.dtype
    assert parameters_of(model) == parameters_of(again)
    assert set(vars(model)) == set(vars(again))  # a new fitted attribute has to find its place in the text
    assert vars(model)["n_features_in_"] == again.n_features_in_
    assert again.to_json() == model.to_json()


def round_trip(model, X):
    again = type(model).from_json(model.to_json())
    assert_same_model(model, again, X)
    return again


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"loss": "poisson"},
        {"loss": "quantile", "quantile": 0.9, "random_state": 3, "subsample": 0.5},
        {"growth": "level", "max_leaf_nodes": None, "max_depth": 12, "min_samples_leaf": 1, "max_iter": 5},
        {"max_depth": 1, "max_iter": 500},
        {"early_stopping": True, "random_state": np.int64(1), "learning_rate": np.float64(0.3)},
        {"monotonic_cst": np.array([1, 0, 0, -1])},
    ],
)
def test_a_regressor_comes_back_to_the_last_bit(settings, dtype):
    X, y = a_table(dtype=dtype)
    model = GradientBoostingRegressor(**{"max_iter": 20, **settings}).fit(X, np.abs(y))
    again = round_trip(model, X)
    if settings.get("early_stopping"):
        assert_array_equal(model.validation_loss_, again.validation_loss_)


@pytest.mark.parametrize(
    "labels", [["no", "yes"], [0, 1, 2], [False, True], [-1.0, 1.0], np.array(["x", "yy", "z"], dtype=object)]
)
def test_a_classifier_comes_back_with_its_labels(labels):
    X, y = a_table()
    labels = np.asarray(labels)
    kind = np.searchsorted(np.quantile(y, np.linspace(0, 1, len(labels) + 1)[1:-1]), y)
    weights = {label: 1.0 + k for k, label in enumerate(labels.tolist())}
    model = GradientBoostingClassifier(max_iter=10, class_weight=weights).fit(X, labels[kind])
    round_trip(model, X)
    round_trip(GradientBoostingClassifier("focal", max_iter=5).fit(X, y > 0), X)


def test_categories_of_every_kind_come_back_and_the_rare_pool_with_them():
    rng = np.random.default_rng(0)
    n = 3000
    codes = rng.integers(0, 320, n)
    X = pd.DataFrame(
        {
            "text": [f'"{c}"\n☃' for c in codes],
            "whole": pd.Series((codes % 9).tolist(), dtype="category"),
            "real": pd.Series([np.inf if c % 5 == 0 else c % 5 + 0.1 for c in codes], dtype="category"),
            "truth": pd.Series((codes % 2 == 0).tolist(), dtype="category"),
            "mixed": pd.Series([str(c % 6) if c % 2 else int(c % 6) for c in codes], dtype=object),
            "number": rng.normal(size=n).astype(np.float32),
            "gone": pd.Series([None] * n, dtype=object),
        }
    )
    X.loc[::17, "text"] = None
    model = GradientBoostingClassifier(max_iter=20, categorical_features=[0, 1, 2, 3, 4, 6], min_samples_leaf=5)
    model.fit(X, (codes % 7 + codes % 4 + X["number"]) > 5)
    again = round_trip(model, X)
    assert again._encoder.codes == model._encoder.codes
    assert again._encoder.rare == model._encoder.rare and again._encoder.rare
    assert again._encoder.pooled == model._encoder.pooled
    for ours, theirs in zip(model._encoder.codes.values(), again._encoder.codes.values(), strict=True):
        assert [type(v) for v in ours] == [type(v) for v in theirs]
    assert again.feature_names_in_.tolist() == X.columns.tolist()
    with pytest.raises(ValueError, match="feature names"):
        again.predict(X.rename(columns={"text": "words"}))


def test_present_or_missing_and_trees_of_one_leaf_come_back():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2))
    gone = rng.random(300) < 0.5
    X[gone, 0] = np.nan
    X[:, 1] = np.nan
    model = GradientBoostingRegressor(max_iter=5).fit(X, 1.0 * gone)
    assert np.isposinf(model._ensemble.threshold).any()
    assert '"inf"' in model.to_json()
    round_trip(model, X)
    round_trip(GradientBoostingRegressor(max_iter=2).fit(X, np.ones(300)), X)


def test_the_text_is_strict_json_that_a_person_can_follow():
    X = np.repeat([0.0, 1.0], 50)[:, None]
    model = GradientBoostingRegressor(max_iter=1, max_leaf_nodes=2, learning_rate=1.0).fit(X, X[:, 0])

    def refuse(name):
        raise AssertionError(name)

    document = json.loads(model.to_json(), parse_constant=refuse)
    tree = document["trees"][0]
    assert tree["left"] == [1, -1, -1] and tree["rows"] == [100, 50, 50]
    assert tree["threshold"] == [0.5, None, None]
    assert tree["value"] == [0.0, -0.5, 0.5]
    assert document["version"] == 1 and document["first_score"] == [0.5]


@pytest.mark.parametrize("random_state", [np.random.RandomState(0)])
def test_a_generator_as_random_state_is_refused_by_name(random_state):
    X, y = a_table()
    model = GradientBoostingRegressor(max_iter=2, random_state=random_state).fit(X, y)
    with pytest.raises(TypeError, match=r"random_state is a RandomState.*set_params"):
        model.to_json()


def test_what_json_cannot_keep_is_refused_by_name():
    X = pd.DataFrame({"day": pd.Series([date(2020, 1, 1 + i % 3) for i in range(100)], dtype=object)})
    model = GradientBoostingRegressor(max_iter=2).fit(X, np.arange(100))
    with pytest.raises(TypeError, match=r"categorical column 0 holds datetime.date\(2020, 1, 1\) of type date"):
        model.to_json()
    with pytest.raises(NotFittedError):
        GradientBoostingRegressor().to_json()


@pytest.fixture(scope="module")
def document():
    X, y = a_table()
    X[:, 0] = np.arange(len(X)) % 5
    model = GradientBoostingRegressor(max_iter=3, categorical_features=[0]).fit(X, y + (X[:, 0] == 3) * 5)
    assert (model._ensemble.category_set >= 0).any()
    return model.to_json()


def test_text_cut_off_anywhere_is_refused(document):
    for stop in [0, 1, 40, len(document) // 2, len(document) - 3]:
        with pytest.raises(ValueError, match="cut off"):
            GradientBoostingRegressor.from_json(document[:stop])


def test_a_regressor_is_not_read_as_a_classifier(document):
    with pytest.raises(ValueError, match=r"'GradientBoostingRegressor'; load it with that class"):
        GradientBoostingClassifier.from_json(document)
    with pytest.raises(TypeError, match="a dict"):
        GradientBoostingRegressor.from_json({})
    with pytest.raises(ValueError, match="a JSON object; got a list"):
        GradientBoostingRegressor.from_json("[]")
    with pytest.raises(ValueError, match="NaN, which is no JSON"):
        GradientBoostingRegressor.from_json('{"format": NaN}')


def first(name, change):
    """A change to array `name` of tree 0."""

    def apply(d):
        change(d["trees"][0][name])

    return apply


def splits(d):
    return next(tree for tree in d["trees"] if "category_splits" in tree)["category_splits"]


BREAKS = {
    "format must be": lambda d: d.update(format="xgboost"),
    "version must be 1": lambda d: d.update(version=2),
    "lacks the entry 'first_score'": lambda d: d.pop("first_score"),
    "lacks the entry 'gain'": lambda d: d["trees"][1].pop("gain"),
    "differ in the parameters colour": lambda d: d["parameters"].update(colour=1),
    "differ in the parameters max_iter": lambda d: d["parameters"].pop("max_iter"),
    "n_features must be": lambda d: d.update(n_features="4"),
    "feature_names holds 1 names for 4": lambda d: d.update(feature_names=["a"]),
    "no whole rounds": lambda d: d["first_score"].append(0.0),
    "a regressor needs 1": lambda d: d.update(first_score=[0.0, 0.0, 0.0]),
    "threshold_dtype must be": lambda d: d.update(threshold_dtype="float16"),
    "its arrays must have one length": first("value", lambda a: a.pop()),
    "one parent that stands before it": first("left", lambda a: a.__setitem__(0, 0)),
    "left must give every node": first("left", lambda a: a.__setitem__(0, 10**6)),
    "out of bounds|too large|wrong type": first("left", lambda a: a.__setitem__(0, 10**12)),
    "should hold only int": first("left", lambda a: a.__setitem__(0, 1.5)),
    "should hold only bool": first("missing_left", lambda a: a.__setitem__(0, 1)),
    "feature must lie in 0 to 3": first("feature", lambda a: a.__setitem__(0, 4)),
    "should hold a list of numbers": lambda d: d["trees"][0].update(rows=7),
    "could not convert": first("value", lambda a: a.__setitem__(0, "much")),
    "value must be finite": first("value", lambda a: a.__setitem__(-1, None)),
    "rows must not be negative": first("rows", lambda a: a.__setitem__(0, -1)),
    "codes must lie in 0 to 255": lambda d: splits(d)[0].update(left=[256]),
    "category_splits names node": lambda d: splits(d)[0].update(node=9999),
    "threshold must be a number at every split": lambda d: splits(d).pop(),
    "split as numeric and categorical alike": lambda d: d.update(categorical=[]),
    "categorical names column 9": lambda d: d["categorical"][0].update(column=9),
    "an entry of the text has the wrong type": lambda d: d.update(trees=5),
}


@pytest.mark.parametrize("message", BREAKS)
def test_broken_text_is_refused_by_name(document, message):
    broken = json.loads(document)
    BREAKS[message](broken)
    with pytest.raises(ValueError, match=message):
        GradientBoostingRegressor.from_json(json.dumps(broken))
