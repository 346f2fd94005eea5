"""Naive Bayes on counts and categories: parts equal the whole, weights, sparse rows, extremes and bad input."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular.bayes import class_counts
from breadth.tabular.bayes.bernoulli import BernoulliNB
from breadth.tabular.bayes.categories import CategoricalNB
from breadth.tabular.bayes.counts import ComplementNB, MultinomialNB

KINDS = (MultinomialNB, ComplementNB, BernoulliNB, CategoricalNB)
LINEAR = KINDS[:3]


@pytest.mark.filterwarnings("ignore:column . holds")  # the checks draw real numbers
@parametrize_with_checks([kind() for kind in KINDS])
def test_keeps_every_rule_of_scikit_learn(estimator, check):
    check(estimator)


def sample(n=300, p=6, seed=0, top=5):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, size=n)
    rate = rng.uniform(0.2, 2.0, size=(3, p))
    X = np.minimum(rng.poisson(rate[y]), top).astype(float)
    X[0] = top  # so that every category occurs
    return X, y


def test_multinomial_posterior_is_the_prior_times_word_by_word_draws():
    X, y = sample()
    model = MultinomialNB(alpha=0.5).fit(X, y)
    joint = np.zeros((len(X), 3))
    for c in range(3):
        theta = (X[y == c].sum(axis=0) + 0.5) / (X[y == c].sum() + 0.5 * X.shape[1])
        joint[:, c] = np.mean(y == c) * np.prod(theta**X, axis=1)
    assert_allclose(model.predict_proba(X), joint / joint.sum(axis=1, keepdims=True), rtol=1e-12)


def test_bernoulli_posterior_counts_what_is_absent():
    X, y = sample()
    model = BernoulliNB().fit(X, y)
    there = X > 0
    joint = np.zeros((len(X), 3))
    for c in range(3):
        theta = (there[y == c].sum(axis=0) + 1) / (np.sum(y == c) + 2)
        joint[:, c] = np.mean(y == c) * np.prod(np.where(there, theta, 1 - theta), axis=1)
    assert_allclose(model.predict_proba(X), joint / joint.sum(axis=1, keepdims=True), rtol=1e-12)


def test_categorical_posterior_is_the_product_of_shares():
    X, y = sample()
    model = CategoricalNB().fit(X, y)
    joint = np.zeros((len(X), 3))
    for c in range(3):
        shares = np.array([[np.sum(X[y == c, j] == t) + 1 for t in range(6)] for j in range(6)]) / (np.sum(y == c) + 6)
        joint[:, c] = np.mean(y == c) * np.prod([shares[j, X[:, j].astype(int)] for j in range(6)], axis=0)
    assert_allclose(model.predict_proba(X), joint / joint.sum(axis=1, keepdims=True), rtol=1e-12)


def state(model):
    tables = model.category_count_ + model.feature_log_prob_ if isinstance(model, CategoricalNB) else []
    flat = [] if isinstance(model, CategoricalNB) else [model.feature_count_, model.feature_log_prob_]
    return [model.class_count_, model.class_log_prior_, *flat, *tables]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [True, False])
def test_parts_equal_the_whole(kind, weighted):
    X, y = sample()
    X, y = X[np.argsort(y)], np.sort(y)  # the first part has one class only
    weight = np.random.default_rng(1).uniform(0, 2, size=len(y)) if weighted else None
    whole = kind().fit(X, y, sample_weight=weight)
    parts = kind()
    for rows in (slice(0, 50), slice(50, 51), slice(51, 300)):
        parts.partial_fit(X[rows], y[rows], classes=[0, 1, 2], sample_weight=weight[rows] if weighted else None)
    for own, other in zip(state(parts), state(whole), strict=True):
        assert_allclose(own, other, rtol=1e-12)  # weights are added in another order


@pytest.mark.parametrize("kind", KINDS)
def test_integer_weight_is_the_row_repeated_and_zero_the_row_absent(kind):
    X, y = sample()
    weight = np.random.default_rng(1).integers(0, 4, size=len(y))
    weight[0] = 1
    weighted = kind().fit(X, y, sample_weight=weight)
    repeated = kind().fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    for own, other in zip(state(weighted), state(repeated), strict=True):
        assert_allclose(own, other, rtol=1e-13)


@pytest.mark.parametrize("kind", LINEAR)
@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, sp.coo_array])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_sparse_rows_and_any_dtype_give_what_dense_float64_rows_give(kind, form, dtype, monkeypatch):
    monkeypatch.setattr(class_counts, "_CHUNK_ENTRIES", 100)  # several chunks
    monkeypatch.setattr(class_counts, "_BLOCK_ENTRIES", 100)
    X, y = sample()
    weight = np.random.default_rng(1).uniform(0, 2, size=len(y))
    dense = kind().fit(X, y, sample_weight=weight)
    sparse = kind().fit(form(X.astype(dtype)), y, sample_weight=weight)
    assert_allclose(sparse.predict_log_proba(form(X.astype(dtype))), dense.predict_log_proba(X), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", LINEAR)
def test_a_pseudo_count_for_each_feature(kind):
    X, y = sample()
    even, own = kind(alpha=2.0).fit(X, y), kind(alpha=np.full(6, 2.0)).fit(X, y)
    assert_array_equal(even.feature_log_prob_, own.feature_log_prob_)
    X[:, 3] = 0.0
    stronger = kind(alpha=[1, 1, 1, 1e6, 1, 1]).fit(X, y)
    assert np.isfinite(stronger.predict_log_proba(X)).all()


def test_an_infrequent_class_is_found_by_the_complement_and_missed_by_the_multinomial():
    rng = np.random.default_rng(0)
    y = (rng.random(3000) < 0.03).astype(int)
    rate = np.array([[1.0] * 30 + [0.3] * 30, [0.7] * 30 + [0.7] * 30])
    X = rng.poisson(0.2 * rate[y])
    found = [np.mean(kind().fit(X, y).predict(X)[y == 1]) for kind in (MultinomialNB, ComplementNB)]
    assert found[0] < 0.3 < found[1]


def test_long_rows_have_finite_log_posteriors():
    X, y = sample()
    for kind in LINEAR:
        log_proba = kind().fit(X, y).predict_log_proba(1e6 * X)
        assert np.isfinite(log_proba).all()
        assert_allclose(np.exp(log_proba).sum(axis=1), 1.0)


@pytest.mark.parametrize("kind", (MultinomialNB, BernoulliNB, CategoricalNB))
def test_a_class_not_yet_seen_has_probability_zero(kind):
    X, y = sample(top=1)
    model = kind().partial_fit(X[y < 2], y[y < 2], classes=[0, 1, 2])
    assert_array_equal(model.predict_proba(X)[:, 2], 0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_one_class_is_always_predicted(kind):
    X, _ = sample()
    assert set(kind().fit(X, np.full(len(X), "only")).predict(X)) == {"only"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_zeros_has_the_prior_or_a_finite_answer(kind):
    X, y = sample()
    X[:, 2] = 0.0  # a constant column
    proba = kind().fit(X, y).predict_proba(np.zeros((1, 6)))
    assert_allclose(proba.sum(), 1.0)
    if kind is MultinomialNB:
        assert_allclose(proba[0], np.bincount(y) / len(y))


def test_categories_to_come_can_be_declared():
    X, y = sample(top=3)
    model = CategoricalNB(min_categories=8).fit(X, y)
    assert_array_equal(model.n_categories_, 8)
    assert np.isfinite(model.predict_log_proba(np.full((1, 6), 7))).all()
    assert_array_equal(CategoricalNB(min_categories=[1, 2, 3, 4, 5, 6]).fit(X, y).n_categories_, [4, 4, 4, 4, 5, 6])
    with pytest.raises(ValueError, match=r"column 0 holds category 7, .* give min_categories=8"):
        CategoricalNB().fit(X, y).predict(np.full((1, 6), 7))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alpha": -1.0}, "alpha must be"),
        ({"alpha": np.ones(3)}, "alpha must be a number"),
        ({"class_prior": [0.5, 0.5]}, "one number for each of 3 classes"),
        ({"class_prior": [0.5, 0.4, 0.2]}, "sum 1"),
    ],
    ids=["negative", "short", "few", "sum"],
)
def test_bad_parameters_are_named(kind, parameters, message):
    with pytest.raises(ValueError, match=message):
        kind(**parameters).fit(*sample())


@pytest.mark.parametrize("kind", KINDS)
def test_bad_data_is_named(kind):
    X, y = sample()
    if kind is not BernoulliNB:
        for form in (np.asarray, sp.csr_matrix)[: 1 if kind is CategoricalNB else 2]:
            with pytest.raises(ValueError, match=r"Negative values in data .* in column 4"):
                kind().fit(form(np.where(np.arange(6) == 4, X - 3, X)), y)
    with pytest.raises(ValueError, match="NaN"):
        kind().fit(np.where(X == 1, np.nan, X), y)
    with pytest.raises(ValueError, match=r"sample_weight is 0 in every row|[Ss]ample weights"):
        kind().fit(X, y, sample_weight=np.zeros(len(y)))
    with pytest.raises(ValueError, match="classes must be given at the first call"):
        kind().partial_fit(X, y)
    with pytest.raises(ValueError, match="not among classes"):
        kind().partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="differs from those of the first call"):
        kind().partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y, classes=[0, 1])


@pytest.mark.parametrize("kind", KINDS)
def test_without_smoothing_what_never_occurs_is_an_error_with_a_mend(kind):
    X, y = sample(top=1)
    X[y == 2, 1] = 0.0
    if kind is ComplementNB:
        X[y < 2, 1], X[y == 2, 1] = 0.0, 1.0
    with pytest.raises(ValueError, match=r"column 1.* class .* alpha"):
        kind(alpha=0.0).fit(X, y)


@pytest.mark.parametrize("kind", KINDS)
def test_without_force_alpha_next_to_no_smoothing_is_the_least_that_scikit_learn_takes(kind):
    X, y = sample(top=1)
    X[y == 2, 1] = 0.0
    least = kind(alpha=0.0, force_alpha=False).fit(X, y)
    assert_array_equal(least.predict_proba(X), kind(alpha=1e-10).fit(X, y).predict_proba(X))
    assert_array_equal(
        kind(alpha=0.5, force_alpha=False).fit(X, y).predict_proba(X), kind(alpha=0.5).fit(X, y).predict_proba(X)
    )


def test_what_only_some_kinds_refuse_is_named():
    X, y = sample()
    with pytest.raises(ValueError, match="must hold only 0 and 1"):
        BernoulliNB(binarize=None).fit(X, y)
    with pytest.raises(ValueError, match="binarize must be >= 0 for sparse X"):
        BernoulliNB(binarize=-1.0).fit(sp.csr_matrix(X), y)
    with pytest.warns(UserWarning, match=r"column 0 holds 5.5, which is no category and counts as 5"):
        CategoricalNB().fit(np.where(np.arange(6) == 0, X + 0.5, X), y)
    with pytest.raises(ValueError, match="min_categories must be a whole number"):
        CategoricalNB(min_categories=2.5).fit(X, y)
