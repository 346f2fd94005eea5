"""The index of planted saddles, and trajectories away from them beside their closed forms."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch

from breadth.nn.optim import GD, SGD
from breadth.nn.probes import escape, hessian_index

F64 = torch.float64


@pytest.mark.parametrize(("down", "flat", "up"), [(3, 2, 4), (0, 0, 5), (1, 0, 0), (0, 6, 1), (5, 1, 0)])
def test_inertia_is_that_of_the_planted_congruence_and_of_ldl(down, flat, up):
    """Sylvester: S^T D S has the signs of D for any invertible S, whatever happens to the eigenvalues."""
    draw = torch.Generator().manual_seed(0)
    n = down + flat + up
    D = torch.tensor([-1.0] * down + [0.0] * flat + [1.0] * up, dtype=F64)
    S = torch.randn(n, n, generator=draw, dtype=F64) + 2 * torch.eye(n, dtype=F64)
    A = S.T @ torch.diag(D) @ S
    x = torch.zeros(n, dtype=F64, requires_grad=True)
    found = hessian_index(lambda: x @ A @ x / 2, [x])
    assert (found.negative, found.zero, found.positive, found.exact) == (down, flat, up, True)
    assert found.gradient_norm == 0
    assert found.strict_saddle == (down > 0 and up > 0)
    if not flat:  # rounding gives the zeros of a singular matrix either sign
        _, blocks, _ = scipy.linalg.ldl(A.numpy())
        assert found.negative == (np.linalg.eigvalsh(blocks) < 0).sum()


def test_a_two_layer_linear_net_at_zero_is_a_strict_saddle_of_known_index_and_a_deeper_one_is_flat():
    """||V W - A||^2 / 2 at 0: eigenvalues +-sigma_i(A), each as often as the hidden layer is wide (Kawaguchi 2016)."""
    A = torch.diag(torch.tensor([3.0, 2.0, 0.0], dtype=F64))
    hidden = 4
    W, V = (torch.zeros(*shape, dtype=F64, requires_grad=True) for shape in ((hidden, 3), (3, hidden)))
    found = hessian_index(lambda: (V @ W - A).square().sum() / 2, [W, V])
    assert (found.negative, found.zero, found.positive) == (2 * hidden, 2 * hidden, 2 * hidden)
    U = torch.zeros(hidden, hidden, dtype=F64, requires_grad=True)
    deeper = hessian_index(lambda: (V @ U @ W - A).square().sum() / 2, [W, U, V])
    assert (deeper.negative, deeper.positive) == (0, 0)
    assert not deeper.strict_saddle


def test_a_degenerate_saddle_is_not_called_one():
    x = torch.zeros(2, dtype=F64, requires_grad=True)  # x^2 + y^3: its Hessian looks like a valley's
    found = hessian_index(lambda: x[0] ** 2 + x[1] ** 3, [x])
    assert (found.negative, found.zero, found.positive, found.strict_saddle) == (0, 1, 1, False)


def test_lanczos_bounds_the_index_from_below_and_finds_it_when_it_sees_everything():
    draw = torch.Generator().manual_seed(1)
    values = torch.cat(
        [-torch.rand(30, generator=draw, dtype=F64) - 0.1, torch.rand(90, generator=draw, dtype=F64) + 0.1]
    )
    x = torch.zeros(120, dtype=F64, requires_grad=True)
    loss = lambda: (values * x.square()).sum() / 2  # noqa: E731
    counts = [hessian_index(loss, [x], exact_up_to=0, steps=steps) for steps in (5, 20, 60, 120)]
    assert all(not c.exact and c.negative <= 30 and c.positive <= 90 for c in counts)
    assert [c.negative for c in counts] == sorted(c.negative for c in counts)
    assert (counts[-1].negative, counts[-1].positive) == (30, 90)


def saddle(x):
    """x^2 - y^2: eigenvalues 2 and -2."""
    return x[0] ** 2 - x[1] ** 2


ORIGIN = torch.zeros(2, dtype=F64)


def start(x, y):
    return torch.tensor([x, y], dtype=F64)


@pytest.mark.parametrize("lr", [0.01, 0.1, 0.3])
def test_gradient_descent_leaves_as_one_plus_eta_lambda_to_the_t(lr):
    found = escape(saddle, ORIGIN, start(0.5, 1e-6), lambda p: GD(p, lr=lr))
    t = np.arange(len(found.distances))
    closed = np.hypot(0.5 * (1 - 2 * lr) ** t, 1e-6 * (1 + 2 * lr) ** t)
    np.testing.assert_allclose(found.distances, closed, rtol=1e-11)  # up to 700 products
    assert found.steps == np.argmax(closed > 1)
    assert found.steps == math.ceil(math.log(1e6) / math.log1p(2 * lr))
    assert found.growth == pytest.approx(1 + 2 * lr, rel=1e-3)


@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_momentum_leaves_as_the_larger_root_of_its_recursion_and_sooner(momentum):
    lr = 0.05
    found = escape(saddle, ORIGIN, start(0.0, 1e-6), lambda p: SGD(p, lr=lr, momentum=momentum))
    big, small = np.roots([1, -(1 + momentum + 2 * lr), momentum])
    # y_0 and y_1 = (1 + 2 lr) y_0 fix the two coefficients
    a, b = np.linalg.solve([[1, 1], [big, small]], [1e-6, (1 + 2 * lr) * 1e-6])
    t = np.arange(len(found.distances))
    np.testing.assert_allclose(found.distances, a * big**t + b * small**t, rtol=1e-10)
    assert found.growth == pytest.approx(big, rel=1e-6)
    plain = escape(saddle, ORIGIN, start(0.0, 1e-6), lambda p: SGD(p, lr=lr))
    assert found.steps < plain.steps


@pytest.mark.parametrize("optimizer", [lambda p: GD(p, lr=0.1), lambda p: SGD(p, lr=0.1, momentum=0.9)])
def test_without_noise_nothing_leaves_from_the_stable_manifold_momentum_neither(optimizer):
    found = escape(saddle, ORIGIN, start(0.5, 0.0), optimizer, max_steps=500)
    assert found.steps is None
    assert len(found.distances) == 501
    assert found.distances[-1] < 1e-10
    assert escape(saddle, ORIGIN, start(0.5, 0.0), optimizer, gradient_noise=1e-6).steps < 200


def test_noise_spreads_the_unstable_coordinate_with_the_variance_of_its_closed_form():
    lr, noise, n, steps = 0.1, 1e-3, 4000, 12
    # n independent copies in one tensor: the objective is the sum of n saddles
    found = escape(
        lambda y: -y.square().sum(),
        torch.zeros(n, dtype=F64),
        torch.zeros(n, dtype=F64),
        lambda p: SGD(p, lr=lr),
        max_steps=steps,
        gradient_noise=noise,
    )
    growth = (1 + 2 * lr) ** 2
    for t in (1, 4, steps):
        variance = (lr * noise) ** 2 * (growth**t - 1) / (growth - 1)
        assert found.distances[t] ** 2 / n == pytest.approx(
            variance, rel=5 * math.sqrt(2 / n)
        )  # 5 errors of a variance


def test_a_flat_and_a_nan_objective_are_told_apart():
    flat = escape(lambda x: 0 * x.sum(), ORIGIN, start(0.1, 0.1), lambda p: GD(p, lr=1.0), max_steps=5)
    assert flat.steps is None and len(set(flat.distances)) == 1
    with pytest.raises(ValueError, match="gradient at step 0 is not finite"):
        escape(lambda x: x.sum() * math.nan, ORIGIN, start(0.1, 0.1), lambda p: GD(p, lr=1.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": torch.zeros(3, dtype=F64)}, "start must have the shape of saddle"),
        ({"start": start(3.0, 0.0)}, "start lies 3 from the saddle, outside the radius 1"),
        ({"start": start(math.nan, 0.0)}, "outside the radius"),
        ({"radius": 0.0}, "radius must be > 0, got 0.0"),
        ({"max_steps": 0}, "max_steps must be >= 1, got 0"),
        ({"gradient_noise": -1.0}, "gradient_noise must be >= 0"),
    ],
)
def test_escapes_that_make_no_sense_are_refused(change, message):
    first = change.pop("start", start(0.1, 0.1))
    with pytest.raises(ValueError, match=message):
        escape(saddle, ORIGIN, first, lambda p: GD(p, lr=0.1), **change)


def test_a_tolerance_that_is_no_share_is_refused():
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="tolerance must be in"):
        hessian_index(lambda: x.square().sum(), [x], tolerance=1.0)
