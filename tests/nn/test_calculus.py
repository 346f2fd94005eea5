"""Derivatives beside mpmath at 60 digits; models, Newton's method and convexity where the truth is known."""

from __future__ import annotations

import itertools
import math

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from breadth.nn.calculus import Taylor, convexity, derivatives, gradient, hessian, hvp, newton, taylor

DIGITS, STEP = 60, mpmath.mpf(10) ** -15  # central differences of second order are exact to 1e-30 or so


def rosenbrock(x):
    return ((1 - x[:-1]) ** 2 + 100 * (x[1:] - x[:-1] ** 2) ** 2).sum()


# name -> (torch, the same in mpmath on a list of numbers, point)
FUNCTIONS = {
    "rosenbrock": (
        rosenbrock,
        lambda v: mpmath.fsum((1 - a) ** 2 + 100 * (b - a * a) ** 2 for a, b in itertools.pairwise(v)),
        [-1.2, 1.0, 0.7, -0.3],
    ),
    "log-sum-exp at mean 1e4": (
        lambda x: torch.logsumexp(x, 0),
        lambda v: v[0] + mpmath.log(mpmath.fsum(mpmath.exp(a - v[0]) for a in v)),
        [10000.5, 9999.0, 10001.0],
    ),
    "a network": (
        lambda x: torch.tanh(x[:2].sin() @ x[2:4]) * torch.sigmoid(x[4]) + F.gelu(x[0]),
        lambda v: (
            mpmath.tanh(mpmath.sin(v[0]) * v[2] + mpmath.sin(v[1]) * v[3]) / (1 + mpmath.exp(-v[4]))
            + v[0] * (1 + mpmath.erf(v[0] / mpmath.sqrt(2))) / 2
        ),
        [0.3, -1.1, 0.8, 2.0, -0.4],
    ),
    "one number": (lambda x: x.exp(), lambda v: mpmath.exp(v[0]), [0.5]),
}


def differences(f, point):
    """Gradient and Hessian by central differences in 60 digits."""
    n = len(point)
    with mpmath.workdps(DIGITS):
        x = [mpmath.mpf(v) for v in point]

        def at(*moves):
            moved = list(x)
            for i, s in moves:
                moved[i] += s * STEP
            return f(moved)

        g = [float((at((i, 1)) - at((i, -1))) / (2 * STEP)) for i in range(n)]
        H = [
            [
                float(
                    (at((i, 1), (j, 1)) - at((i, 1), (j, -1)) - at((i, -1), (j, 1)) + at((i, -1), (j, -1)))
                    / (4 * STEP * STEP)
                )
                for j in range(n)
            ]
            for i in range(n)
        ]
    return torch.tensor(g, dtype=torch.float64), torch.tensor(H, dtype=torch.float64)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_are_those_of_60_digits(name):
    f, exact, point = FUNCTIONS[name]
    x = torch.tensor(point, dtype=torch.float64)
    g, H = differences(exact, point)
    # a few roundings of terms whose sum may be small beside them; logits of 1e4 lose four digits in x - logsumexp
    close = {"rtol": 1e-12, "atol": 1e-12 * H.abs().max().item()} if "1e4" not in name else {"rtol": 1e-11, "atol": 0}
    torch.testing.assert_close(gradient(f, x), g, **close)
    torch.testing.assert_close(hessian(f, x), H, **close)
    assert torch.equal(hessian(f, x), hessian(f, x).mT)
    v = torch.linspace(-1, 2, len(x), dtype=torch.float64)
    torch.testing.assert_close(hvp(f, x, v), H @ v, rtol=1e-11, atol=1e-11 * H.abs().max().item())
    value, flat, square = derivatives(lambda: f(leaf), [leaf := x.clone().requires_grad_()])
    assert value == f(x) and torch.equal(flat, gradient(f, x)) and torch.equal(square, hessian(f, x))


def test_derivatives_keep_the_shape_of_their_point():
    rng = np.random.default_rng(0)
    A, X = (torch.tensor(rng.normal(size=s)) for s in ((3, 3), (3, 2)))

    def f(X):  # tr X^T A X
        return (X * (A @ X)).sum()

    S = A + A.T
    torch.testing.assert_close(gradient(f, X), S @ X, rtol=1e-13, atol=1e-14)
    expected = torch.einsum("ik,jl->ijkl", S, torch.eye(2, dtype=S.dtype))
    torch.testing.assert_close(hessian(f, X), expected, rtol=1e-13, atol=1e-14)
    V = torch.tensor(rng.normal(size=(3, 2)))
    torch.testing.assert_close(hvp(f, X, V), S @ V, rtol=1e-13, atol=1e-14)
    # views of memory with gaps and repetitions, and a number
    torch.testing.assert_close(gradient(f, X.T.contiguous().T), S @ X, rtol=1e-13, atol=1e-14)
    ones = torch.ones(1, 1, dtype=torch.float64).expand(3, 2)
    torch.testing.assert_close(gradient(f, ones), S @ ones, rtol=1e-13, atol=1e-14)
    assert hessian(lambda x: x**3, torch.tensor(2.0)).item() == 12


def test_a_hessian_of_more_rows_than_fit_at_once_is_complete():
    n = 300
    H = hessian(lambda x: (x**2).sum() ** 2 / 4, x := torch.linspace(-1, 1, n, dtype=torch.float64))
    expected = 2 * torch.outer(x, x) + (x @ x) * torch.eye(n, dtype=torch.float64)  # of |x|^4 / 4
    torch.testing.assert_close(H, expected, rtol=1e-13, atol=1e-13)


def test_functions_that_do_not_curve_or_do_not_depend_have_zeros():
    x, empty = torch.tensor([1.0, 2.0]), torch.zeros(0)
    line = torch.tensor([3.0, -1.0])
    assert gradient(lambda x: line @ x, x).tolist() == [3, -1] and not hessian(lambda x: line @ x, x).any()
    assert not hvp(lambda x: line @ x, x, line).any()
    assert not gradient(lambda x: torch.tensor(7.0), x).any() and not hessian(lambda x: torch.tensor(7.0), x).any()
    assert hessian(lambda x: x[0] ** 2, x).tolist() == [[2, 0], [0, 0]], "an element that is not used"
    assert gradient(lambda x: x.sum(), empty).shape == (0,) and hessian(lambda x: x.sum(), empty).shape == (0, 0)
    with torch.no_grad():
        assert gradient(lambda x: (x * x).sum(), x).tolist() == [2, 4], "also where gradients are off"
    assert not x.requires_grad and x.grad is None
    assert gradient(lambda x: x.half().sum(), x.half()).dtype == torch.float16


def test_the_hessian_of_logistic_regression_is_its_closed_form_over_several_tensors():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), rng.integers(0, 2, 40)
    W, b = torch.tensor(rng.normal(size=3), requires_grad=True), torch.tensor(0.3, dtype=torch.float64).requires_grad_()
    data, labels = torch.tensor(X), torch.tensor(y, dtype=torch.float64)
    value, g, H = derivatives(lambda: F.binary_cross_entropy_with_logits(data @ W + b, labels, reduction="sum"), [W, b])
    Z = np.column_stack([X, np.ones(40)])
    p = 1 / (1 + np.exp(-Z @ np.append(W.detach(), b.item())))
    assert value.item() == pytest.approx(-(y * np.log(p) + (1 - y) * np.log(1 - p)).sum(), rel=1e-13)
    np.testing.assert_allclose(g, Z.T @ (p - y), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(H, Z.T * (p * (1 - p)) @ Z, rtol=1e-12, atol=1e-13)


LAYERS = {
    "convolution, norm and pooling": lambda x: F.group_norm(
        F.conv2d(x.view(1, 1, 4, 4), torch.arange(9.0, dtype=x.dtype).view(1, 1, 3, 3) / 9, padding=1), 1
    ).amax((2, 3)).exp().sum(),
    "attention": lambda x: (F.softmax(x.view(4, 4) @ x.view(4, 4).T / 2, -1) @ x.view(4, 4)).tanh().sum(),
    "layer norm and cross entropy": lambda x: F.cross_entropy(
        F.gelu(F.layer_norm(x.view(4, 4), (4,))), torch.tensor([0, 1, 2, 3])
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_batched_rows_of_a_hessian_are_products_with_unit_vectors(name):
    x = torch.randn(16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = torch.stack([hvp(LAYERS[name], x, e) for e in torch.eye(16, dtype=torch.float64)])
    torch.testing.assert_close(hessian(LAYERS[name], x), rows, rtol=1e-11, atol=1e-12)  # sums in another order


def test_the_error_of_a_taylor_model_falls_with_the_cube_of_the_distance():
    f, _, point = FUNCTIONS["a network"]
    x = torch.tensor(point, dtype=torch.float64)
    model = taylor(f, x)
    direction = torch.linspace(-1, 1, 5, dtype=torch.float64)
    errors = [abs(f(y := x + h * direction) - model(y)).item() for h in (1e-1, 1e-2, 1e-3)]
    orders = [math.log10(a / b) for a, b in itertools.pairwise(errors)]
    assert orders == pytest.approx([3, 3], abs=0.1)
    assert model(x) == f(x)
    # many points at once
    points = x + torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    each = torch.stack([torch.stack([model(p) for p in row]) for row in points])
    torch.testing.assert_close(model(points), each, rtol=1e-13, atol=1e-14)


def test_a_quadratic_is_its_own_taylor_model():
    rng = np.random.default_rng(0)
    A = torch.tensor(rng.normal(size=(6, 6)))

    def f(X):
        return X.reshape(-1) @ A @ X.reshape(-1) + X.sum() - 3

    x, y = (1e4 + torch.tensor(rng.normal(size=(2, 3))) for _ in range(2))
    model = taylor(f, x)
    assert isinstance(model, Taylor) and model.hessian.shape == (2, 3, 2, 3)
    torch.testing.assert_close(model(y), f(y), rtol=1e-12, atol=0)
    assert taylor(lambda x: x**2, torch.tensor(3.0))(torch.tensor([1.0, 5.0])).tolist() == [1, 25]


@pytest.mark.parametrize("strategy", ["trust_region", "line_search", "none"])
def test_newtons_method_doubles_the_right_digits_near_a_minimum(strategy):
    errors = []
    start = torch.tensor(1.0, dtype=torch.float64)
    for n in range(6):
        found = newton(lambda x: x.exp() - 2 * x, start, strategy=strategy, max_iter=n, tol=0)
        errors.append(abs(found.x.item() - math.log(2)))
    for before, after in itertools.pairwise(errors):
        assert after == pytest.approx(before**2 / 2, rel=0.2, abs=1e-15)  # |f'''| / (2 f'') = 1/2
    assert errors[-1] < 1e-15


def test_the_plain_method_goes_to_a_saddle_where_the_guarded_ones_descend():
    def f(x):  # a saddle at 0, minima at (0, -1) and (0, 1)
        return x[0] ** 2 + (x[1] ** 2 - 1) ** 2 / 4

    near = torch.tensor([0.5, 0.1], dtype=torch.float64)
    plain = newton(f, near, strategy="none")
    assert plain.converged and plain.least_eigenvalue < 0 and abs(plain.x[1]) < 1e-6
    for strategy in ("trust_region", "line_search"):
        found = newton(f, near, strategy=strategy)
        assert found.converged and found.least_eigenvalue > 0
        torch.testing.assert_close(found.x, torch.tensor([0, 1.0], dtype=torch.float64), rtol=0, atol=1e-8)
    on_it = newton(f, torch.zeros(2, dtype=torch.float64))
    assert on_it.converged and abs(on_it.x[1]).item() == pytest.approx(1, abs=1e-8), "a trust region leaves it at once"
    stuck = newton(f, torch.zeros(2, dtype=torch.float64), strategy="line_search")
    assert stuck.converged and stuck.least_eigenvalue < 0 and stuck.n_iter == 0, "and the eigenvalue tells of it"


def test_newtons_method_says_when_it_has_not_arrived():
    start = torch.tensor([-1.2, 1.0], dtype=torch.float64)
    found = newton(rosenbrock, start, max_iter=3)
    assert not found.converged and found.n_iter == 3 and found.gradient.abs().max() > 1e-8
    assert found.value < rosenbrock(start)
    assert newton(rosenbrock, start, max_iter=0).n_iter == 0
    runaway = newton(lambda x: (-x).exp().sum(), start, max_iter=5, radius=1e-3)
    assert not runaway.converged, "no minimum at all"


def test_damping_shortens_steps_and_slows_newtons_method_down_to_a_linear_rate():
    f, x = (lambda x: (x**2).sum() / 2), torch.ones(2, dtype=torch.float64)
    assert newton(f, x, strategy="none").n_iter == 1
    slow = newton(f, x, strategy="none", damping=1.0, max_iter=10)
    torch.testing.assert_close(slow.x, x / 2**10, rtol=1e-12, atol=0)


def test_log_loss_is_convex_in_the_weights_and_squared_error_of_a_sigmoid_is_not():
    rng = np.random.default_rng(0)
    X = torch.tensor(rng.normal(size=(30, 2)))
    y = (X @ torch.tensor([1.0, -2.0], dtype=torch.float64) + torch.tensor(rng.normal(size=30)) > 0).double()
    points = 5 * torch.tensor(rng.normal(size=(8, 2)))
    log_loss = convexity(lambda w: F.binary_cross_entropy_with_logits(X @ w, y), points)
    assert not log_loss.refuted and log_loss.gap <= 1e-12 and log_loss.least_eigenvalue >= -1e-12
    squared = convexity(lambda w: F.mse_loss(torch.sigmoid(X @ w), y), points)
    assert squared.refuted and squared.gap > 0.01 and squared.least_eigenvalue < -1e-3
    # the witnesses hold
    a, b, t = squared.chord
    f = lambda w: F.mse_loss(torch.sigmoid(X @ w), y)  # noqa: E731
    assert (f(torch.lerp(a, b, t)) - (1 - t) * f(a) - t * f(b)).item() == pytest.approx(squared.gap, rel=1e-12)
    w = torch.linalg.eigvalsh(hessian(f, squared.where))
    assert w[0].item() == pytest.approx(squared.least_eigenvalue, rel=1e-12)


@pytest.mark.parametrize(
    ("f", "convex"),
    [
        (lambda x: (x**4).sum(), True),
        (lambda x: torch.logsumexp(1e4 * x, 0), True),
        (lambda x: 1e8 + x.sum(), True),  # straight: every chord is touched
        (lambda x: torch.tensor(0.0, dtype=x.dtype) * x.sum(), True),
        (lambda x: x.abs().sum(), True),
        (lambda x: -(x**2).sum(), False),
        (lambda x: 1e8 - (x**2).sum(), False),
        (lambda x: 1e-30 * (x[0] ** 2 - x[1] ** 2), False),
        (lambda x: x[0] ** 2 - 1e-3 * x[1] ** 2, False),
        (lambda x: x[0] * x[1], False),
        (rosenbrock, False),
        (lambda x: x.abs().sqrt().sum(), False),
    ],
)
def test_convex_functions_pass_and_others_are_refuted(f, convex):
    points = torch.randn(6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert convexity(f, points).refuted == (not convex)


def test_one_chord_is_enough_where_the_hessian_has_no_say():
    points = torch.tensor([[-1.0], [2.0]], dtype=torch.float64)
    step = convexity(lambda x: -x.abs().sum(), points, samples=2)  # its Hessian is 0 wherever there is one
    assert step.refuted and step.least_eigenvalue == 0 and step.gap == pytest.approx(4 / 3, rel=1e-12)


def test_errors_name_what_was_given_and_what_would_be_right():
    x = torch.ones(2)
    with pytest.raises(ValueError, match=r"f must return one number, got a tensor of shape \(2,\)"):
        gradient(lambda x: x, x)
    with pytest.raises(TypeError, match=r"x must hold real numbers, got torch.int64"):
        hessian(lambda x: x.sum(), torch.ones(2, dtype=torch.int64))
    with pytest.raises(TypeError, match=r"x must hold real numbers, got torch.complex64"):
        taylor(lambda x: x.real.sum(), torch.ones(2, dtype=torch.complex64))
    with pytest.raises(ValueError, match=r"v must have the shape of x, \(2,\), got \(3,\)"):
        hvp(lambda x: x.sum(), x, torch.ones(3))
    with pytest.raises(ValueError, match="params must hold at least one tensor, got none"):
        derivatives(lambda: torch.ones(()), [])
    leaf = torch.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match=r"one number that depends on params, got 1\.0"):
        derivatives(lambda: torch.ones(()), [leaf])

    def calls_backward():
        loss = (leaf**2).sum()
        loss.backward()
        return loss

    with pytest.raises(ValueError, match="loss must not call backward, which frees the graph"):
        derivatives(calls_backward, [leaf])
    with pytest.raises(ValueError, match="f and its derivatives must be finite, got f = nan after 0 steps"):
        newton(lambda x: (x * math.nan).sum(), x)
    with pytest.raises(ValueError, match="strategy must be one of 'trust_region', 'line_search', 'none', got 'armijo'"):
        newton(lambda x: (x**2).sum(), x, strategy="armijo")
    with pytest.raises(ValueError, match="damping must be >= 0, got -1"):
        newton(lambda x: (x**2).sum(), x, damping=-1)
    with pytest.raises(ValueError, match=r"radius must be > 0 and <= max_radius = 10000000000\.0, got 0"):
        newton(lambda x: (x**2).sum(), x, radius=0)
    with pytest.raises(ValueError, match="tol and max_iter must be >= 0, got nan and 100"):
        newton(lambda x: (x**2).sum(), x, tol=math.nan)
    with pytest.raises(ValueError, match=r"points must hold at least two points, got shape \(1, 2\)"):
        convexity(lambda x: x.sum(), torch.ones(1, 2))
    with pytest.raises(ValueError, match="samples must be >= 1 and tol >= 0, got 0 and 1e-08"):
        convexity(lambda x: x.sum(), torch.ones(3, 2), samples=0)
    with pytest.raises(ValueError, match="f and its Hessian must be finite at every point, got f = inf at"):
        convexity(lambda x: (1 / x).sum(), torch.tensor([[1.0], [0.0]]))
