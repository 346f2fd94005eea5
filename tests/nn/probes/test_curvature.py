"""Hessian spectra beside closed forms, NumPy and SciPy, in float64 unless a test is about another dtype."""

import math

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse.linalg
import torch
from torch import nn

from breadth.nn.probes import (
    HessianOperator,
    hessian_extremes,
    hessian_trace,
    lanczos,
    sharpness,
    spectral_density,
    worst_case_sharpness,
)

F64 = torch.float64


def planted(values, seed=0):
    """A symmetric matrix with these eigenvalues, and x with the loss x^T A x / 2."""
    draw = torch.Generator().manual_seed(seed)
    n = len(values)
    Q = torch.linalg.qr(torch.randn(n, n, generator=draw, dtype=F64))[0]
    A = Q @ torch.diag(torch.as_tensor(values, dtype=F64)) @ Q.T
    x = torch.randn(n, generator=draw, dtype=F64, requires_grad=True)
    return A, x, lambda: x @ A @ x / 2


@pytest.fixture(scope="module")
def logistic():
    """Logistic regression, whose Hessian is X^T diag(p (1 - p)) X / n, with its parameters in two tensors."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 30)) * np.geomspace(0.1, 3, 30), rng.integers(0, 2, 200)
    model = nn.Linear(30, 1, dtype=F64)
    inputs, target = torch.tensor(X), torch.tensor(y, dtype=F64)
    w, b = model.weight.detach().numpy()[0], model.bias.item()
    p = 1 / (1 + np.exp(-(X @ w + b)))
    wide = np.column_stack([X, np.ones(200)])
    H = wide.T @ (wide * (p * (1 - p))[:, None]) / 200
    return (lambda: nn.functional.binary_cross_entropy_with_logits(model(inputs)[:, 0], target)), model, H


def test_hessian_products_are_those_of_the_closed_form(logistic):
    loss, model, H = logistic
    ours = HessianOperator(loss, model.parameters())
    v = np.random.default_rng(1).normal(size=31)
    np.testing.assert_allclose(ours(torch.tensor(v)).numpy(), H @ v, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(torch.stack([ours(e) for e in torch.eye(31, dtype=F64)]), H, rtol=1e-11, atol=1e-14)
    assert all(p.grad is None for p in model.parameters())


def test_extreme_eigenvalues_and_directions_are_those_of_numpy_and_scipy(logistic):
    loss, model, H = logistic
    found = hessian_extremes(loss, model.parameters(), tolerance=1e-12)
    values, vectors = np.linalg.eigh(H)
    arpack = scipy.sparse.linalg.eigsh(H, k=1, which="LA", return_eigenvectors=False)[0]
    # rtol of 1e-9 of the largest: Ritz values err by the square of the residual, which is below 1e-12 of it
    assert found.largest == pytest.approx(arpack, rel=1e-9)
    assert found.largest == pytest.approx(values[-1], rel=1e-9)
    assert found.smallest == pytest.approx(values[0], abs=1e-9 * values[-1])
    direction = torch.cat([d.reshape(-1) for d in found.largest_direction]).numpy()
    assert abs(direction @ vectors[:, -1]) == pytest.approx(1, rel=1e-9)
    assert [d.shape for d in found.largest_direction] == [p.shape for p in model.parameters()]


def test_error_bounds_hold_after_few_steps_and_ritz_values_stay_inside_the_spectrum():
    truth = np.sort(np.random.default_rng(2).normal(size=300))
    _, x, loss = planted(truth)
    for steps in (1, 3, 10, 40):
        found = hessian_extremes(loss, [x], steps=steps, tolerance=1e-12)
        assert np.abs(truth - found.largest).min() <= found.largest_error * (1 + 1e-9)
        assert np.abs(truth - found.smallest).min() <= found.smallest_error * (1 + 1e-9)
        assert truth[0] - 1e-12 <= found.smallest <= found.largest <= truth[-1] + 1e-12
        assert found.steps == steps


def test_reorthogonalisation_keeps_copies_of_converged_eigenvalues_away():
    # A few far outliers converge first; without reorthogonalisation they come back as ghosts within 60 steps.
    truth = np.concatenate([np.linspace(0, 1, 200), [50.0, 100.0, 200.0]])
    A, x, _ = planted(truth)
    found = lanczos(lambda v: A @ v, x.detach(), steps=120)
    assert (found.basis @ found.basis.T - torch.eye(120, dtype=F64)).abs().max() < 1e-13
    values = found.ritz()[0]
    assert (values > 2).sum() == 3
    np.testing.assert_allclose(values[-3:].numpy(), truth[-3:], rtol=1e-12)


def test_an_invariant_space_ends_the_iteration_with_its_eigenvalues():
    A, x, loss = planted([-2.0] * 5 + [1.0] * 5 + [3.0] * 10)
    found = lanczos(lambda v: A @ v, x.detach(), steps=20)
    assert len(found.diagonal) == 3 and found.residual == 0
    np.testing.assert_allclose(found.ritz()[0].numpy(), [-2, 1, 3], rtol=1e-12)
    one = hessian_extremes(loss, [x])
    assert (one.smallest, one.largest) == (pytest.approx(-2, rel=1e-12), pytest.approx(3, rel=1e-12))


def test_quadrature_is_exact_for_polynomials_below_twice_the_steps():
    A, x, loss = planted(np.random.default_rng(3).uniform(-1, 1, 40))
    density = spectral_density(loss, [x], steps=6, probes=3, seed=5)
    draw = torch.Generator().manual_seed(5)
    starts = [torch.randn(40, generator=draw, dtype=F64) for _ in range(3)]
    for power in range(12):
        exact = np.mean([(z @ torch.linalg.matrix_power(A, power) @ z / (z @ z)).item() for z in starts])
        assert density.moment(power) == pytest.approx(exact, rel=1e-10)


def test_density_finds_planted_shares_and_integrates_to_one():
    _, x, loss = planted([-1.0] * 60 + [0.0] * 120 + [2.0] * 20)
    found = spectral_density(loss, [x], probes=40)
    # a probe's share of a space varies by about sqrt(2 share (1 - share) / n); five standard deviations of 40 probes
    assert found.share(high=-0.5) == pytest.approx(0.3, abs=5 * math.sqrt(2 * 0.3 * 0.7 / 200 / 40))
    assert found.share(low=1) == pytest.approx(0.1, abs=5 * math.sqrt(2 * 0.1 * 0.9 / 200 / 40))
    grid = torch.linspace(-3, 4, 4001)
    curve = found.density(grid, width=0.1)
    assert torch.trapezoid(curve, grid.double()).item() == pytest.approx(1, rel=1e-9)
    assert grid[curve.argmax()].item() == pytest.approx(0, abs=0.01)


def test_trace_is_exact_for_diagonal_hessians_and_within_its_error_elsewhere(logistic):
    x = torch.ones(50, dtype=F64, requires_grad=True)
    scales = torch.arange(1, 51, dtype=F64)
    found = hessian_trace(lambda: (scales * x.square()).sum() / 2, [x], probes=2)
    assert (found.value, found.error) == (pytest.approx(50 * 51 / 2, rel=1e-13), pytest.approx(0, abs=1e-9))
    loss, model, H = logistic
    found = hessian_trace(loss, model.parameters(), probes=200)
    assert abs(found.value - np.trace(H)) < 4 * found.error
    off = np.sqrt(2 * (np.sum(H**2) - np.sum(np.diag(H) ** 2)) / 200)
    assert found.error == pytest.approx(off, rel=0.3)  # a standard deviation from 200 draws


def test_sharpness_is_the_edge_of_stability_of_gradient_descent():
    A, x, loss = planted(np.linspace(0.1, 4, 12))
    edge = 2 / sharpness(loss, [x])
    assert edge == pytest.approx(0.5, rel=1e-9)

    def after(lr):
        theta = x.detach().clone()
        for _ in range(2000):
            theta -= lr * (A @ theta)
        return theta.norm()

    assert after(0.99 * edge) < 1e-3 * x.norm()
    assert after(1.01 * edge) > 1e3 * x.norm()


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_worst_case_in_a_ball_is_that_of_the_trust_region_problem(shift):
    truth = np.array([-1.0, 0.5, 2.0, 5.0])
    A, x, _ = planted(truth)
    with torch.no_grad():
        x.zero_()
    b = shift * torch.tensor([1.0, -2.0, 0.5, 1.0], dtype=F64)
    before = x.detach().clone()
    found = worst_case_sharpness(lambda: x @ A @ x / 2 + b @ x, [x], radius=0.5, steps=200)
    assert torch.equal(x, before)
    # max of d^T A d / 2 + b^T d on the sphere: (l I - A) d = b with l >= the largest eigenvalue and ||d|| = radius
    values, Q = np.linalg.eigh(A.numpy())
    c = Q.T @ b.numpy()
    if shift:
        length = scipy.optimize.brentq(lambda lam: np.linalg.norm(c / (lam - values)) - 0.5, 5 + 1e-9, 1e3, xtol=1e-14)
        d = c / (length - values)
        exact = (values * d**2).sum() / 2 + c @ d
    else:
        exact = 5.0 / 2 * 0.25
    assert found == pytest.approx(exact, rel=1e-6)  # 200 steps of ascent
    assert found <= exact * (1 + 1e-12)


def test_at_a_maximum_nothing_rises():
    x = torch.zeros(3, dtype=F64, requires_grad=True)
    assert worst_case_sharpness(lambda: -(x @ x), [x]) == 0
    assert sharpness(lambda: -(x @ x), [x]) == pytest.approx(-2, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision_is_as_good_as_its_digits(dtype):
    truth = np.linspace(1, 10, 30)
    A, x, _ = planted(truth)
    A, x = A.to(dtype), x.detach().to(dtype).requires_grad_()
    found = hessian_extremes(lambda: x @ A @ x / 2, [x], steps=30)
    assert found.largest == pytest.approx(10, rel=20 * torch.finfo(dtype).eps)


def test_linear_constant_single_and_partly_empty_losses_have_their_curvature():
    x, y = torch.ones(4, requires_grad=True), torch.ones(0, requires_grad=True)
    assert hessian_extremes(lambda: x.sum(), [x]).largest == 0
    assert hessian_extremes(lambda: torch.ones((), requires_grad=True) + 0, [x]).largest == 0
    assert hessian_trace(lambda: x.sum() + x[0] ** 2, [x, y]).value == 2
    one = torch.tensor(3.0, requires_grad=True)
    found = hessian_extremes(lambda: one**3, [one])
    assert (found.smallest, found.largest, found.steps) == (18, 18, 1)


def test_shared_weights_are_counted_once():
    torch.manual_seed(0)
    layer = nn.Linear(3, 3, dtype=F64)
    twice = nn.Sequential(layer, nn.Tanh(), layer)
    x = torch.randn(5, 3, dtype=F64)
    H = HessianOperator(lambda: twice(x).square().mean(), twice.parameters())
    assert H.n == 12
    theta = H.flat([p.detach() for p in H.params])

    def gradient(at):
        flat = at.clone().requires_grad_()
        W, b = flat[:9].view(3, 3), flat[9:]
        loss = (torch.tanh(x @ W.T + b) @ W.T + b).square().mean()
        return torch.autograd.grad(loss, flat)[0]

    v = torch.randn(12, dtype=F64)
    central = (gradient(theta + 1e-5 * v) - gradient(theta - 1e-5 * v)) / 2e-5
    torch.testing.assert_close(H(v), central, rtol=1e-7, atol=1e-8)  # central differences: h^2 and eps / h


@pytest.mark.parametrize(
    ("loss", "params", "message"),
    [
        (lambda x: x.sum(), lambda x: [], "params must hold at least one element"),
        (lambda x: x.sum(), lambda x: [x, x], "params holds a tensor twice"),
        (lambda x: x.sum(), lambda x: [x.detach()], "params must all require a gradient"),
        (lambda x: x, lambda x: [x], r"loss must give one finite number, got a tensor of shape \(3,\)"),
        (lambda x: x.sum() * math.nan, lambda x: [x], "loss must give one finite number, got nan"),
        (lambda x: (x - 1).abs().sqrt().sum() * 1e-3, lambda x: [x], "is not finite"),
    ],
)
def test_what_has_no_hessian_is_refused(loss, params, message):
    x = torch.ones(3, requires_grad=True)
    with pytest.raises(ValueError, match=message):
        hessian_extremes(lambda: loss(x), params(x))


def test_settings_out_of_range_are_refused():
    x = torch.ones(3, requires_grad=True)
    loss = lambda: x.square().sum()  # noqa: E731
    with pytest.raises(ValueError, match="steps must be >= 1, got 0"):
        hessian_extremes(loss, [x], steps=0)
    with pytest.raises(ValueError, match="probes must be >= 1, got 0"):
        spectral_density(loss, [x], probes=0)
    with pytest.raises(ValueError, match="probes must be >= 2, got 1"):
        hessian_trace(loss, [x], probes=1)
    with pytest.raises(ValueError, match="width must be > 0"):
        spectral_density(loss, [x]).density(torch.zeros(1), width=0)
    with pytest.raises(ValueError, match="radius must be > 0"):
        worst_case_sharpness(loss, [x], radius=0)
    with pytest.raises(ValueError, match="start must be a non-zero vector"):
        lanczos(lambda v: v, torch.zeros(3), steps=2)
    with pytest.raises(ValueError, match="the loss is NaN at a distance"):
        worst_case_sharpness(lambda: (1.01 - x).sqrt().sum(), [x], radius=0.5)
