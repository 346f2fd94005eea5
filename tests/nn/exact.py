"""Losses of one example in mpmath at 60 digits, their gradients by central differences, and logits that are hard."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mpmath
import numpy as np
import torch

DIGITS = 60
STEP = mpmath.mpf(10) ** -25  # error of a central difference near 1e-50, of its subtraction 1e-35

Logits = Sequence[mpmath.mpf]


def log_softmax(z: Logits) -> list[mpmath.mpf]:
    top = max(z)
    total = top + mpmath.log(mpmath.fsum(mpmath.exp(v - top) for v in z))
    return [v - total for v in z]


def softmax(z: Logits) -> list[mpmath.mpf]:
    return [mpmath.exp(v) for v in log_softmax(z)]


def rest(z: Logits, y: int) -> mpmath.mpf:
    """1 - p_y, with all its digits where p_y is nearly 1."""
    return mpmath.fsum(p for c, p in enumerate(softmax(z)) if c != y)


def minus_log(z: Logits, y: int) -> mpmath.mpf:
    """-log p_y, with all its digits where p_y is nearly 1."""
    return -mpmath.log1p(-rest(z, y)) if rest(z, y) < 0.5 else -log_softmax(z)[y]


def sigmoid(x: mpmath.mpf) -> mpmath.mpf:
    return 1 / (1 + mpmath.exp(-x)) if x >= 0 else mpmath.exp(x) / (1 + mpmath.exp(x))


def values_and_gradients(
    formula: Callable[[Logits, int], mpmath.mpf], rows: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """formula(row, its number) for each row of float64 numbers, and its derivative by each of them."""
    values, gradients = [], []
    with mpmath.workdps(DIGITS):
        for i, row in enumerate(rows.tolist()):
            exact = [mpmath.mpf(v) for v in row]
            values.append(float(formula(exact, i)))
            gradient = []
            for c in range(len(exact)):
                up, down = list(exact), list(exact)
                up[c] += STEP
                down[c] -= STEP
                gradient.append(float((formula(up, i) - formula(down, i)) / (2 * STEP)))
            gradients.append(gradient)
    return torch.tensor(values, dtype=torch.float64), torch.tensor(gradients, dtype=torch.float64)


def hard_logits() -> tuple[torch.Tensor, torch.Tensor]:
    """Eleven rows of five classes, and labels of which none is class 3."""
    rng = np.random.default_rng(0)
    rows = [
        *(2 * rng.normal(size=(4, 5))),
        np.zeros(5),  # all alike
        np.full(5, 1e4),
        1e4 + rng.normal(size=5),
        np.array([1e4, -1e4, 0, 1, 2]),  # sure and right
        np.array([1e4, -1e4, 0, 1, 2]),  # sure and wrong
        np.array([40.0, 0, 0, 0, 0]),  # 1 - p is below the machine epsilon
        np.array([-40.0, 1, 2, 0, 0]),
    ]
    return torch.tensor(np.array(rows)), torch.tensor([0, 1, 2, 4, 1, 2, 0, 0, 1, 0, 0])


def hard_log_odds() -> tuple[torch.Tensor, torch.Tensor]:
    """Log-odds and targets, hard and soft ones; no log-odds is a kink of a margin that the tests use."""
    x = torch.tensor([0.0, 0.3, -0.7, 2.0, -2.0, 5.0, -5.0, 36.0, -36.0, 60.0, -60.0, 1e4, -1e4], dtype=torch.float64)
    t = torch.tensor([0.0, 1.0, 0.25], dtype=torch.float64)
    return x.repeat(len(t)), t.repeat_interleave(len(x))


def assert_equal_in_value_and_gradient(
    loss: Callable[[torch.Tensor], torch.Tensor],
    rows: torch.Tensor,
    formula: Callable[[Logits, int], mpmath.mpf],
    atol: float = 1e-15,
) -> None:
    """`loss` gives one number a row, equal to the formula's to float64's rounding, as its gradient is."""
    leaf = rows.clone().requires_grad_()
    ours = loss(leaf)
    (gradient,) = torch.autograd.grad(ours.sum(), leaf)
    expected, expected_gradient = values_and_gradients(formula, rows)
    # default atol: where p rounds to 1, log p is off by the rounding of 1; rtol: a few roundings, and |x| eps in exp(x)
    torch.testing.assert_close(ours.detach(), expected, rtol=1e-12, atol=atol)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-12, atol=atol)
