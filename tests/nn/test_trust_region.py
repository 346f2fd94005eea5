"""The minimum of a quadratic in a ball by the conditions that characterise it, and what a guarded step promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from breadth.nn.trust_region import damped_step, minimise_in_ball

SPECTRA = {
    "positive": [0.1, 1.0, 3.0, 10.0],
    "ill-conditioned": [1e-8, 1e-3, 1.0, 1e4],
    "indefinite": [-2.0, -0.5, 0.3, 4.0],
    "negative": [-5.0, -4.0, -3.0, -1.0],
    "singular": [0.0, 0.0, 1.0, 2.0],
    "zero": [0.0, 0.0, 0.0, 0.0],
    "double lowest": [-1.0, -1.0, 0.5, 2.0],
    "one number": [-3.0],
}


def gradients(n):
    rng = np.random.default_rng(0)
    plain = rng.normal(size=n)
    hard = np.where(np.arange(n) < 1, 0.0, plain)  # nothing along the lowest axis
    nearly = np.where(np.arange(n) < 1, 1e-18, plain)
    return {"plain": plain, "hard": hard, "nearly hard": nearly, "small": 1e-9 * plain, "none": np.zeros(n)}


@pytest.mark.parametrize("radius", [1e-6, 0.5, 3.0, 1e8])
@pytest.mark.parametrize("kind", ["plain", "hard", "nearly hard", "small", "none"])
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_the_minimum_in_a_ball_meets_the_conditions_that_characterise_it(spectrum, kind, radius):
    w = torch.tensor(SPECTRA[spectrum], dtype=torch.float64)
    c = torch.tensor(gradients(len(w))[kind], dtype=torch.float64)
    z, lam = minimise_in_ball(w, c, radius)
    size = z.norm().item()
    # Nocedal & Wright 2006, theorem 4.1; atol: roundings of w z beside c
    assert lam >= max(0.0, -w[0].item()) * (1 - 1e-15)
    assert size <= radius * (1 + 1e-12)
    assert lam == pytest.approx(0, abs=1e-14 * w.abs().max().item()) or size == pytest.approx(radius, rel=1e-9)
    scale = 1e-14 * (w.abs().max() * size + c.abs().max())
    assert ((w + lam) * z + c).abs().max() <= 10 * scale + 1e-300


def test_no_point_of_the_ball_is_lower():
    rng = np.random.default_rng(1)
    for spectrum in SPECTRA.values():
        w, c = torch.tensor(spectrum, dtype=torch.float64), torch.tensor(rng.normal(size=len(spectrum)))
        z, _ = minimise_in_ball(w, c, 1.5)
        points = rng.normal(size=(20_000, len(spectrum)))
        points *= 1.5 * rng.random((len(points), 1)) ** 0.2 / np.linalg.norm(points, axis=1, keepdims=True)
        others = points @ c.numpy() + points**2 @ w.numpy() / 2
        assert (c @ z + w @ z**2 / 2).item() <= others.min() + 1e-12


def quadratic(H, g):
    return lambda p: (g @ p + p @ H @ p / 2).item()


def matrix(w, seed=0):
    Q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(w), len(w))))
    return torch.tensor(Q * w @ Q.T)


@pytest.mark.parametrize("strategy", ["trust_region", "line_search", "none"])
@pytest.mark.parametrize("damping", [0.0, 0.7])
def test_on_a_positive_quadratic_every_strategy_takes_the_newton_step(strategy, damping):
    H, g = matrix(np.array([1e-6, 0.3, 2.0, 1e3])), torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    step = damped_step(0.0, g, H, quadratic(H, g), strategy=strategy, damping=damping, radius=1e9)
    expected = -torch.linalg.solve(H + damping * torch.eye(4, dtype=H.dtype), g)
    assert step.taken and step.length == 1 and step.damping == damping
    torch.testing.assert_close(step.p, expected, rtol=1e-6, atol=0)  # a condition of 1e9


def test_a_trust_region_grows_after_good_steps_and_shrinks_after_bad_ones():
    H, g = matrix(np.array([1.0, 2.0])), torch.tensor([5.0, 5.0], dtype=torch.float64)
    good = damped_step(0.0, g, H, quadratic(H, g), radius=0.5)
    assert good.taken and good.radius == 1 and good.p.norm().item() == pytest.approx(0.5, rel=1e-12)
    assert damped_step(0.0, g, H, quadratic(H, g), radius=0.5, max_radius=0.7).radius == 0.7

    def wall(p):  # higher than the model everywhere but very near
        return math.nan if p.norm() > 0.01 else quadratic(H, g)(p)

    bad = damped_step(0.0, g, H, wall, radius=0.5)
    assert bad.taken and bad.p.norm() <= 0.01 and bad.evaluations == 4 and bad.damping > good.damping


@pytest.mark.parametrize("strategy", ["trust_region", "line_search"])
def test_where_nothing_is_lower_no_step_is_taken(strategy):
    H, g = matrix(np.array([1.0, 2.0])), torch.tensor([1.0, 1.0], dtype=torch.float64)
    step = damped_step(1.0, g, H, lambda p: 1.0 + p.norm().item(), strategy=strategy)
    assert not step.taken and not step.p.any()
    at_rest = damped_step(1.0, 0 * g, H, lambda p: 2.0, strategy=strategy)
    assert not at_rest.taken and at_rest.evaluations == 0
    empty = damped_step(0.0, torch.zeros(0), torch.zeros(0, 0), lambda p: 0.0, strategy=strategy)
    assert not empty.taken and empty.p.shape == (0,)


def test_the_line_search_makes_an_indefinite_hessian_positive_and_halves_what_is_too_long():
    H, g = matrix(np.array([-1.0, 4.0])), torch.tensor([1.0, 1.0], dtype=torch.float64)
    step = damped_step(0.0, g, H, quadratic(H, g), strategy="line_search")
    assert step.damping == pytest.approx(1 + 4e-3, rel=1e-12) and (g @ step.p).item() < 0
    steep = damped_step(0.0, g, H, lambda p: math.inf if p.norm() > 0.1 else quadratic(H, g)(p), strategy="line_search")
    assert steep.taken and 0.05 <= steep.p.norm() <= 0.1 and math.log2(steep.length) % 1 == 0


def test_a_singular_hessian_is_an_error_of_the_plain_method_alone():
    H, g = torch.zeros(2, 2, dtype=torch.float64), torch.tensor([1.0, 0.0], dtype=torch.float64)
    with pytest.raises(torch.linalg.LinAlgError):
        damped_step(0.0, g, H, quadratic(H, g), strategy="none")
    for strategy in ("trust_region", "line_search"):
        step = damped_step(0.0, g, H, quadratic(H, g), strategy=strategy)
        assert step.taken and step.p[0] < 0 == step.p[1]
