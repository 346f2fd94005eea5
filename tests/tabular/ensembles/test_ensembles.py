"""Stacking, voting and cascading: by definition, the guard against leaks, weights, thresholds, and bad input."""

from __future__ import annotations

import itertools
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular.ensembles.cascade import CascadeClassifier
from breadth.tabular.ensembles.cascade_thresholds import Stages, choose, frontier
from breadth.tabular.ensembles.stacking import InSampleWarning, StackingClassifier, StackingRegressor
from breadth.tabular.ensembles.voting import VotingClassifier, VotingRegressor

TREES = [("one", DecisionTreeClassifier(max_depth=3, random_state=0)), ("two", GaussianNB())]
REGRESSORS = [("one", DecisionTreeRegressor(max_depth=3, random_state=0)), ("two", Ridge())]


@parametrize_with_checks(
    [
        StackingClassifier(TREES, LogisticRegression(), cv=3),
        StackingRegressor(REGRESSORS, cv=3),
        VotingClassifier(TREES),
        VotingClassifier(TREES, voting="soft"),
        VotingRegressor(REGRESSORS),
        CascadeClassifier(TREES, cv=3),
    ]
)
def test_estimator_protocol(estimator, check):
    check(estimator)


def table(n: int = 240, classes: int = 3, seed: int = 0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    return X, np.digitize(X[:, 0] + X[:, 1] + rng.normal(size=n) / 2, np.linspace(-1, 1, classes + 1)[1:-1])


def test_the_second_stage_is_fitted_to_out_of_fold_predictions_by_definition():
    X, y = table()
    folds = StratifiedKFold(4)
    stack = StackingClassifier(TREES, LogisticRegression(), cv=folds).fit(X, y)
    parts = [cross_val_predict(m, X, y, cv=folds, method="predict_proba") for _, m in TREES]
    final = LogisticRegression().fit(np.hstack(parts), y)
    assert_allclose(stack.final_estimator_.coef_, final.coef_, rtol=1e-12)
    assert_allclose(stack.transform(X), np.hstack([m.fit(X, y).predict_proba(X) for _, m in TREES]), rtol=1e-12)


def test_a_member_that_knows_its_rows_by_heart_gains_no_trust_out_of_fold_and_all_in_sample():
    """One neighbour is always right on rows that it has seen; here the classes are a coin but for a weak trend."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2400, 3))
    y = (X[:, 0] + 2 * rng.normal(size=2400) > 0).astype(int)
    members = [("heart", KNeighborsClassifier(1)), ("line", LogisticRegression())]
    train, test = slice(0, 400), slice(400, 2400)
    honest = StackingClassifier(members).fit(X[train], y[train])
    fitted = [(name, m.fit(X[train], y[train])) for name, m in members]
    with pytest.warns(InSampleWarning, match="fresh=True"):
        leaky = StackingClassifier(fitted, cv="prefit").fit(X[train], y[train])
    assert leaky.score(X[train], y[train]) == 1.0
    assert leaky.score(X[test], y[test]) < honest.score(X[test], y[test]) - 0.03
    trust = np.abs(honest.final_estimator_.coef_[0])
    assert trust[1] > 4 * trust[0]


def test_prefit_members_and_rows_said_to_be_fresh_give_no_warning():
    X, y = table()
    fitted = [(name, m.fit(X[:120], y[:120])) for name, m in TREES]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack = StackingClassifier(fitted, cv="prefit", fresh=True).fit(X[120:], y[120:])
    assert stack.estimators_[0] is fitted[0][1] and stack.score(X, y) > 0.6


@pytest.mark.parametrize(
    ("cv", "words"),
    [
        ([(np.arange(240), np.arange(240))], "240 rows that it was fitted on"),
        ([(np.arange(120), np.arange(120, 240))], "120 of 240 rows never"),
        ([(np.arange(120), np.arange(120, 240))] * 2 + [(np.arange(120, 240), np.arange(120))], "120 more than once"),
    ],
    ids=["in-sample", "half", "twice"],
)
def test_folds_that_leak_or_do_not_test_each_row_once_are_refused(cv, words):
    X, y = table()
    with pytest.raises(ValueError, match=words):
        StackingClassifier(TREES, cv=cv).fit(X, y)
    with pytest.raises(ValueError, match=words):
        CascadeClassifier(TREES, cv=cv).fit(X, y)


def test_a_class_that_a_fold_lacks_has_probability_zero_there_and_no_decision_function():
    X, y = table(90)
    y = np.where(np.arange(90) < 30, 7, np.minimum(y, 1))
    folds = KFold(3)  # the first fold holds all of class 7
    stack = StackingClassifier(TREES, cv=folds).fit(X, y)
    assert stack.predict_proba(X).shape == (90, 3)
    with pytest.raises(ValueError, match="have 2 of 3 classes"):
        StackingClassifier([("svm", LinearSVC())], cv=folds).fit(X, y)


@pytest.mark.parametrize("make", [StackingClassifier, VotingClassifier, CascadeClassifier])
def test_weights_reach_members_and_one_that_takes_none_is_told(make):
    X, y = table()
    weight = np.where(y == 0, 1e-9, 1.0)
    assert (make(TREES).fit(X, y, sample_weight=weight).predict(X) == 0).mean() < (y == 0).mean() / 2
    with pytest.raises(ValueError, match="fit takes no weights"):
        make([("k", KNeighborsClassifier())]).fit(X, y, sample_weight=weight)
    with pytest.raises(ValueError, match="240 finite numbers >= 0"):
        make(TREES).fit(X, y, sample_weight=-weight)
    with pytest.raises(TypeError, match="got groups too"):
        make(TREES).fit(X, y, groups=weight)


@pytest.mark.parametrize("make", [StackingClassifier, VotingClassifier, CascadeClassifier])
def test_strings_frames_sparse_dropped_members_pickles_and_threads(make):
    X, y = table()
    names = np.array(["low", "middle", "high"])[y]
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = make(TREES).fit(frame, names)
    assert set(model.predict(frame)) <= set(names) and model.score(frame, names) > 0.6
    assert list(model.feature_names_in_) == list("abcd")
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict(frame), model.predict(frame))
    members = [("a", LogisticRegression()), ("b", LogisticRegression(C=0.1)), ("c", "drop")]
    dense, sparse = make(members).fit(X, y), make(members).fit(csr_matrix(X), y)
    assert_array_equal(dense.predict(X), sparse.predict(csr_matrix(X)))
    assert dense.named_estimators_["c"] == "drop" and len(dense.estimators_) == 2
    assert dense.set_params(a__C=3.0).get_params()["a__C"] == 3.0


def test_a_vote_is_counted_and_averaged_by_definition():
    X, y = table()
    members = [*TREES, ("three", KNeighborsClassifier(3))]
    told = np.column_stack([m.fit(X, y).predict(X) for _, m in members])
    weights = [2.0, 1.0, 1.5]
    counts = np.stack([((told == k) * weights).sum(1) for k in range(3)], axis=1)
    assert_array_equal(VotingClassifier(members, weights=weights).fit(X, y).predict(X), counts.argmax(1))
    soft = VotingClassifier(members, voting="soft", weights=weights).fit(X, y)
    mean = sum(w * m.predict_proba(X) for w, (_, m) in zip(weights, members, strict=True)) / 4.5
    assert_allclose(soft.predict_proba(X), mean, rtol=1e-12)
    assert soft.transform(X).shape == (240, 9) and soft.get_feature_names_out()[-1] == "votingclassifier_three2"


def test_the_mean_of_regressors_is_better_than_they_are_on_average_by_their_ambiguity():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3)) + 1e4
    z = np.sin(X[:, 0]) + X[:, 1] / 3 + rng.normal(size=300) / 4
    vote = VotingRegressor(REGRESSORS).fit(X[:200], z[:200])
    told, mean = vote.transform(X[200:]), vote.predict(X[200:])
    ambiguity = ((told - mean[:, None]) ** 2).mean()
    assert np.mean((mean - z[200:]) ** 2) == pytest.approx(
        np.mean((told - z[200:, None]) ** 2) - ambiguity, rel=1e-9
    )  # the decomposition is exact; means of 1e4 cost digits


def planted_stages(n: int = 40, stages: int = 2, seed: int = 0) -> Stages:
    """Each stage is right more often where it is surer, and the last most often of all."""
    rng = np.random.default_rng(seed)
    told = []
    codes = rng.integers(2, size=n)
    for s in range(stages):
        sure = np.round(rng.uniform(0.5, 1.0, n), 2)  # with ties
        right = rng.random(n) < np.maximum(sure, 0.9 if s == stages - 1 else 0)
        p = np.where(right == (codes == 1), sure, 1 - sure)
        told.append(np.column_stack([1 - p, p]))
    return Stages.of(told, codes, 3.0 ** np.arange(stages), rng.exponential(size=n))


def every_threshold(stages: Stages):
    options = [[np.inf, *np.unique(c)] for c in stages.confidence[:-1]]
    return np.array([stages.value(np.array(t)) for t in itertools.product(*options)])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("given_up", [0.0, 0.03, 0.2])
def test_the_thresholds_of_two_stages_are_the_cheapest_by_brute_force(seed, given_up):
    stages = planted_stages(seed=seed)
    values = every_threshold(stages)
    target = stages.accuracy_alone[-1] - given_up
    cost, accuracy = stages.value(choose(stages, frontier(stages), target))
    assert accuracy >= target - 1e-9
    assert cost == pytest.approx(values[values[:, 1] >= target - 1e-12, 0].min(), rel=1e-9)


def test_the_thresholds_of_three_stages_come_within_a_tenth_of_brute_force():
    for seed in range(5):
        stages = planted_stages(30, 3, seed)
        values = every_threshold(stages)
        target = stages.accuracy_alone[-1] - 0.03
        cost, accuracy = stages.value(choose(stages, frontier(stages), target))
        assert accuracy >= target - 1e-9  # coordinates find a local optimum
        assert cost <= 1.1 * values[values[:, 1] >= target - 1e-12, 0].min()


def test_no_point_of_the_frontier_is_dearer_and_no_more_accurate_than_another():
    stages = planted_stages(200, 3)
    values = np.array([stages.value(t) for t in frontier(stages)])
    assert (np.diff(values[:, 0]) > 0).all() and (np.diff(values[:, 1]) > 0).all() and len(values) > 5


def two_regions(n: int, seed: int):
    """Half of the rows are told by a line, half by a product of signs that only a deep tree sees."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(n, 3))
    easy = rng.random(n) < 0.5
    X[:, 0] = np.where(easy, 3 * np.sign(X[:, 0]), 0.0)
    return X, np.where(easy, X[:, 0] > 0, X[:, 1] * X[:, 2] > 0).astype(int)


def test_easy_rows_stay_with_the_cheap_model_and_accuracy_is_that_of_the_dear_one_on_rows_not_seen():
    members = [("line", LogisticRegression()), ("tree", DecisionTreeClassifier(random_state=0))]
    cascade = CascadeClassifier(members, costs=[1, 20], tolerance=0.005).fit(*two_regions(2000, 0))
    X, y = two_regions(2000, 1)
    stage = cascade.stages(X)
    assert (stage == 0).mean() == pytest.approx(0.5, abs=0.05)
    assert (X[stage == 0, 0] != 0).mean() > 0.95
    assert cascade.score(X, y) > cascade.estimators_[1].score(X, y) - 0.01
    curve = cascade.accuracy_cost_curve(X, y)
    assert_array_equal(curve.stage_cost, [1, 20])
    assert (
        curve.cost[0] == pytest.approx(1, rel=1e-12)
        and (np.diff(curve.cost) >= 0).all()
        and curve.cost[-1] <= 21 + 1e-9
    )  # means round
    assert curve.accuracy[0] == pytest.approx(0.75, abs=0.06) and curve.accuracy.max() > 0.96
    here = (curve.thresholds == cascade.frontier_.thresholds[len(curve.cost) // 2]).all(1)
    fixed = CascadeClassifier(members, costs=[1, 20], thresholds=curve.thresholds[here][0]).fit(*two_regions(2000, 0))
    assert fixed.score(X, y) == pytest.approx(curve.accuracy[here][0], abs=1e-12)  # the same mean


def test_a_cascade_of_one_is_that_model_and_of_prefit_ones_has_their_labels():
    X, y = table()
    names = np.array(["low", "middle", "high"])[y]
    alone = CascadeClassifier(TREES[:1]).fit(X, y)
    assert_array_equal(alone.predict_proba(X), TREES[0][1].fit(X, y).predict_proba(X))
    fitted = [(name, m.fit(X[:120], names[:120])) for name, m in TREES]
    assert CascadeClassifier(fitted, cv="prefit").fit(X[120:], names[120:]).score(X, names) > 0.6


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (StackingClassifier([]), "non-empty list"),
        (StackingClassifier([("a", "drop")]), "all are 'drop'"),
        (StackingClassifier([("a", GaussianNB), ("b", GaussianNB())]), "must be an instance"),
        (StackingClassifier([("a", GaussianNB()), ("a", GaussianNB())]), "not unique"),
        (StackingClassifier(TREES, Ridge()), "should be a classifier"),
        (StackingClassifier(TREES, stack_method="decision_function"), "does not implement decision_function"),
        (StackingClassifier(TREES, stack_method="proba"), "stack_method must be"),
        (VotingClassifier([("a", Ridge())]), "should be a classifier"),
        (VotingClassifier(TREES, voting="loud"), "voting must be"),
        (VotingClassifier(TREES, weights=[1.0]), "must be equal"),
        (VotingClassifier(TREES, weights=[1.0, -1.0]), "weights must be finite and >= 0"),
        (VotingClassifier([("s", LinearSVC())], voting="soft"), "which s lack"),
        (CascadeClassifier([("s", LinearSVC())]), "s lack predict_proba"),
        (CascadeClassifier(TREES, costs=[1.0]), "costs must be 2 numbers"),
        (CascadeClassifier(TREES, costs=[1.0, 0.0]), "costs must be > 0"),
        (CascadeClassifier(TREES, thresholds=[0.5, 0.5]), "thresholds must be 1 numbers"),
        (CascadeClassifier(TREES, tolerance=2.0), "tolerance must be"),
    ],
    ids=itertools.count(),
)
def test_bad_parameters_are_told(model, words):
    X, y = table()
    with pytest.raises(ValueError, match=words):
        model.fit(X, y)


def test_the_curve_is_refused_without_chosen_thresholds_or_with_unknown_labels():
    X, y = table()
    with pytest.raises(ValueError, match="thresholds=None"):
        CascadeClassifier(TREES, thresholds=[0.6]).fit(X, y).accuracy_cost_curve(X, y)
    with pytest.raises(ValueError, match="no training row had: 9"):
        CascadeClassifier(TREES).fit(X, y).accuracy_cost_curve(X, np.where(y == 0, 9, y))
