"""Every contender on every kind of task, with categories and holes, as the comparisons build it."""

import warnings

import numpy as np
import pytest

from breadth.evidence import contenders, sources
from breadth.evidence.comparison import NAMES, get
from breadth.evidence.contenders_clustering import GROUPS
from breadth.evidence.contenders_drift import STREAMS
from breadth.evidence.contenders_intervals import POPULATIONS
from breadth.evidence.contenders_recommend import TAKEN
from breadth.evidence.contenders_scores import SCORERS
from breadth.evidence.edits import EDITS
from breadth.evidence.entry import Entry, choose, slug
from breadth.evidence.measures import first_measure
from breadth.evidence.problem import from_arrays

ALL = {e.name: e for e in vars(contenders).values() if isinstance(e, Entry)}
CLASSIFIERS_ONLY = {
    e.name
    for e in ALL.values()
    if "logistic" in e.name or "Bayes" in e.name or e.name in ("breadth neighbours", "breadth AdaBoost")
}
REGRESSORS_ONLY = {"breadth linear", "scikit-learn linear", "scikit-learn ridge"}
STAGED = [e.name for e in ALL.values() if e.stages is not None]


def rough(task, n=240, seed=0):
    """Two numbers with holes, one category with holes; the target depends on all three."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    X[:, 2] = rng.integers(0, 5, n)
    signal = X[:, 0] + X[:, 1] + np.array([3.0, -3.0, 2.0, -2.0, 0.0])[X[:, 2].astype(int)]
    X[rng.random((n, 3)) < 0.1] = np.nan
    y = {"binary": signal > 0, "multiclass": np.digitize(signal, [-2, 2]), "regression": signal}[task]
    return from_arrays("rough", X, y.astype(float if task == "regression" else int), task=task, categorical=[2])


def fitted(entry, prepared):
    module = {"lightgbm": "lightgbm", "xgboost": "xgboost"}.get(entry.origin)
    if module:
        pytest.importorskip(module)
    estimator = entry.make(prepared.problem, 0, 1, entry.settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(prepared.X, prepared.y, **(entry.fit_with(prepared.problem) if entry.fit_with else {}))


def predict(estimator, prepared):
    if prepared.problem.task == "regression":
        return estimator.predict(prepared.X)
    return estimator.predict_proba(prepared.X)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("name", ALL)
def test_a_contender_takes_categories_and_holes_and_learns_from_them(name, task):
    if name in (CLASSIFIERS_ONLY if task == "regression" else REGRESSORS_ONLY):
        pytest.skip("serves the other kind of task")
    prepared = rough(task)
    predicted = predict(fitted(ALL[name], prepared), prepared)
    dummy = predict(fitted(contenders.DUMMY, prepared), prepared)
    if "Bayes" in name:  # one-hot columns make it far too sure of itself, so its log loss says nothing
        np.testing.assert_allclose(predicted.sum(1), 1.0, rtol=1e-6)
        assert (predicted.argmax(1) == prepared.y).mean() > (dummy.argmax(1) == prepared.y).mean()
        return
    loss, worst = (first_measure(prepared.problem, prepared.y, p) for p in (predicted, dummy))
    assert loss == worst if name == "dummy" else loss < 0.9 * worst


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("name", STAGED)
def test_the_last_stage_is_the_prediction(name, task):
    entry, prepared = ALL[name], rough(task)
    short = entry.having(**{"n_estimators" if "n_estimators" in entry.settings else "max_iter": 7})
    estimator = fitted(short, prepared)
    stages = list(short.stages(estimator, prepared.X, prepared.problem))
    assert len(stages) == 7
    # XGBoost adds its rounds in float32, we in float64.
    np.testing.assert_allclose(stages[-1], predict(estimator, prepared), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", ["LightGBM", "XGBoost", "scikit-learn HGB", "breadth leaf-wise"])
def test_boosting_engines_split_on_categories_as_such(name):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 40, 8000)
    good = rng.permutation(40) < 20  # no threshold on codes separates them
    prepared = from_arrays("codes", codes[:, None], good[codes].astype(int), task="binary", categorical=[0])
    one_tree = {  # four leaves: as ordered numbers, the codes would need about twenty
        "LightGBM": {"n_estimators": 1, "num_leaves": 4},
        "XGBoost": {"n_estimators": 1, "max_depth": 2},
    }.get(name, {"max_iter": 1, "max_leaf_nodes": 4})
    p = predict(fitted(ALL[name].having(**one_tree, learning_rate=1.0), prepared), prepared)
    assert ((p[:, 1] > 0.5) == prepared.y).mean() > 0.97


def test_a_column_with_more_categories_than_scikit_learn_takes_goes_to_it_as_codes():
    rng = np.random.default_rng(0)
    codes = rng.permutation(np.arange(1200) % 400)
    prepared = from_arrays("many", codes[:, None], (codes % 2).astype(int), task="binary", categorical=[0])
    assert predict(fitted(contenders.HGB, prepared), prepared).shape == (1200, 2)


def test_equal_budgets_are_equal():
    rounds = {e.settings.get("max_iter", e.settings.get("n_estimators")) for e in get("boosting").contenders[:5]}
    assert rounds == {100}
    rates = {e.settings["learning_rate"] for e in get("boosting").contenders[:5]}
    assert rates == {0.1}


@pytest.mark.parametrize("name", NAMES)
def test_a_comparison_names_its_baseline_its_data_and_a_dummy(name):
    from breadth.data import names, suite

    comparison = get(name)
    listed = [e.name for e in comparison.contenders]
    assert comparison.name == name
    assert comparison.baseline in listed
    assert len(set(map(slug, listed))) == len(listed)
    if (
        comparison.read is not None
    ):  # no tables: texts, vectors, sequences or episodes, and a reference that needs no learning
        references = {"bytes", "breadth flat", "cosine", "mean of values", "random", "dummy", "bigram counts"}
        assert {*references, "the text itself"} & set(listed) or name == "language-models"  # exact: chance has no part
        known = {*sources.TEXTS, *sources.COPIES, *sources.VECTORS, *sources.SEQUENCES, "CartPole-v1", "retrieval"}
        known |= {"cloze", "next", "topic", "contexts"}
        known |= {*POPULATIONS, *SCORERS, *EDITS, *GROUPS, *STREAMS, *TAKEN}
        assert {d.partition(":")[0] for d in comparison.data + comparison.quick_data} <= known
        return
    assert "dummy" in listed
    assert {d.partition(":")[0] for d in comparison.data + comparison.quick_data} <= set(names())
    if name != "architectures":  # needs rows that are square images, which few tables have
        assert len(suite(comparison.suite)) == 8


def test_an_unknown_or_repeated_contender_is_named_with_the_nearest():
    entries = get("boosting").contenders
    assert [e.name for e in choose(entries, ["xgboost", " Breadth Leaf-Wise "], comparison="boosting")] == [
        "XGBoost",
        "breadth leaf-wise",
    ]
    with pytest.raises(ValueError, match=r"no contender 'lightgmb'; did you mean 'lightgbm'\?"):
        choose(entries, ["lightgmb"], comparison="boosting")
    with pytest.raises(ValueError, match="twice"):
        choose(entries, ["xgboost", "XGBoost"], comparison="boosting")
