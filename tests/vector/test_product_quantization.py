"""Product quantisation: codes name the nearest codewords."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from breadth.vector.product_quantization import ProductQuantizer


def test_codes_name_the_nearest_codeword_of_each_part():
    X = np.random.default_rng(0).normal(size=(2000, 12)).astype(np.float32)
    quantizer = ProductQuantizer.train(X, n_subvectors=3)
    codes = quantizer.encode(X[:50])
    assert codes.shape == (50, 3) and codes.dtype == np.uint8
    for m in range(3):
        part = X[:50, 4 * m : 4 * m + 4].astype(np.float64)
        nearest = np.square(part[:, None] - quantizer.codebooks[m]).sum(axis=2).argmin(axis=1)
        assert_array_equal(codes[:, m], nearest)
        assert_array_equal(quantizer.decode(codes)[:, 4 * m : 4 * m + 4], quantizer.codebooks[m][nearest])


def test_more_parts_lose_less():
    X = np.random.default_rng(0).normal(size=(3000, 8)).astype(np.float32)
    errors = []
    for m in (1, 2, 4, 8):
        quantizer = ProductQuantizer.train(X, n_subvectors=m, n_threads=2)
        errors.append(np.square(X - quantizer.decode(quantizer.encode(X))).mean())
    assert_array_equal(errors, sorted(errors, reverse=True))


def test_few_or_equal_vectors_are_kept_exactly():
    X = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    quantizer = ProductQuantizer.train(X, n_subvectors=2)
    assert quantizer.codebooks.shape == (2, 40, 3) and quantizer.dim == 6
    assert_array_equal(quantizer.decode(quantizer.encode(X)), X)
    same = np.ones((1000, 6), np.float32)
    quantizer = ProductQuantizer.train(same, n_subvectors=2)
    assert_array_equal(quantizer.decode(quantizer.encode(same)), same)


def test_bad_input_is_named():
    X = np.zeros((10, 6), np.float32)
    with pytest.raises(ValueError, match="n_subvectors must divide dim = 6"):
        ProductQuantizer.train(X, n_subvectors=4)
    with pytest.raises(TypeError, match="n_subvectors must be an integer"):
        ProductQuantizer.train(X, n_subvectors=2.0)
    with pytest.raises(ValueError, match="at least one is needed"):
        ProductQuantizer.train(X[:0], n_subvectors=2)
