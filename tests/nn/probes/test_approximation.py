"""Errors of one wide layer between bounds that are computed without it."""

import itertools
import math

import numpy as np
import pytest
import torch
from numpy.polynomial import Polynomial

from breadth.nn.probes import approximation_by_width, polynomial_error

F64 = torch.float64
ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}


def square(x):
    return x[:, 0] ** 2


def wave(x):
    return torch.sin(6 * x[:, 0])


def best_of_pieces(x, y, most):
    """RMS error of the best k linear pieces, not even continuous, for k = 1 .. most: dynamic programming."""
    n = len(x)
    cost = np.full((n + 1, n + 1), np.inf)  # of one line through points i .. j - 1
    for i in range(n):
        X = np.cumsum(np.stack([np.ones(n - i), x[i:], x[i:] ** 2, y[i:], x[i:] * y[i:], y[i:] ** 2]), axis=1)
        m, sx, sxx, sy, sxy, syy = X
        with np.errstate(all="ignore"):
            slope = np.where(m > 1, (sxy - sx * sy / m) / (sxx - sx**2 / m), 0)
        cost[i, i + 1 :] = np.maximum(syy - sy**2 / m - slope * (sxy - sx * sy / m), 0)
    best = cost[0]
    found = [best[n]]
    for _ in range(most - 1):
        best = (best[:, None] + cost).min(0)
        found.append(best[n])
    return np.sqrt(np.array(found) / n)


def test_relu_lies_between_the_best_k_pieces_of_any_kind_and_those_of_even_knots():
    widths, points = [2, 4, 8, 16], 129
    found = approximation_by_width(square, widths=widths, points=points)
    x = np.linspace(-1, 1, points)
    below = best_of_pieces(x, x**2, 17)
    for net in found:
        knots = np.linspace(-1, 1, net.width + 2)
        above = np.sqrt(np.mean((np.interp(x, knots, knots**2) - x**2) ** 2))
        # width units have as many kinks, hence width + 1 pieces; 1e-9: rounding of the sums
        assert below[net.width] * (1 - 1e-9) <= net.rms <= above
        # the least error on a piece of length h is h^2 / sqrt(180); 5 %: points are few per piece
        assert below[net.width] == pytest.approx((2 / (net.width + 1)) ** 2 / math.sqrt(180), rel=0.05)
    # width^-2 over three doublings; one doubling alone depends on the local minimum that rounding leads to
    assert 1.4 < math.log2(found[0].rms / found[-1].rms) / 3 < 2.2


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_error_falls_with_width_for_every_activation_that_is_no_polynomial(name):
    found = approximation_by_width(wave, widths=[1, 4, 16, 48], activation=ACTIVATIONS[name], refine=100)
    errors = [net.rms for net in found]
    assert all(b <= a * (1 + 1e-9) for a, b in itertools.pairwise(errors))
    assert errors[-1] < 5e-3 and found[-1].sup < 2e-2
    assert errors[-1] < polynomial_error(wave, degree=5).rms
    assert all(net.sup >= net.rms * 0.99 for net in found)  # other points


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("n_inputs", [1, 2])
def test_a_polynomial_activation_never_beats_the_best_polynomial_of_its_degree_and_soon_equals_it(degree, n_inputs):
    def target(x):
        return torch.exp(x.sum(1)) + x[:, 0].abs()

    found = approximation_by_width(
        target, widths=[1, 3, 10, 40], activation=lambda z: z**degree, n_inputs=n_inputs, refine=30
    )
    least = polynomial_error(target, degree=degree, n_inputs=n_inputs).rms
    for net in found:
        assert net.rms >= least * (1 - 1e-9)
    # z^p of 40 directions and kinks span all polynomials of degree p on so few inputs
    assert found[-1].rms == pytest.approx(least, rel=1e-6)
    relu = approximation_by_width(target, widths=[40], n_inputs=n_inputs, refine=30)[0]
    assert relu.rms < 0.5 * least


def test_the_best_polynomial_is_numpys_also_far_from_the_origin():
    x = np.linspace(1e4, 1e4 + 1, 512)
    t = x - 1e4
    for degree in (0, 3, 7):
        found = polynomial_error(lambda a: torch.sin(6 * (a[:, 0] - 1e4)), degree=degree, low=1e4, high=1e4 + 1)
        exact = np.sqrt(np.mean((Polynomial.fit(t, np.sin(6 * t), degree)(t) - np.sin(6 * t)) ** 2))
        assert found.rms == pytest.approx(exact, rel=1e-7)  # t = x - 1e4 has 12 digits
    assert polynomial_error(lambda a: a.prod(1), degree=2, n_inputs=3).rms == pytest.approx(
        polynomial_error(lambda a: a.prod(1), degree=2, n_inputs=3, points=512).rms
    )
    assert polynomial_error(lambda a: a.prod(1), degree=3, n_inputs=3).rms < 1e-14


def test_a_target_that_one_unit_is_is_found_by_one_unit_and_a_constant_by_any():
    kink = approximation_by_width(lambda x: 3 * torch.relu(0.5 - x[:, 0]) - 1, widths=[1])[0]
    assert kink.rms < 1e-6
    flat = approximation_by_width(lambda x: torch.full((len(x),), 1e4, dtype=F64), widths=[1, 5])
    assert all(net.rms < 1e-10 for net in flat)


def test_fits_are_the_same_twice_and_networks_give_what_their_error_says():
    first, second = (approximation_by_width(wave, widths=[3, 6], refine=20, seed=4) for _ in range(2))
    assert [net.rms for net in first] == [net.rms for net in second]
    x = torch.linspace(-1, 1, 512, dtype=F64)[:, None]
    assert (first[1](x) - wave(x)).square().mean().sqrt().item() == pytest.approx(first[1].rms, rel=1e-12)
    assert len(first[1].hidden_bias) == 6
    bare = approximation_by_width(wave, widths=[3, 6], refine=0, seed=4)
    assert bare[1].rms > first[1].rms


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": []}, "widths must be ascending"),
        ({"widths": [4, 2]}, "widths must be ascending"),
        ({"widths": [0]}, "widths must be ascending and >= 1"),
        ({"widths": [600]}, "points must be more than the largest width 600, got 512"),
        ({"low": 1.0}, "low < high"),
        ({"high": math.inf}, "must be finite"),
        ({"refine": -1}, "refine must be >= 0"),
        ({"n_inputs": 0}, "n_inputs must be >= 1"),
        ({"target": lambda x: x}, r"target must give finite values of shape \(512,\)"),
        ({"target": lambda x: x[:, 0] / 0}, "with NaN or infinity"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        approximation_by_width(change.pop("target", wave), **{"widths": [2], **change})
    with pytest.raises(ValueError, match="degree must be >= 0"):
        polynomial_error(wave, degree=-1)
    with pytest.raises(ValueError, match="points must be at least the 21 coefficients"):
        polynomial_error(wave, degree=5, n_inputs=2, points=20)
