"""Damped Newton and L-BFGS beside scipy.optimize and torch.optim.LBFGS."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import scipy.optimize
import torch
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer, load_digits

from breadth.nn.calculus import newton
from breadth.nn.optim import LBFGS, DampedNewton


def rosenbrock(n):
    return (
        lambda x: (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum(),
        scipy.optimize.rosen,
        scipy.optimize.rosen_der,
        np.linspace(0.2, 1.8, n) if n > 2 else np.array([-1.2, 1.0]),  # far from the local minimum near -1, 1, 1, ...
    )


def logistic():
    X, y = load_breast_cancer(return_X_y=True)
    X = np.column_stack([(X - X.mean(0)) / X.std(0), np.ones(len(X))])
    data, labels = torch.tensor(X), torch.tensor(y, dtype=torch.float64)
    sign = 2 * y - 1

    def ours(w):
        return F.binary_cross_entropy_with_logits(data @ w, labels, reduction="sum") + 0.5 * w @ w

    def value(w):
        return np.logaddexp(0, -sign * (X @ w)).sum() + 0.5 * w @ w

    def slope(w):
        return -X.T @ (sign * scipy.special.expit(-sign * (X @ w))) + w

    return ours, value, slope, np.zeros(X.shape[1])


def quadratic(condition):
    rng = np.random.default_rng(0)
    Q, _ = np.linalg.qr(rng.normal(size=(25, 25)))
    H, g = Q * np.geomspace(1, condition, 25) @ Q.T, rng.normal(size=25)
    A, b = torch.tensor(H), torch.tensor(g)
    return lambda x: x @ A @ x / 2 - b @ x, lambda x: x @ H @ x / 2 - g @ x, lambda x: H @ x - g, np.zeros(25)


# name -> (problem, how near two float64 minima can be: |x| epsilon condition)
PROBLEMS = {
    "rosenbrock in 2": (rosenbrock(2), 1e-8),
    "rosenbrock in 30": (rosenbrock(30), 1e-8),
    "logistic regression": (logistic(), 1e-8),
    "quadratic of condition 1e3": (quadratic(1e3), 1e-8),
    "quadratic of condition 1e6": (quadratic(1e6), 1e-7),
    "quadratic of condition 1e8": (quadratic(1e8), 1e-6),
}


def optimum(name):
    _, value, slope, start = PROBLEMS[name][0]
    found = scipy.optimize.minimize(value, start, jac=slope, method="BFGS", options={"gtol": 1e-12, "maxiter": 20_000})
    if "quadratic" in name:  # a linear system
        n = len(start)
        columns = np.stack([slope(e) - slope(np.zeros(n)) for e in np.eye(n)])
        return np.linalg.solve(columns, -slope(np.zeros(n)))
    return found.x


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("strategy", ["trust_region", "line_search"])
def test_newton_finds_the_optimum_that_scipy_finds(name, strategy):
    (f, _, slope, start), near = PROBLEMS[name]
    found = newton(f, torch.tensor(start), strategy=strategy, max_iter=200)
    assert found.converged and found.least_eigenvalue > 0
    np.testing.assert_allclose(found.x, optimum(name), rtol=0, atol=near)
    assert np.abs(slope(found.x.numpy())).max() < 1e-7
    exact = scipy.optimize.minimize(
        lambda x: f(torch.tensor(x)).item(), start, jac=slope, method="trust-exact", options={"gtol": 1e-8},
        hess=lambda x: torch.autograd.functional.hessian(f, torch.tensor(x)).numpy(),
    )  # fmt: skip
    assert found.n_iter <= 1.5 * exact.nit + 5


@pytest.mark.parametrize("name", PROBLEMS)
def test_damped_newton_as_an_optimizer_finds_it_too(name):
    (f, _, _, start), near = PROBLEMS[name]
    x = torch.tensor(start, requires_grad=True)
    optimizer = DampedNewton([x])
    for _ in range(200):
        optimizer.step(lambda: f(x))
        if not optimizer.last.taken:
            break
    np.testing.assert_allclose(x.detach(), optimum(name), rtol=0, atol=near)


@pytest.mark.parametrize("name", [name for name in PROBLEMS if "1e8" not in name])
def test_lbfgs_finds_the_optimum_that_scipy_finds_in_about_as_many_evaluations(name):
    (f, value, slope, start), near = PROBLEMS[name]
    x = torch.tensor(start, requires_grad=True)
    peer = scipy.optimize.minimize(
        value, start, jac=slope, method="L-BFGS-B", options={"maxcor": 50, "ftol": 0, "gtol": 1e-8, "maxiter": 5000}
    )
    reached = np.abs(slope(peer.x)).max()  # it gives up where its search no longer sees the value fall
    optimizer = LBFGS([x], max_iter=5000, tolerance_grad=reached, tolerance_change=0.0, history_size=50)

    def closure():
        optimizer.zero_grad()
        loss = f(x)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert optimizer.state[x]["func_evals"] <= 1.5 * peer.nfev + 10
    optimizer.param_groups[0]["tolerance_grad"] = 1e-8
    optimizer.step(closure)
    np.testing.assert_allclose(x.detach(), optimum(name), rtol=0, atol=near)


@pytest.mark.parametrize("history_size", [3, 100])
@pytest.mark.parametrize("steps", [(30,), (10, 10, 10), (1,) * 20])
def test_without_line_search_lbfgs_takes_the_steps_of_torch(steps, history_size):
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(10, 10, generator=generator, dtype=torch.float64)
    H = A @ A.T / 10 + torch.eye(10, dtype=torch.float64)
    ends, counts = [], []
    for make in (LBFGS, torch.optim.LBFGS):
        x = torch.linspace(-1, 1, 10, dtype=torch.float64).requires_grad_()
        optimizer = make(
            [x], lr=0.5, max_iter=steps[0], history_size=history_size, tolerance_grad=1e-5, tolerance_change=0.0,
            line_search_fn=None,
        )  # fmt: skip

        def closure(x=x, optimizer=optimizer):
            optimizer.zero_grad()
            loss = x @ H @ x / 2 + torch.cosh(x).sum()
            loss.backward()
            return loss

        for _ in steps:
            optimizer.step(closure)
        ends.append(x.detach())
        counts.append((optimizer.state[x]["n_iter"], optimizer.state[x]["func_evals"]))
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=1e-8)  # both multiply roundings by the condition
    assert counts[0] == counts[1]


def test_a_state_of_torchs_lbfgs_is_taken_over_and_given_back():
    H = torch.diag(torch.linspace(1, 20, 10, dtype=torch.float64))
    options = {"max_iter": 4, "tolerance_grad": 0.0, "tolerance_change": 0.0, "line_search_fn": None, "lr": 0.3}

    def closure_of(optimizer):
        [x] = optimizer.param_groups[0]["params"]

        def closure():
            optimizer.zero_grad()
            loss = x @ H @ x / 2 + torch.cosh(x).sum()
            loss.backward()
            return loss

        return closure

    def begin(make):
        return make([torch.linspace(-1, 1, 10, dtype=torch.float64).requires_grad_()], **options)

    began = [begin(LBFGS), begin(torch.optim.LBFGS)]
    for optimizer in began:
        optimizer.step(closure_of(optimizer))
    ends = []
    for make, source in zip((torch.optim.LBFGS, LBFGS, LBFGS), (*began, began[0]), strict=True):
        optimizer = begin(make)
        with torch.no_grad():
            optimizer.param_groups[0]["params"][0].copy_(source.param_groups[0]["params"][0])
        optimizer.load_state_dict(copy.deepcopy(source.state_dict()))
        optimizer.step(closure_of(optimizer))
        ends.append(optimizer.param_groups[0]["params"][0].detach())
    for end in ends[1:]:
        torch.testing.assert_close(end, ends[0], rtol=1e-9, atol=1e-10)


def test_lbfgs_fits_softmax_regression_on_digits_to_scipys_loss():
    X, y = load_digits(return_X_y=True)
    data, labels = torch.tensor(X / 16), torch.tensor(y)
    W, b = (
        torch.zeros(64, 10, dtype=torch.float64, requires_grad=True),
        torch.zeros(10, dtype=torch.float64).requires_grad_(),
    )

    def loss_of(W, b):
        return F.cross_entropy(data @ W + b, labels) + 1e-3 * W.square().sum()

    optimizer = LBFGS([W, b], max_iter=500, history_size=10)

    def closure():
        optimizer.zero_grad()
        loss = loss_of(W, b)
        loss.backward()
        return loss

    optimizer.step(closure)

    def flat(w):
        leaf = torch.tensor(w, requires_grad=True)
        loss = loss_of(leaf[:640].view(64, 10), leaf[640:])
        loss.backward()
        return loss.item(), leaf.grad.numpy()

    peer = scipy.optimize.minimize(flat, np.zeros(650), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    assert loss_of(W, b).item() <= peer.fun * (1 + 1e-6)
