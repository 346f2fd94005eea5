"""Passes over many rows: the same sums as NumPy's, and the same bits for any number of threads."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit

from breadth.tabular.linear import logistic_rows
from breadth.tabular.linear.logistic import LogisticRegression
from breadth.tabular.linear.logistic_rows import DenseRows, worth_a_kernel


def sample(n, p, mean=0.0, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + mean
    weight = rng.integers(0, 3, size=n) * rng.uniform(size=n)
    weight[-1] = 1.0
    return X, rng.choice([-1.0, 1.0], size=n), weight / weight.sum(), rng.normal(size=p)


@pytest.mark.parametrize(("n", "p"), [(3, 1), (64, 5), (1001, 7), (3999, 300)])
def test_loss_and_derivatives_are_numpys(n, p):
    X, sign, weight, coef = sample(n, p)
    loss, total, pull = DenseRows(X, weight).pull(sign, coef, 0.3)
    margin = sign * (X @ coef + 0.3)
    slope = -sign * weight * expit(-margin)
    # sums of n terms in another order
    assert_allclose(loss, weight @ np.logaddexp(0, -margin), rtol=1e-12)
    assert_allclose(total, slope.sum(), atol=1e-14)
    assert_allclose(pull, slope @ X, atol=1e-14)


def test_margins_of_a_thousand_neither_overflow_nor_vanish():
    rows = DenseRows(np.array([[1000.0], [-1000.0]]), np.array([0.5, 0.5]))
    loss, _, pull = rows.pull(np.array([1.0, 1.0]), np.array([1.0]), 0.0)
    assert loss == 500.0
    assert_array_equal(pull, [500.0])
    assert DenseRows(np.array([[50.0]]), np.ones(1)).pull(np.ones(1), np.ones(1), 0.0)[0] == np.exp(-50.0)


@pytest.mark.parametrize("mean", [0.0, 1e6])
def test_moments_keep_their_digits(mean):
    X, _, weight, _ = sample(3000, 40, mean)
    X[:, 3] = 1e4 / 3
    found, variance = DenseRows(X, weight).moments()
    centred = X - weight @ X
    centred -= weight @ centred
    assert_allclose(found, weight @ X, rtol=1e-14, atol=1e-15)
    assert_allclose(variance, weight @ centred**2, rtol=1e-11, atol=1e-20)  # eps x 1e6 of each entry, squares add up


def test_bits_are_the_same_for_any_number_of_threads(monkeypatch):
    X, sign, weight, coef = sample(20_000, 20)
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(logistic_rows, "granted_threads", lambda threads=threads: threads)
        rows = DenseRows(X, weight)
        assert rows.threads == threads
        found.append(np.concatenate([*rows.moments(), np.hstack(rows.pull(sign, coef, 0.1))]))
    assert_array_equal(found[1], found[0])
    assert_array_equal(found[2], found[0])


def test_many_rows_give_the_model_of_the_general_path():
    X, _, _, coef = sample(14_000, 20, mean=3.0)
    y = (X - 3.0) @ coef + np.random.default_rng(1).logistic(size=len(X)) > 0
    weight = np.random.default_rng(2).integers(0, 3, size=len(X))
    X[:, 7] = 1e4 / 3
    assert worth_a_kernel(X) and not worth_a_kernel(np.asfortranarray(X))
    for fit_intercept in (True, False):
        fits = [
            LogisticRegression(tol=1e-9, fit_intercept=fit_intercept).fit(form(X), y, sample_weight=weight)
            for form in (np.ascontiguousarray, np.asfortranarray)
        ]
        assert not fit_intercept or fits[0].coef_[0, 7] == fits[1].coef_[0, 7] == 0.0
        # both stop within tol; without an intercept columns of mean 3 go together, which makes coefficients looser
        assert_allclose(fits[0].coef_, fits[1].coef_, rtol=1e-6, atol=1e-7)
        assert_allclose(fits[0].intercept_, fits[1].intercept_, rtol=1e-6, atol=1e-7)


def test_little_and_sparse_input_asks_for_no_kernel():
    assert not worth_a_kernel(np.zeros((100, 10)))
    assert not worth_a_kernel(sp.csr_matrix((100_000, 10)))
