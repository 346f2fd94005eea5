"""Convexity of functions whose shape is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp

from breadth.stats.convexity import jensen_test, second_difference_test

ONE = {
    "square": (lambda x: x[:, 0] ** 2, -3, 5, "convex"),
    "absolute value": (lambda x: np.abs(x[:, 0]), -1, 2, "convex"),
    "exponential": (lambda x: np.exp(x[:, 0]), -20, 20, "convex"),
    "logarithm": (lambda x: np.log(x[:, 0]), 1e-3, 9, "concave"),
    "line": (lambda x: 3 * x[:, 0] - 1e9, -1, 1, "linear"),
    "constant": (lambda x: np.full(len(x), 0.1), -1, 1, "linear"),
    "fourth power": (lambda x: x[:, 0] ** 4, -1, 1, "convex"),  # f'' = 0 at 0
    "sine": (lambda x: np.sin(x[:, 0]), 0, 6, "neither"),
    "cube": (lambda x: x[:, 0] ** 3, -1, 1, "neither"),
    "dent": (lambda x: x[:, 0] ** 2 + 0.05 * np.exp(-(((x[:, 0] - 0.5) / 0.05) ** 2)), -3, 3, "neither"),
    "step": (lambda x: (x[:, 0] > 0).astype(float), -1, 1, "neither"),
}


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("test", [jensen_test, second_difference_test])
def test_shapes_of_functions_of_one_variable(test, name):
    f, low, high, shape = ONE[name]
    found = test(f, low, high)
    assert found.shape == shape
    if found.against_convex is not None:
        a, b, w = found.against_convex
        assert f((w * a + (1 - w) * b)[None])[0] > w * f(a[None])[0] + (1 - w) * f(b[None])[0]
    assert (found.against_convex is None) == (shape in ("convex", "linear"))
    assert (found.against_concave is None) == (shape in ("concave", "linear"))


@pytest.mark.parametrize(
    ("eigenvalues", "shape"),
    [((1, 2, 3), "convex"), ((-1, -2, -3), "concave"), ((1, 0, 0), "convex"), ((5, 4, -0.1), "neither")],
)
def test_quadratic_forms_have_the_signs_of_their_eigenvalues(eigenvalues, shape):
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    A = Q @ np.diag(np.array(eigenvalues, float)) @ Q.T
    assert jensen_test(lambda x: np.einsum("mi,ij,mj->m", x, A, x), [-1] * 3, [1] * 3).shape == shape


def test_functions_of_several_variables():
    low, high = [-2] * 4, [3] * 4
    assert jensen_test(lambda x: logsumexp(x, axis=1), low, high).shape == "convex"
    assert jensen_test(lambda x: x.max(1), low, high).shape == "convex"
    assert jensen_test(lambda x: x.min(1), low, high).shape == "concave"
    assert jensen_test(lambda x: x[:, 0] * x[:, 1], low, high).shape == "neither"
    # convex along each coordinate alone, and not convex
    assert jensen_test(lambda x: x[:, 0] ** 2 + x[:, 1] ** 2 - 3 * x[:, 0] * x[:, 1], low, high).shape == "neither"


def test_the_negative_of_a_convex_function_is_concave_and_values_far_from_0_do_not_hide_it():
    for scale in (-1.0, 1e-12, 1e12):
        for test in (jensen_test, second_difference_test):
            found = test(lambda x, scale=scale: scale * (x[:, 0] ** 2 + 100), -1, 1)
            assert found.shape == ("concave" if scale < 0 else "convex")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: jensen_test(np.sum, 1, 0), "low must be < high"),
        (lambda: jensen_test(np.sum, np.nan, 0), "low holds NaN"),
        (lambda: jensen_test(lambda x: x, [0, 0], [1, 1]), "f must return shape"),
        (lambda: jensen_test(lambda x: np.full(len(x), np.inf), 0, 1), "f is not finite at"),
        (lambda: jensen_test(lambda x: x[:, 0], 0, 1, n_segments=0), "n_segments"),
        (lambda: second_difference_test(lambda x: x[:, 0], [0, 0], [1, 1]), "jensen_test takes boxes"),
        (lambda: second_difference_test(lambda x: x[:, 0], 0, 1, n_points=2), "n_points"),
        (lambda: second_difference_test(lambda x: x[:, 0], 0, 1, rtol=1), "rtol"),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_function_of_numbers_is_taken_in_one_dimension():
    assert jensen_test(np.exp, -1, 1).shape == second_difference_test(np.exp, -1, 1).shape == "convex"
