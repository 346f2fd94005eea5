"""Selection of columns: scores by their definitions, planted columns found, far and constant columns, bad input."""

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_regression
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular import (
    RFE,
    SelectFromModel,
    SelectKBest,
    SequentialFeatureSelector,
    StabilitySelection,
    chi2,
    f_classif,
    f_regression,
    mutual_info_classif,
    mutual_info_regression,
    r_regression,
)
from breadth.tabular.selection.scores_kernels import counts_within, kth_distances


@parametrize_with_checks(
    [
        SelectKBest(k=1),
        SequentialFeatureSelector(LogisticRegression(), cv=2),
        RFE(LogisticRegression()),
        SelectFromModel(LinearRegression()),
        StabilitySelection(n_features_per_fit=1, n_subsamples=5),
    ]
)
def test_keeps_every_rule_of_scikit_learn(estimator, check):
    check(estimator)


def planted(n=300, p=12, seed=0, classes=False):
    """Columns 2 and 5 matter."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    y = 2 * X[:, 2] - X[:, 5] + rng.normal(size=n)
    return X, np.digitize(y, [-1, 1]) if classes else y


def absolute_r(X, y):
    return np.abs(r_regression(X, y))


CHOOSERS = [
    SelectKBest(f_regression, k=2),
    SelectKBest(absolute_r, k=2),
    SelectKBest(mutual_info_regression, k=2),
    SequentialFeatureSelector(LinearRegression(), n_features_to_select=2),
    SequentialFeatureSelector(LinearRegression(), n_features_to_select=2, direction="backward"),
    SequentialFeatureSelector(LinearRegression(), tol=0.02),
    RFE(LinearRegression(), n_features_to_select=2),
    SelectFromModel(Lasso(alpha=0.3)),
    SelectFromModel(LinearRegression(), threshold=-np.inf, max_features=2),
    StabilitySelection(random_state=0),
    StabilitySelection(Lasso(alpha=0.1), random_state=0),
]
NAMES = [
    "f",
    "r",
    "information",
    "forward",
    "backward",
    "forward-tol",
    "rfe",
    "lasso",
    "largest",
    "stability",
    "stability-lasso",
]


@pytest.mark.parametrize("chooser", CHOOSERS, ids=NAMES)
def test_planted_columns_are_found_and_named(chooser):
    X, y = planted()
    chooser.fit(X, y)
    assert_array_equal(chooser.get_support(indices=True), [2, 5])
    assert_array_equal(chooser.transform(X), X[:, [2, 5]])
    assert_array_equal(chooser.inverse_transform(X[:, [2, 5]])[:, 2], X[:, 2])
    chooser.fit(pl.DataFrame(X, schema=[f"c{j}" for j in range(12)]), y)
    assert list(chooser.get_feature_names_out()) == ["c2", "c5"]


@pytest.mark.parametrize("score", [f_classif, mutual_info_classif], ids=["f", "information"])
def test_planted_columns_are_found_for_classes(score):
    X, y = planted(classes=True)
    assert_array_equal(SelectKBest(score, k=2).fit(X, y).get_support(indices=True), [2, 5])


def test_selectors_work_in_a_pipeline():
    X, y = planted(classes=True)
    for chooser in (
        SelectKBest(k=2),
        SelectFromModel(RandomForestClassifier(random_state=0)),
        RFE(LogisticRegression()),
    ):
        assert make_pipeline(StandardScaler(), chooser, LogisticRegression()).fit(X, y).score(X, y) > 0.7


def test_r_is_pearsons_and_far_columns_cost_no_digits():
    X, y = planted()
    r = [np.corrcoef(X[:, j], y)[0, 1] for j in range(12)]
    assert_allclose(r_regression(X, y), r, rtol=1e-11, atol=1e-15)
    for score in (r_regression, lambda X, y: f_regression(X, y)[0], lambda X, y: f_classif(X, y > 0)[0]):
        far = score(X + 1e4, y)
        assert_allclose(far, score((X + 1e4) - 1e4, y), rtol=1e-9, atol=1e-12)


def test_a_bent_dependence_is_seen_by_information_and_not_by_correlation():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 2))
    y = X[:, 0] ** 2
    assert abs(r_regression(X, y)[0]) < 0.2  # the square of a skewed sample leans
    information = mutual_info_regression(X, y, random_state=0)
    assert information[0] > 1.0 > 0.1 > information[1]
    assert mutual_info_classif(X, y > 1, random_state=0)[0] > 0.4


def test_information_of_gaussians_is_that_of_their_correlation():
    rng = np.random.default_rng(0)
    x = rng.normal(size=20000)
    y = 0.8 * x + 0.6 * rng.normal(size=20000)
    # the estimate's standard error at this size is about 0.007
    assert_allclose(mutual_info_regression(x[:, None], y, random_state=0), -0.5 * np.log(1 - 0.64), atol=0.03)


@pytest.mark.parametrize("value", [0.0, 1e4 / 3])
def test_a_constant_column_scores_nothing(value):
    X, y = planted()
    X[:, 0] = value
    for F, p in (f_regression(X, y), f_classif(X, y > 0)):
        assert (F[0], p[0]) == (0.0, 1.0)
    assert r_regression(X, y)[0] == 0.0
    assert mutual_info_regression(X, y, random_state=0)[0] < 0.1
    assert_array_equal(f_regression(X, np.ones(len(X)))[0], 0.0)
    assert chi2(np.abs(X) * (np.arange(12) > 0), y > 0)[0][0] == 0.0


def test_a_column_that_tells_the_classes_apart_scores_most():
    X, y = planted(classes=True)
    X[:, 3] = y
    F, p = f_classif(X, y)
    assert F.argmax() == 3
    assert np.isfinite(F).all()
    assert p[3] == 0.0
    F, p = f_regression(np.column_stack([X, y]), y)
    assert (F[12], p[12]) == (np.finfo(float).max, 0.0)


def test_sparse_columns_score_as_dense_ones():
    X, y = planted(classes=True)
    X = np.maximum(np.round(X), 0)
    for form in (sp.csr_matrix, sp.csc_matrix, sp.coo_array):
        for score in (chi2, f_classif, f_regression):
            for own, other in zip(score(form(X), y), score(X, y), strict=True):
                assert_allclose(own, other, rtol=1e-9, atol=1e-15)
        assert_allclose(mutual_info_classif(form(X), y), mutual_info_classif(X, y, discrete_features=True), rtol=1e-12)


@pytest.mark.parametrize("k", [1, 3, 10])
@pytest.mark.parametrize("ties", [False, True])
def test_neighbours_on_a_line_are_those_of_brute_force(k, ties):
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    x = np.sort(np.round(x, 1) if ties else x)
    apart = np.abs(x[:, None] - x)
    out, within = np.empty(60), np.empty(60, dtype=np.int64)
    kth_distances(x, k, out)
    assert_array_equal(out, np.sort(apart, axis=1)[:, k])
    for radius in (out, np.nextafter(out, 0.0), np.zeros(60), np.full(60, 100.0)):
        counts_within(x, radius, within)
        assert_array_equal(within, (apart <= radius[:, None]).sum(axis=1))


def test_backward_selection_keeps_columns_that_matter_only_together():
    rng = np.random.default_rng(0)
    X = rng.choice([-1.0, 1.0], size=(300, 5)) + rng.normal(scale=0.1, size=(300, 5))
    y = X[:, 1] * X[:, 3] > 0
    model = KNeighborsClassifier(3)
    backward = SequentialFeatureSelector(model, n_features_to_select=2, direction="backward").fit(X, y)
    assert_array_equal(backward.get_support(indices=True), [1, 3])


def test_a_ranking_tells_when_a_column_was_dropped():
    X, y = planted()
    model = RFE(LinearRegression(), n_features_to_select=1).fit(X, y)
    assert sorted(model.ranking_) == list(range(1, 13))
    assert model.ranking_[2] == 1
    assert model.ranking_[5] == 2
    assert_allclose(model.predict(X), LinearRegression().fit(X[:, [2]], y).predict(X[:, [2]]))
    assert not hasattr(model, "predict_proba")


def test_the_threshold_of_a_model_is_a_number_or_a_multiple():
    X, y = planted()
    sizes = np.abs(LinearRegression().fit(X, y).coef_)
    for threshold, number in (
        ("mean", sizes.mean()),
        ("0.5*median", np.median(sizes) / 2),
        (0.7, 0.7),
        (None, sizes.mean()),
    ):
        model = SelectFromModel(LinearRegression(), threshold=threshold).fit(X, y)
        assert_allclose(model.threshold_, number)
        assert_array_equal(model.get_support(), sizes >= number)
    assert SelectFromModel(Lasso(alpha=0.3)).fit(X, y).threshold_ == 1e-5
    fitted = SelectFromModel(Lasso(alpha=0.3).fit(X, y), prefit=True).fit(X)
    assert_array_equal(fitted.get_support(indices=True), [2, 5])


def test_a_model_that_is_fitted_already_chooses_without_a_fit_of_the_selector():
    X, y = planted()
    model = Lasso(alpha=0.3).fit(X, y)
    assert_array_equal(SelectFromModel(model, prefit=True).transform(X), X[:, [2, 5]])
    assert SelectFromModel(model, prefit=True, max_features=1).get_support().sum() == 1
    with pytest.raises(NotFittedError):
        SelectFromModel(Lasso(alpha=0.3), prefit=True).transform(X)
    with pytest.raises(NotFittedError):
        SelectFromModel(model, prefit=True, max_features=lambda X: 1).transform(X)


def test_shares_are_those_of_brute_force_on_the_same_halves():
    X, y = planted(n=60)
    model = StabilitySelection(Lasso(alpha=0.05), n_features_per_fit=3, n_subsamples=8, random_state=1).fit(X, y)
    entropy = np.random.RandomState(1).randint(2**31, size=4)
    count = np.zeros(12)
    for seed in np.random.SeedSequence(entropy.tolist()).spawn(8):
        rows = np.random.default_rng(seed).permutation(60)[:30]
        coef = np.abs(Lasso(alpha=0.05).fit(X[rows], y[rows]).coef_)
        count[[j for j in np.argsort(-coef)[:3] if coef[j] > 0]] += 1
    assert_allclose(model.selection_probabilities_, count / 8)
    assert_allclose(model.error_bound_, 9 / (0.5 * 12))
    with parallel_config("threading"):
        two = clone(model).set_params(n_jobs=2).fit(X, y)
    assert_array_equal(two.selection_probabilities_, model.selection_probabilities_)


def false_ones(seeds, n_subsamples):
    """Columns kept on average where none has an effect, and the bound."""
    kept = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=(60, 40)), rng.normal(size=60)
        model = StabilitySelection(pfer=1.0, n_subsamples=n_subsamples, random_state=seed).fit(X, y)
        kept.append(model.get_support().sum())
    return np.mean(kept), model.error_bound_


def test_no_more_columns_without_effect_are_kept_than_the_bound_says():
    mean, bound = false_ones(10, 30)
    assert mean <= bound <= 1.0


@pytest.mark.slow
def test_no_more_columns_without_effect_are_kept_than_the_bound_says_on_200_data_sets():
    mean, bound = false_ones(200, 50)
    assert mean <= bound <= 1.0


def test_a_stable_choice_keeps_what_a_single_fit_would_lose_among_many():
    X, y, coef = make_regression(150, 200, n_informative=5, noise=20.0, coef=True, random_state=0)
    chosen = StabilitySelection(threshold=0.8, random_state=0).fit(X, y).get_support()
    assert chosen[coef > 30].all()
    assert not chosen[coef == 0].any()
    labels = np.where(y > 0, "yes", "no")
    assert StabilitySelection(random_state=0).fit(X, labels).get_support()[np.argmax(coef)]


def test_bad_input_is_named():
    X, y = planted()
    with pytest.raises(TypeError, match="score_func must be a function"):
        SelectKBest("f_classif").fit(X, y)
    with pytest.raises(ValueError, match="k must be an integer >= 0 or 'all'"):
        SelectKBest(k=-1).fit(X, y)
    with pytest.warns(UserWarning, match="k=20 is more than the 12 columns"):
        assert SelectKBest(f_regression, k=20).fit(X, y).get_support().all()
    with pytest.raises(ValueError, match="one score for each of 12 columns"):
        SelectKBest(lambda X, y: np.ones(3)).fit(X, y)
    with pytest.raises(ValueError, match="Negative values in data passed to chi2"):
        chi2(X, y > 0)
    with pytest.raises(ValueError, match="2 classes and more rows than classes"):
        f_classif(X, np.zeros(300, dtype=int))
    with pytest.raises(ValueError, match=r"n_neighbors must be an integer in \[1, 299\]"):
        mutual_info_regression(X, y, n_neighbors=0)
    with pytest.raises(ValueError, match="sparse X cannot have continuous columns"):
        mutual_info_regression(sp.csr_matrix(X), y, discrete_features=False)
    with pytest.raises(ValueError, match="mask discrete_features must have 12 entries"):
        mutual_info_regression(X, y, discrete_features=[True])
    with pytest.raises(ValueError, match=r"n_features_to_select must be in \[1, 11\]"):
        SequentialFeatureSelector(LinearRegression(), n_features_to_select=12).fit(X, y)
    with pytest.raises(ValueError, match="direction must be"):
        SequentialFeatureSelector(LinearRegression(), direction="both").fit(X, y)
    with pytest.raises(ValueError, match="tol must be > 0"):
        SequentialFeatureSelector(LinearRegression(), tol=-1.0).fit(X, y)
    with pytest.raises(ValueError, match="neither coef_ nor feature_importances_"):
        RFE(KNeighborsClassifier()).fit(X, y > 0)
    with pytest.raises(ValueError, match=r"n_features_to_select must be in \[1, 12\]"):
        RFE(LinearRegression(), n_features_to_select=13).fit(X, y)
    with pytest.raises(ValueError, match="step must be"):
        RFE(LinearRegression(), step=0).fit(X, y)
    with pytest.raises(ValueError, match="threshold must be a number, 'mean', 'median'"):
        SelectFromModel(LinearRegression(), threshold="2*mode").fit(X, y)
    with pytest.raises(ValueError, match="max_features must be an integer >= 0"):
        SelectFromModel(LinearRegression(), max_features=-1).fit(X, y)
    with pytest.raises(NotFittedError):
        SelectFromModel(LinearRegression(), prefit=True).fit(X, y)
    with pytest.raises(ValueError, match=r"threshold must be in \(0.5, 1\]"):
        StabilitySelection(threshold=0.5).fit(X, y)
    with pytest.raises(ValueError, match=r"pfer=0.1 cannot be kept with 12 columns .* raise pfer to that"):
        StabilitySelection(pfer=0.1).fit(X, y)
    with pytest.raises(ValueError, match="y has 3 labels"):
        StabilitySelection().fit(X, np.array(["a", "b", "c"] * 100))
