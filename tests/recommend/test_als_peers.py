"""Alternating least squares beside the library implicit, and beside ridge regressions."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose
from sklearn.linear_model import Ridge

from breadth.recommend import ExplicitALS, ImplicitALS

implicit = pytest.importorskip("implicit", reason="the peer implicit is in the extra [peers]")


def clicks(n_users=80, n_items=50, *, density=0.1, negative=False, seed=0):
    rng = np.random.default_rng(seed)
    X = sp.random_array((n_users, n_items), density=density, rng=rng, format="csr")
    X.data = 1.0 + rng.integers(0, 6, X.nnz)
    if negative:
        X.data[::5] *= -1
    return X


def peers_factors(X, start, **options):
    peer = implicit.als.AlternatingLeastSquares(num_threads=1, random_state=0, **options)
    peer.user_factors, peer.item_factors = (a.copy() for a in start)
    peer.fit(sp.csr_matrix(X), show_progress=False)
    return peer.user_factors, peer.item_factors


def start_of(X, k, dtype=np.float32, seed=3):
    rng = np.random.default_rng(seed)
    return tuple((rng.random((n, k)) * 0.01).astype(dtype) for n in X.shape)


def fitted_from(start, X, **options):
    model = ImplicitALS(start[0].shape[1], warm_start=True, dtype=start[0].dtype.name, **options)
    model.user_factors_, model.item_factors_ = (a.copy() for a in start)
    return model.fit(X)


def objective(X, x, y, alpha, regularization):
    """The sum over all pairs, written out."""
    value = alpha * X.toarray()
    confidence = np.where(value == 0, 1.0, np.abs(value))
    x, y = x.astype(np.float64), y.astype(np.float64)
    squares = confidence * ((value > 0) - x @ y.T) ** 2
    return squares.sum() + regularization * ((x**2).sum() + (y**2).sum())


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize(("alpha", "regularization"), [(1.0, 0.01), (40.0, 1.0), (0.25, 0.1)])
def test_the_exact_solver_gives_the_factors_of_implicit(alpha, regularization, negative):
    X = clicks(negative=negative)
    start = start_of(X, 8, np.float64)
    options = {"alpha": alpha, "regularization": regularization, "iterations": 3}
    ours = fitted_from(start, X, solver="cholesky", **options)
    theirs = peers_factors(X, start, factors=8, use_cg=False, use_native=False, dtype=np.float64, **options)
    # implicit keeps X in float32; with these values that is exact
    assert_allclose(ours.user_factors_, theirs[0], atol=1e-8)
    assert_allclose(ours.item_factors_, theirs[1], atol=1e-8)
    assert_allclose(ours.objective_, objective(X, *theirs, alpha, regularization), rtol=1e-10)


@pytest.mark.parametrize("factors", [1, 7, 32])
@pytest.mark.parametrize("seed", range(3))
def test_two_steps_reach_an_objective_no_larger_than_three_of_implicit(factors, seed):
    X = clicks(300, 120, density=0.05, seed=seed)
    start = start_of(X, factors, seed=seed)
    options = {"alpha": 2.0, "regularization": 0.05}
    for iterations in (1, 3, 15):
        ours = fitted_from(start, X, iterations=iterations, **options)
        theirs = peers_factors(X, start, factors=factors, iterations=iterations, **options)
        reached = objective(X, *theirs, 2.0, 0.05)
        assert_allclose(ours.objective_, objective(X, ours.user_factors_, ours.item_factors_, 2.0, 0.05), rtol=1e-5)
        # both end near an optimum, and not always in the same one
        assert ours.objective_ <= reached * (1 + 2e-3)


def test_many_steps_are_the_exact_solver():
    X = clicks()
    start = start_of(X, 6, np.float64)
    exact = fitted_from(start, X, solver="cholesky", iterations=2)
    steps = fitted_from(start, X, cg_steps=12, iterations=2)
    assert_allclose(steps.user_factors_, exact.user_factors_, atol=1e-9)


def test_new_users_are_folded_in_as_implicit_recalculates_them():
    X, new = clicks(), clicks(5, seed=9)
    ours = ImplicitALS(8, alpha=3.0, iterations=4, random_state=0).fit(X)
    peer = implicit.als.AlternatingLeastSquares(factors=8, alpha=3.0, num_threads=1)
    peer.user_factors, peer.item_factors = ours.user_factors_, ours.item_factors_
    theirs = peer.recalculate_user(np.arange(5), sp.csr_matrix(new.astype(np.float32)))
    assert_allclose(ours.fold_in(new), theirs, atol=2e-4)  # float32 solve
    items, scores = ours.recommend_new(new, 6)
    peer.user_factors = theirs
    their_items, their_scores = peer.recommend(np.arange(5), sp.csr_matrix(new), 6)
    assert_allclose(scores, their_scores, atol=1e-3)
    assert np.mean(items == their_items) > 0.9  # scores that differ by rounding may change places


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_recommendations_are_those_of_implicit(exclude_seen):
    X = clicks()
    ours = ImplicitALS(8, iterations=4, random_state=0).fit(X)
    peer = implicit.als.AlternatingLeastSquares(factors=8, num_threads=1)
    peer.user_factors, peer.item_factors = ours.user_factors_, ours.item_factors_
    users = np.arange(40)
    items, scores = ours.recommend(users, 5, exclude_seen=exclude_seen)
    theirs = peer.recommend(users, sp.csr_matrix(X[users]), 5, filter_already_liked_items=exclude_seen)
    assert_allclose(scores, theirs[1], atol=1e-6)
    assert_allclose(ours.predict(np.repeat(users, 5), items.ravel()), scores.ravel(), atol=1e-6)
    near = ours.similar_items(3, 5)
    others = peer.similar_items(3, 6)
    assert_allclose(near.scores, others[1][1:], atol=1e-6)


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_a_turn_over_items_is_a_ridge_regression_of_each(biases, weighted, mean):
    X = clicks(60, 30, density=0.2)
    X.data += mean
    model = ExplicitALS(4, 0.3, 2, random_state=0, biases=biases, weighted=weighted).fit(X)
    dense = X.toarray()
    for item in range(30):
        rated = np.flatnonzero(dense[:, item])
        design = model.user_factors_[rated]
        target = dense[rated, item] - model.mean_ - model.user_biases_[rated]
        found = model.item_factors_[item]
        if biases:
            design = np.column_stack([design, np.ones(len(rated))])
            found = np.r_[found, model.item_biases_[item]]
        penalty = 0.3 * (len(rated) if weighted else 1)
        wanted = Ridge(penalty, fit_intercept=False, solver="cholesky").fit(design, target).coef_
        # without biases, ratings of 1e4 leave factors of some 1e2
        assert_allclose(found, wanted, atol=1e-9 * max(1.0, np.abs(wanted).max()))
