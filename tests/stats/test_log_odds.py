"""sigmoid, log_sigmoid and logit beside scipy's, in the tails, at the ends, and bad input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special

from breadth.stats.log_odds import log_sigmoid, logit, sigmoid

ULPS = 4 * np.finfo(np.float64).eps  # an exponential, a sum and a quotient, each within one unit in the last place


@given(st.floats(-700, 700))
def test_sigmoid_and_its_logarithm_equal_scipys(x):
    assert_allclose(sigmoid(x), special.expit(x), rtol=ULPS)
    assert_allclose(log_sigmoid(x), special.log_expit(x), rtol=ULPS)


@given(st.floats(1e-300, 1.0, exclude_max=True))
def test_logit_equals_scipys(p):
    assert_allclose(logit(p), special.logit(p), rtol=2 * ULPS, atol=1e-300)


@given(st.floats(-30, 0))
def test_logit_undoes_sigmoid(x):
    assert_allclose(logit(sigmoid(x)), x, rtol=1e-14, atol=ULPS)  # near 0.5 the probability itself is rounded


def test_both_sides_keep_their_digits():
    assert_allclose(sigmoid(-700.0), np.exp(-700.0), rtol=ULPS)
    assert sigmoid(40.0) == 1.0 and 0 < sigmoid(-40.0) < 1e-17
    assert log_sigmoid(-1e300) == -1e300
    assert_allclose(log_sigmoid(50.0), -np.exp(-50.0), rtol=ULPS)
    assert_allclose(logit(0.5 + 1e-12), 4e-12, rtol=1e-4)  # 0.5 + 1e-12 is itself rounded to 1e-4 of the difference


def test_ends_nan_and_shapes():
    assert_array_equal(sigmoid([-np.inf, 0.0, np.inf, np.nan]), [0.0, 0.5, 1.0, np.nan])
    assert_array_equal(logit([0.0, 0.5, 1.0, np.nan]), [-np.inf, 0.0, np.inf, np.nan])
    assert sigmoid(np.zeros((2, 3))).shape == (2, 3)
    assert logit([]).shape == (0,)
    assert_array_equal(sigmoid([0, 1]), special.expit([0.0, 1.0]))


def test_a_probability_below_the_normal_numbers_is_not_0_even_beside_nan():
    x = np.array([np.nan, -720.0, 3.0])
    assert_allclose(sigmoid(x), [np.nan, np.exp(-720.0), special.expit(3.0)], rtol=1e-9)  # scipy's gives 0 there


def test_long_arrays_are_worked_in_blocks_without_a_seam():
    x = np.linspace(-40, 40, 40_001)
    assert_allclose(sigmoid(x), special.expit(x), rtol=ULPS)
    assert_allclose(logit(special.expit(x[:20_000])), special.logit(special.expit(x[:20_000])), rtol=2 * ULPS)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"p must be within \[0, 1\], got .*1\.5"):
        logit([0.5, 1.5])
    with pytest.raises(ValueError, match="x must be real numbers"):
        sigmoid(["a"])
