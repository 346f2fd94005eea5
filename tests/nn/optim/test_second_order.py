"""Damped Newton and L-BFGS as optimizers: what they promise, and what they do when something is wrong."""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pytest
import torch

from breadth.nn.optim import LBFGS, SGD, DampedNewton
from breadth.nn.optim.wolfe import Place, strong_wolfe


def quadratic(n=6, condition=100.0):
    Q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))
    H = torch.tensor(Q * np.geomspace(1, condition, n) @ Q.T)
    return H, torch.linspace(-1, 2, n, dtype=torch.float64)


def closure_of(f, optimizer, *, backward):
    def closure():
        optimizer.zero_grad()
        loss = f()
        if backward:
            loss.backward()
        return loss

    return closure


def test_one_newton_step_ends_a_quadratic_over_several_tensors():
    H, g = quadratic()
    a, b = (
        torch.ones(2, 2, dtype=torch.float64).T.requires_grad_(),
        torch.zeros(2, dtype=torch.float64).requires_grad_(),
    )
    frozen = torch.ones(3)

    def loss():
        x = torch.cat([a.reshape(-1), b])
        return x @ H @ x / 2 - g @ x

    optimizer = DampedNewton([a, b, frozen], radius=100.0)
    before = optimizer.step(loss)
    assert before.item() == pytest.approx((H[:4, :4].sum() / 2 - g[:4].sum()).item(), rel=1e-12)
    x = torch.cat([a.detach().reshape(-1), b.detach()])
    torch.testing.assert_close(x, torch.linalg.solve(H, g), rtol=1e-11, atol=1e-12)  # condition 100
    assert optimizer.last.taken and optimizer.last.damping == 0 and frozen.eq(1).all()


@pytest.mark.parametrize("strategy", ["trust_region", "line_search"])
def test_every_newton_step_lowers_the_loss_and_a_saved_state_goes_on_alike(strategy):
    x = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
    loss = lambda x=x: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2  # noqa: E731
    optimizer = DampedNewton([x], strategy=strategy, radius=0.1)
    losses = [optimizer.step(loss).item() for _ in range(5)]
    saved, at = copy.deepcopy(optimizer.state_dict()), x.detach().clone()
    losses += [optimizer.step(loss).item() for _ in range(25)]
    assert all(after < before or before < 1e-20 for before, after in itertools.pairwise(losses))
    torch.testing.assert_close(x.detach(), torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-10)
    y = at.clone().requires_grad_()
    again = DampedNewton([y], strategy=strategy)
    again.load_state_dict(saved)
    assert [again.step(lambda: loss(y)).item() for _ in range(25)] == losses[5:]


def test_newton_refuses_what_it_cannot_use_and_leaves_parameters_alone():
    x = torch.ones(2, dtype=torch.float64, requires_grad=True)
    optimizer = DampedNewton([x])
    with pytest.raises(TypeError, match="step takes a closure that computes the loss"):
        optimizer.step()
    with pytest.raises(ValueError, match="loss must not call backward"):
        optimizer.step(closure_of(lambda: (x**2).sum(), optimizer, backward=True))
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match=f"loss and its derivatives must be finite, got a loss of {bad}"):
            optimizer.step(lambda bad=bad: (x * bad).sum())
    calls = []

    def interrupted():
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return (x**4).sum()

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(interrupted)
    assert x.tolist() == [1, 1], "no trial is left behind"
    with pytest.raises(ValueError, match="params must be one group, got 2"):
        DampedNewton([{"params": [x]}, {"params": [torch.ones(1, requires_grad=True)]}])
    with pytest.raises(TypeError, match=r"params\[0\] must be real, got torch.complex64"):
        DampedNewton([torch.ones(1, dtype=torch.complex64, requires_grad=True)])
    with pytest.raises(ValueError, match="strategy must be one of 'trust_region', 'line_search', 'none', got 'wolfe'"):
        DampedNewton([x], strategy="wolfe")
    with pytest.raises(ValueError, match=r"lr and radius must be > 0, got 0\.0 and 1\.0"):
        DampedNewton([x], lr=0.0)
    with pytest.raises(ValueError, match="damping must be >= 0 and finite, got -1"):
        DampedNewton([x], damping=-1)


def test_a_newton_step_that_lowers_nothing_is_not_taken_and_says_so():
    x = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = DampedNewton([x])
    optimizer.step(lambda: (x**2).sum())
    assert not optimizer.last.taken and x.tolist() == [0, 0]


def lbfgs(x, f, steps=1, **options):
    optimizer = LBFGS([x], **options)
    closure = closure_of(f, optimizer, backward=True)
    for _ in range(steps):
        optimizer.step(closure)
    return optimizer


@pytest.mark.parametrize("history_size", [1, 3, 100])
def test_lbfgs_ends_a_quadratic_and_enough_history_makes_it_quicker(history_size):
    H, g = quadratic(30, 1e3)
    x = torch.zeros(30, dtype=torch.float64, requires_grad=True)
    optimizer = lbfgs(
        x, lambda: x @ H @ x / 2 - g @ x, max_iter=3000, history_size=history_size, tolerance_grad=1e-9,
        tolerance_change=0.0,
    )  # fmt: skip
    torch.testing.assert_close(x.detach(), torch.linalg.solve(H, g), rtol=0, atol=1e-8)
    state = optimizer.state[x]
    assert len(state["old_dirs"]) <= history_size
    assert state["n_iter"] < {1: 700, 3: 600, 100: 100}[history_size]
    assert state["func_evals"] < 1.2 * state["n_iter"] + 10, "about one evaluation an iteration"


def test_the_two_loops_multiply_by_the_inverse_hessian_of_bfgs():
    H, g = quadratic(5, 30.0)
    x = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimizer = lbfgs(x, lambda: x @ H @ x / 2 - g @ x + (x**4).sum(), max_iter=4, tolerance_change=0.0)
    state = optimizer.state[x]
    pairs = list(zip(state["old_stps"], state["old_dirs"], strict=True))
    s, y = pairs[-1]
    B = (s @ y / (y @ y)) * torch.eye(5, dtype=torch.float64)
    for s, y in pairs:  # Nocedal & Wright 2006, eq. 6.17
        V = torch.eye(5, dtype=torch.float64) - torch.outer(y, s) / (y @ s)
        B = V.T @ B @ V + torch.outer(s, s) / (y @ s)
    torch.testing.assert_close(state["d"], -B @ state["prev_flat_grad"], rtol=1e-10, atol=1e-12)
    assert len(pairs) == 3


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_the_scale_of_the_loss_changes_nothing_but_rounding(scale):
    x = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
    lbfgs(
        x, lambda: scale * (100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2), max_iter=100, tolerance_grad=0.0,
        tolerance_change=0.0,
    )  # fmt: skip
    torch.testing.assert_close(x.detach(), torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-9)


def test_the_search_finds_the_last_digits_though_the_loss_has_lost_them():
    H, g = quadratic(10, 1e3)
    x = torch.zeros(10, dtype=torch.float64, requires_grad=True)
    # beside 1e6 a change of 1e-10 cannot be seen: by values alone x would stay at 1e-5 or so
    lbfgs(x, lambda: 1e6 + x @ H @ x / 2 - g @ x, max_iter=300, tolerance_grad=1e-9, tolerance_change=0.0)
    torch.testing.assert_close(x.detach(), torch.linalg.solve(H, g), rtol=0, atol=1e-8)


def test_lbfgs_takes_complex_expanded_and_missing_gradients_and_half_the_parameters():
    z = torch.tensor([1 + 2j, -3j], dtype=torch.complex128, requires_grad=True)
    idle = torch.ones(2, dtype=torch.complex128, requires_grad=True)
    optimizer = LBFGS([z, idle], max_iter=50)
    optimizer.step(closure_of(lambda: ((z - (2 - 1j)).abs() ** 2).sum(), optimizer, backward=True))
    torch.testing.assert_close(z.detach(), torch.full((2,), 2 - 1j, dtype=torch.complex128), rtol=0, atol=1e-7)
    assert (idle == 1).all()
    x = torch.ones(3, 4).T.requires_grad_()
    lbfgs(x, lambda: (x - 3).square().sum())
    torch.testing.assert_close(x.detach(), torch.full((4, 3), 3.0), rtol=0, atol=1e-5)
    empty = torch.zeros(0, requires_grad=True)
    lbfgs(empty, lambda: empty.sum())


def test_lbfgs_refuses_what_it_cannot_use_and_leaves_parameters_alone():
    x = torch.ones(2, dtype=torch.float64, requires_grad=True)
    with pytest.raises(TypeError, match="step takes a closure that evaluates the loss again"):
        LBFGS([x]).step()
    for bad in (math.nan, math.inf):
        with pytest.raises(
            ValueError, match=f"loss and gradient must be finite where a step begins, got a loss of {bad}"
        ):
            lbfgs(x, lambda bad=bad: (x * bad).sum())
    calls = []

    def interrupted():
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return (x**4).sum()

    with pytest.raises(KeyboardInterrupt):
        lbfgs(x, interrupted, max_iter=50)
    assert x.tolist() == [1, 1], "no trial is left behind"
    for name in ("max_iter", "max_eval", "history_size"):
        with pytest.raises(ValueError, match=f"{name} must be >= 1, got 0"):
            LBFGS([x], **{name: 0})
    with pytest.raises(ValueError, match="line_search_fn must be 'strong_wolfe' or None, got 'armijo'"):
        LBFGS([x], line_search_fn="armijo")
    with pytest.raises(ValueError, match="lr must be > 0, got 0"):
        LBFGS([x], lr=0)
    with pytest.raises(ValueError, match="tolerance_grad must be >= 0 and finite, got -1"):
        LBFGS([x], tolerance_grad=-1)
    with pytest.raises(ValueError, match="params must be one group, got 2"):
        LBFGS([{"params": [x]}, {"params": [torch.ones(1, requires_grad=True)]}])
    W = torch.ones(3, 2, requires_grad=True)
    W.grad = torch.eye(3, 2).to_sparse()
    with pytest.raises(TypeError, match="LBFGS takes dense gradients"):
        LBFGS([W]).step(lambda: 1.0)


def test_a_wall_of_infinity_on_the_way_is_stepped_back_from():
    x = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    # the minimum of x - log x is at 1; beyond 0 there is nothing
    lbfgs(x, lambda: 50 * (x - x.log()).sum(), lr=10.0, max_iter=50, tolerance_change=0.0)
    assert x.item() == pytest.approx(1, abs=1e-8)


# Moré & Thuente 1994, ACM TOMS 20(3), section 5: functions for line searches
def _phi(a, b1, b2):
    gamma = lambda b: math.sqrt(1 + b * b) - b  # noqa: E731
    return lambda t: gamma(b1) * torch.sqrt((1 - t) ** 2 + b2**2) + gamma(b2) * torch.sqrt(t**2 + b1**2)


LINES = {
    "one": (lambda t: -t / (t**2 + 2), 1e-3, 0.1),
    "two": (lambda t: (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4, 0.1, 0.1),
    "three": (
        lambda t: torch.where(
            t <= 0.99, 1 - t, torch.where(t >= 1.01, t - 1, (t - 1) ** 2 / 0.02 + 0.005)
        ) + 2 * 0.99 / (39 * math.pi) * torch.sin(39 * math.pi / 2 * t),
        0.1,
        0.1,
    ),
    "four": (_phi(0, 1e-3, 1e-3), 1e-3, 1e-3),
    "five": (_phi(0, 1e-2, 1e-3), 1e-3, 1e-3),
    "six": (_phi(0, 1e-3, 1e-2), 1e-3, 1e-3),
}  # fmt: skip


@pytest.mark.parametrize("first", [1e-3, 1e-1, 1e1, 1e3])
@pytest.mark.parametrize("name", LINES)
def test_the_line_search_meets_both_wolfe_conditions_from_any_first_trial(name, first):
    f, c1, c2 = LINES[name]
    c2 = max(c2, 2 * c1)

    def look(t):
        at = torch.tensor(t, dtype=torch.float64, requires_grad=True)
        value = f(at)
        (slope,) = torch.autograd.grad(value, at)
        return Place(t, value.item(), slope.item(), slope.reshape(1))

    start = look(0.0)
    found, n_eval = strong_wolfe(look, start, first, c1=c1, c2=c2, max_eval=40)
    assert n_eval <= 20
    assert found.value <= start.value + c1 * found.t * start.slope
    assert abs(found.slope) <= -c2 * start.slope


def test_the_line_search_gives_the_best_point_it_has_when_evaluations_run_out():
    def look(t):
        return Place(t, -math.log(t + 1), -1 / (t + 1), torch.zeros(1, dtype=torch.float64))

    found, n_eval = strong_wolfe(look, look(0.0), 1e-3, c2=0.1, max_eval=2)
    assert n_eval == 2 and found.t > 1e-3 and found.value < 0
    nowhere, n_eval = strong_wolfe(
        lambda t: Place(t, t, 1.0, torch.zeros(1)), Place(0.0, 0.0, -1.0, torch.zeros(1)), 1.0
    )
    assert nowhere.t == 0 and n_eval == 25


def test_second_order_methods_are_done_where_gradient_descent_has_hardly_begun():
    H, g = quadratic(20, 1e6)
    solution = torch.linalg.solve(H, g)
    ends = {}
    for name, make in {"newton": DampedNewton, "lbfgs": LBFGS, "gd": SGD}.items():
        x = torch.zeros(20, dtype=torch.float64, requires_grad=True)
        options = {"newton": {"radius": 1e6}, "gd": {"lr": 1e-6}, "lbfgs": {"tolerance_change": 0.0}}[name]
        optimizer = make([x], **options)
        closure = closure_of(lambda x=x: x @ H @ x / 2 - g @ x, optimizer, backward=name != "newton")
        for _ in range(1 if name == "newton" else 10):
            optimizer.step(closure)
        ends[name] = ((x.detach() - solution).norm() / solution.norm()).item()
    assert ends["newton"] < 1e-9 and ends["lbfgs"] < 1e-3 and ends["gd"] > 0.9
