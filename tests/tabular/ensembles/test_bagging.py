"""Bagging: what holds by definition, in distribution, on any number of threads, and on bad input."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import ExtraTreeRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular.ensembles.bagging import BaggingClassifier, BaggingRegressor
from breadth.tabular.trees.tree import DecisionTreeClassifier, DecisionTreeRegressor

# what scikit-learn declares for its own; test_an_integer_weight_is_that_many_rows_in_distribution stands in
DRAWN = {
    f"check_sample_weight_equivalence_on_{kind}_data": "rows are drawn: equal in distribution only"
    for kind in ("dense", "sparse")
}


@parametrize_with_checks(
    [
        BaggingClassifier(n_estimators=5),
        BaggingClassifier(LogisticRegression(), n_estimators=10),
        BaggingRegressor(n_estimators=5),
        BaggingRegressor(n_estimators=5, bootstrap=False, n_jobs=2),
    ],
    expected_failed_checks=lambda estimator: DRAWN if estimator.bootstrap else {},
)
def test_estimator_protocol(estimator, check):
    check(estimator)


def a_table(n: int = 300, seed: int = 0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6))
    return X, 2 * X[:, 0] + X[:, 1] * X[:, 2] + rng.normal(size=n) / 2


@pytest.mark.parametrize("bootstrap", [True, False])
@pytest.mark.parametrize("estimator", [None, KNeighborsRegressor(3), Ridge()])
def test_the_prediction_is_the_mean_of_members_fitted_to_their_rows_and_columns(estimator, bootstrap):
    X, z = a_table()
    options = {"max_samples": 0.5, "max_features": 4, "bootstrap": bootstrap, "bootstrap_features": bootstrap}
    model = BaggingRegressor(estimator, 7, **options, random_state=0).fit(X, z)
    twin = []
    for member, rows, columns in zip(
        model.estimators_, model.estimators_samples_, model.estimators_features_, strict=True
    ):
        assert rows.size == 150 and columns.size == 4
        assert bootstrap or np.unique(rows).size == 150
        assert bootstrap or np.unique(columns).size == 4
        repeated = clone(member).fit(X[np.ix_(rows, columns)], z[rows])
        twin.append(repeated.predict(X[:, columns]))
    assert_allclose(model.predict(X), np.mean(twin, 0), rtol=1e-9, atol=1e-12)  # a weight of k beside k equal rows


def test_classes_that_a_sample_lacks_count_as_probability_zero():
    X, z = a_table(40)
    y = np.where(z > np.sort(z)[-2], "rare", np.where(z > 0, "high", "low"))  # one row is rare
    for estimator in (None, LogisticRegression(), KNeighborsClassifier(1), LinearSVC()):
        model = BaggingClassifier(estimator, 9, random_state=0).fit(X, y)
        seen = [np.unique(y[rows]).size for rows in model.estimators_samples_]
        assert min(seen) == 2 and max(seen) == 3
        twin = np.zeros((40, 3))
        for member in model.estimators_:
            if isinstance(member, LinearSVC):  # votes
                twin[np.arange(40), member.predict(X)] += 1 / 9
            else:
                twin[:, member.classes_] += member.predict_proba(X) / 9
        assert_allclose(model.predict_proba(X), twin, atol=1e-15)
        assert_allclose(model.predict_proba(X).sum(1), 1)
        assert_array_equal(model.predict(X), model.classes_[twin.round(12).argmax(1)])
        with np.errstate(divide="ignore"):
            assert_allclose(model.predict_log_proba(X), np.log(model.predict_proba(X)))


@pytest.mark.parametrize(
    "model",
    [
        BaggingClassifier(oob_score=True),
        BaggingClassifier(SGDClassifier(), oob_score=True),
        BaggingRegressor(ExtraTreeRegressor(), oob_score=True, max_features=0.5),
        BaggingRegressor(bootstrap=False, max_samples=0.3),
    ],
)
@pytest.mark.filterwarnings("ignore:.*out-of-bag")
def test_any_number_of_threads_gives_the_same_bits(model):
    X, z = a_table(2000)
    y = (z > 0).astype(int) if isinstance(model, BaggingClassifier) else z
    results = []
    for n_jobs in (1, 2, 3):
        m = clone(model).set_params(n_jobs=n_jobs, random_state=7).fit(X, y)
        output = m.predict_proba(X) if isinstance(m, BaggingClassifier) else m.predict(X)
        results.append((output.tobytes(), getattr(m, "oob_score_", None)))
    assert results[0] == results[1] == results[2]


def test_more_members_leave_the_first_ones_as_they_were():
    X, z = a_table()
    few, many = (BaggingRegressor(n_estimators=n, random_state=0).fit(X, z) for n in (3, 6))
    assert_array_equal(few.estimators_samples_, many.estimators_samples_[:3])
    for a, b in zip(few.estimators_, many.estimators_[:3], strict=True):
        assert_array_equal(a.predict(X), b.predict(X))
    other = BaggingRegressor(n_estimators=3, random_state=1).fit(X, z)
    assert (few.predict(X) != other.predict(X)).any()


def test_every_random_state_inside_a_member_gets_a_seed_of_its_own():
    X, z = a_table()
    pipeline = make_pipeline(StandardScaler(), SGDClassifier(random_state=0))
    model = BaggingClassifier(pipeline, 5, random_state=0).fit(X, z > 0)
    assert len({member.get_params()["sgdclassifier__random_state"] for member in model.estimators_}) == 5


@pytest.mark.parametrize("classifier", [True, False])
def test_out_of_bag_is_the_mean_of_the_members_that_did_not_draw_the_row(classifier):
    X, z = a_table()
    y = np.digitize(z, [-1, 1]) if classifier else z
    w = np.random.default_rng(1).integers(0, 3, len(z))
    kind = BaggingClassifier if classifier else BaggingRegressor
    for weight in (None, w):
        model = kind(n_estimators=60, oob_score=True, n_jobs=2, max_features=5, random_state=0).fit(X, y, weight)
        total, votes = 0.0, 0.0
        for member, rows, columns in zip(
            model.estimators_, model.estimators_samples_, model.estimators_features_, strict=True
        ):
            outside = ~np.isin(np.arange(len(y)), rows)[:, None]
            predict = member.predict_proba if classifier else member.predict
            total = total + outside * predict(X[:, columns]).reshape(len(y), -1)
            votes = votes + outside
        ours = model.oob_decision_function_ if classifier else model.oob_prediction_[:, None]
        assert_allclose(ours, total / votes, rtol=1e-12)
        if classifier:
            score = np.average(ours.argmax(1) == y, weights=weight)
        else:
            mean = np.average(y, weights=weight)
            error, spread = (np.average((y - m) ** 2, weights=weight) for m in (ours[:, 0], mean))
            score = 1 - error / spread
        assert_allclose(model.oob_score_, score, rtol=1e-12)


@pytest.mark.parametrize("classifier", [True, False])
def test_out_of_bag_score_estimates_the_held_out_score(classifier):
    kind = BaggingClassifier if classifier else BaggingRegressor
    gaps = []
    for seed in range(8):
        X, z = a_table(3000, seed)
        y = (z > 0).astype(int) if classifier else z
        model = kind(n_estimators=40, oob_score=True, random_state=seed).fit(X[:500], y[:500])
        gaps.append(model.oob_score_ - model.score(X[500:], y[500:]))
    # a row is judged by 0.37 x 40 members, fewer than the held-out rows are: slightly pessimistic
    assert -0.02 < np.mean(gaps) < 4 * np.std(gaps, ddof=1) / np.sqrt(len(gaps))


def test_rows_that_every_member_drew_are_reported_and_nan():
    X, z = a_table(30)
    for kind, y in ((BaggingRegressor, z), (BaggingClassifier, z > 0)):
        with pytest.warns(UserWarning, match=r"\d+ of 30 rows .* no out-of-bag value .*n_estimators=1 is too few"):
            model = kind(n_estimators=1, oob_score=True, random_state=0).fit(X, y)
        value = model.oob_prediction_ if kind is BaggingRegressor else model.oob_decision_function_[:, 0]
        assert_array_equal(np.flatnonzero(np.isnan(value)), np.unique(model.estimators_samples_[0]))
        assert np.isfinite(model.oob_score_)
    with pytest.warns(UserWarning, match="1 of 1 rows"):
        model = BaggingRegressor(oob_score=True).fit([[1.0]], [2.0])
    assert np.isnan(model.oob_score_)
    assert_array_equal(model.predict([[5.0]]), [2.0])


def test_bagging_reduces_the_variance_of_a_tree_and_leaves_its_bias():
    fresh, _ = a_table(400, seed=99)
    truth = 2 * fresh[:, 0] + fresh[:, 1] * fresh[:, 2]
    single, bagged = [], []
    for seed in range(30):
        X, z = a_table(150, seed)
        single.append(DecisionTreeRegressor().fit(X, z).predict(fresh))
        bagged.append(BaggingRegressor(n_estimators=25, random_state=seed).fit(X, z).predict(fresh))
    variance = [np.var(p, axis=0, ddof=1).mean() for p in (single, bagged)]
    bias2 = [np.mean((np.mean(p, 0) - truth) ** 2) for p in (single, bagged)]
    assert variance[1] < 0.4 * variance[0]
    assert bias2[1] < 1.5 * bias2[0]
    # the variance of the mean of T exchangeable members is r s^2 + (1 - r) s^2 / T: with 25 it cannot go below s^2 / 25
    assert variance[1] > variance[0] / 25


@pytest.mark.parametrize("estimator", [None, KNeighborsRegressor(1)])
def test_an_integer_weight_is_that_many_rows_in_distribution(estimator):
    X, z = a_table(40)
    w = np.random.default_rng(0).integers(0, 4, 40)
    fresh, _ = a_table(20, seed=5)
    by_weight, by_repetition = (
        np.array(
            [
                BaggingRegressor(estimator, 4, max_samples=1.0, random_state=seed).fit(*data).predict(fresh)
                for seed in range(150)
            ]
        )
        for data in ((X, z, w), (np.repeat(X, w, 0), np.repeat(z, w)))
    )
    error = np.sqrt((by_weight.var(0) + by_repetition.var(0)) / 150)
    gap = (by_weight.mean(0) - by_repetition.mean(0)) / np.maximum(error, 1e-12)
    assert np.abs(gap).max() < 4.5  # 20 standard normal numbers
    ratio = by_weight.var(0).sum() / by_repetition.var(0).sum()
    assert abs(ratio - 1) < 0.3  # the spread over seeds as well


def test_without_bootstrap_weights_are_passed_on_and_rows_of_weight_zero_are_absent():
    X, z = a_table(200)
    w = np.random.default_rng(0).integers(0, 3, 200)
    ours = BaggingRegressor(Ridge(), 3, bootstrap=False).fit(X, z, w).predict(X)
    assert_allclose(ours, Ridge().fit(X, z, w).predict(X), rtol=1e-12)
    pasted = BaggingRegressor(Ridge(), 3, bootstrap=False, max_samples=0.5, random_state=0).fit(X, z, w)
    assert all(rows.size == round(np.count_nonzero(w) / 2) and w[rows].all() for rows in pasted.estimators_samples_)
    with pytest.raises(ValueError, match=r"KNeighborsRegressor.. takes none: use bootstrap=True"):
        BaggingRegressor(KNeighborsRegressor(), bootstrap=False).fit(X, z, w)


def test_missing_values_and_sparse_input_are_admitted_where_the_member_admits_them():
    X, z = a_table()
    holes = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
    assert BaggingRegressor(random_state=0).fit(holes, z).score(holes, z) > 0.8
    with pytest.raises(ValueError, match="NaN"):
        BaggingRegressor(Ridge()).fit(holes, z)
    dense, sparse = (
        BaggingRegressor(Ridge(solver="lsqr", tol=1e-12), 40, max_features=3, oob_score=True, random_state=0).fit(A, z)
        for A in (X, csr_matrix(X))
    )
    # the solver centres sparse columns implicitly
    assert_allclose(dense.oob_prediction_, sparse.oob_prediction_, rtol=1e-6)
    assert_allclose(dense.predict(X), sparse.predict(csr_matrix(X)), rtol=1e-6)
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        BaggingRegressor().fit(csr_matrix(X), z)


def test_constant_columns_large_means_one_row_and_ties():
    X, z = a_table()
    assert_array_equal(
        BaggingRegressor(random_state=0).fit(np.ones((9, 2)), np.arange(9.0)).predict([[1.0, 1.0]]).shape, 1
    )
    tree = DecisionTreeRegressor(min_samples_leaf=9)  # the gains of nodes of two rows tie, and rounding decides
    shifted = BaggingRegressor(tree, random_state=0).fit(X, z + 1e4)
    plain = BaggingRegressor(tree, random_state=0).fit(X, z)
    assert_allclose(shifted.predict(X) - 1e4, plain.predict(X), atol=1e-9)  # 1e4 is spaced by 2e-12
    assert_array_equal(BaggingClassifier().fit([[1.0, 2.0]], ["a"]).predict_proba([[3.0, 4.0]]), [[1.0]])
    two = BaggingClassifier(n_estimators=2, random_state=0).fit([[0.0], [0.0]], [0, 1])  # x tells nothing
    tied = np.abs(two.predict_proba([[0.0]]) - 0.5).max() < 1e-12
    assert not tied or two.predict([[0.0]])[0] == 0


def test_it_pickles_and_knows_the_names_of_a_frames_columns():
    X, z = a_table()
    frame = pd.DataFrame(X, columns=list("abcdef"))
    model = BaggingClassifier(oob_score=True, n_estimators=40, random_state=0).fit(frame, z > 0)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict_proba(frame), model.predict_proba(frame))
    assert_array_equal(again.estimators_samples_, model.estimators_samples_)
    assert_array_equal(model.feature_names_in_, list("abcdef"))
    assert isinstance(model.estimator_, DecisionTreeClassifier) and len(model.estimators_) == 40


class NoTags(ClassifierMixin, BaseEstimator):
    def predict(self, X):
        raise AssertionError("never fitted")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_estimators": 0}, "n_estimators must be an integer >= 1.*got 0"),
        ({"max_samples": 0}, "max_samples must be an integer >= 1 or a fraction in .0, 1., got 0"),
        ({"max_samples": 1.5}, "max_samples must be .* got 1.5"),
        ({"max_samples": True}, "max_samples must be .* got True"),
        ({"max_samples": 31, "bootstrap": False}, "max_samples=31 needs bootstrap=True.*30 rows"),
        ({"max_features": 7}, "max_features=7 is more than the 6 columns"),
        ({"max_features": 0.0}, "max_features must be .* got 0.0"),
        ({"oob_score": True, "bootstrap": False}, "oob_score=True needs bootstrap=True"),
        ({"estimator": KNeighborsClassifier()}, "estimator must be a regressor .* got KNeighborsClassifier"),
        ({"estimator": Ridge}, "estimator must be a regressor .* got <class"),
        ({"estimator": NoTags()}, "estimator must be a regressor with fit and predict"),
    ],
)
def test_bad_parameters_are_named(options, message):
    X, z = a_table(30)
    with pytest.raises(ValueError, match=message):
        BaggingRegressor(**options).fit(X, z)


def test_bad_data_is_named():
    X, z = a_table(30)
    with pytest.raises(ValueError, match=r"non-zero|zero for every row"):
        BaggingRegressor().fit(X, z, np.zeros(30))
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        BaggingRegressor().fit(X, z, -np.ones(30))
    with pytest.raises(ValueError, match="infinity"):
        BaggingRegressor().fit(np.where(X > 1, np.inf, X), z)
    with pytest.raises(ValueError, match="continuous"):
        BaggingClassifier().fit(X, z)
    with pytest.raises(ValueError, match=r"estimator must be a classifier .* got Ridge"):
        BaggingClassifier(Ridge()).fit(X, z > 0)
