"""Similarities beside SciPy's sums of differences and scikit-learn's, on vectors as embeddings have them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics.pairwise import cosine_similarity as sklearn_cosine

from breadth.vector.similarity import cosine_similarity, dot_product, euclidean_distance


@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_pairs_are_those_of_scipy_and_scikit_learn(shift):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(300, 64)) + shift, rng.normal(size=(2000, 64)) + shift
    Y[:300] = X * (1 + rng.normal(scale=1e-10, size=X.shape))  # near-duplicates
    # rtol: sums of 64 squares, cancellation held to 1e-3 (see the constant _NEAR)
    np.testing.assert_allclose(euclidean_distance(X, Y), cdist(X, Y), rtol=1e-11)
    np.testing.assert_allclose(euclidean_distance(X, Y, squared=True), cdist(X, Y, "sqeuclidean"), rtol=1e-11)
    np.testing.assert_allclose(cosine_similarity(X, Y), sklearn_cosine(X, Y), atol=1e-14)
    np.testing.assert_allclose(dot_product(X, Y), X @ Y.T, rtol=1e-13, atol=1e-12)


def test_float32_near_duplicates_keep_the_digits_that_a_float32_expansion_loses():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(50, 384)).astype(np.float32) + np.float32(100)
    Y = X + np.float32(1e-3) * rng.normal(size=X.shape).astype(np.float32)
    expected = cdist(X.astype(float), Y.astype(float))
    # rtol: one rounding to float32
    np.testing.assert_allclose(euclidean_distance(X, Y), expected, rtol=6e-8)
    square = (X**2).sum(1)[:, None] + (Y**2).sum(1) - 2 * X @ Y.T
    assert np.abs(np.sqrt(np.abs(np.diag(square))) / np.diag(expected) - 1).max() > 0.1
