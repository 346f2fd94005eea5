"""Penalties on parameters: their values and gradients, and what they do to a loss."""

from __future__ import annotations

import mpmath
import pytest
import torch

from breadth.nn.losses import (
    elastic_net_penalty,
    group_penalty,
    l1_penalty,
    l2_penalty,
    penalized_loss,
)
from tests.nn.exact import assert_equal_in_value_and_gradient


def rows() -> torch.Tensor:
    """Numbers of either sign, large and small, none of them 0, which is a kink."""
    ours = 3 * torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return torch.cat([ours, 1e4 + ours[:1], 1e-10 * ours[:1], 1e10 * ours[:1]])


def length(values):
    return mpmath.sqrt(mpmath.fsum(v**2 for v in values))


PENALTIES = {
    "l2": (l2_penalty, lambda row: mpmath.fsum(v**2 for v in row) / 2),
    "l1": (l1_penalty, lambda row: mpmath.fsum(abs(v) for v in row)),
    "elastic": (
        lambda params: elastic_net_penalty(params, l1_ratio=0.25),
        lambda row: mpmath.fsum(abs(v) for v in row) / 4 + mpmath.fsum(v**2 for v in row) * 3 / 8,
    ),
    "group": (
        group_penalty,  # the first four are a 2 x 2 matrix, whose rows are groups; the rest a vector, each by itself
        lambda row: mpmath.sqrt(2) * (length(row[:2]) + length(row[2:4])) + abs(row[4]) + abs(row[5]),
    ),
}


@pytest.mark.parametrize(("penalty", "formula"), PENALTIES.values(), ids=PENALTIES)
def test_a_penalty_over_several_tensors_is_that_of_60_digits(penalty, formula):
    def of_rows(z):
        return torch.stack([penalty([row[:4].reshape(2, 2), row[4:]]) for row in z])

    assert_equal_in_value_and_gradient(of_rows, rows(), lambda row, i: formula(row))


@pytest.mark.parametrize("penalty", [l1_penalty, l2_penalty, elastic_net_penalty, group_penalty])
def test_a_penalty_pulls_nowhere_at_0_and_takes_empty_strided_and_half_tensors(penalty):
    zero = torch.zeros(3, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(penalty([zero]), zero)
    assert gradient.eq(0).all()
    theta = torch.arange(6.0).reshape(2, 3).T[1:]
    assert penalty([theta, torch.empty(0, 3), torch.empty(2, 0)]) == penalty([theta.clone()])
    large = torch.full((300, 2), 300.0, dtype=torch.float16)  # float16 ends at 65504, 300^2 passes it
    assert penalty([large]).dtype == torch.float32 and penalty([large]).isfinite()
    assert penalty([torch.tensor([torch.nan])]).isnan()


def test_rows_shrink_alike_under_the_group_penalty_until_they_are_gone():
    """By proximal steps on ||theta - start||^2 / 2 the answer is (1 - weight sqrt(n) / ||row||)_+ row."""
    start = torch.tensor([[3.0, 4.0], [0.3, 0.4]], dtype=torch.float64)
    weight = 1.0
    keep = (1 - weight * 2**0.5 / start.norm(dim=1, keepdim=True)).clamp(min=0)
    theta = (keep * start).requires_grad_()
    loss = penalized_loss((theta - start).square().sum() / 2, [theta], weight=weight, penalty=group_penalty)
    (gradient,) = torch.autograd.grad(loss, theta)
    assert keep[0] > 0 and keep[1] == 0
    torch.testing.assert_close(gradient[0], torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-15)
    assert gradient[1].norm() < weight * 2**0.5  # within the subgradient of a row at 0


def test_a_penalized_loss_is_the_sum_and_needs_no_penalty_of_ours():
    theta = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
    loss = theta.prod()
    assert penalized_loss(loss, [theta], weight=0.5) == -2 + 0.5 * 2.5
    assert penalized_loss(loss, [theta], weight=0.5, penalty=l1_penalty) == -2 + 0.5 * 3
    assert penalized_loss(loss, [theta], weight=2, penalty=lambda p: p[0].max()) == 0
    assert penalized_loss(loss, [theta * torch.nan], weight=0) is loss


def test_more_penalty_makes_smaller_parameters():
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = x @ torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    for penalty in (l1_penalty, l2_penalty, elastic_net_penalty):
        sizes = []
        for weight in (0.0, 0.1, 1.0):
            w = torch.zeros(3, dtype=torch.float64, requires_grad=True)
            optimizer = torch.optim.SGD([w], lr=0.05)
            for _ in range(200):
                optimizer.zero_grad()
                penalized_loss((x @ w - y).square().mean(), [w], weight=weight, penalty=penalty).backward()
                optimizer.step()
            sizes.append(w.norm().item())
        assert sizes == sorted(sizes, reverse=True) and sizes[2] < 0.9 * sizes[0]


def test_what_cannot_be_penalised_is_refused():
    theta = torch.ones(2, requires_grad=True)
    loss = theta.sum()
    used = iter([theta])
    list(used)
    calls = [
        (lambda: penalized_loss(loss, [theta], weight=-1), "weight must be >= 0 and finite, got -1"),
        (lambda: penalized_loss(loss, [theta], weight=float("inf")), "weight must be >= 0 and finite"),
        (lambda: penalized_loss(theta, [theta], weight=1), r"loss must be a scalar, got shape \(2,\)"),
        (lambda: penalized_loss(loss, used, weight=1), "params holds no tensor; a generator"),
        (lambda: penalized_loss(loss, [], weight=0), "params holds no tensor"),
        (lambda: penalized_loss(loss, [theta], weight=1, penalty=lambda p: p[0]), "penalty must give a scalar"),
        (lambda: elastic_net_penalty([theta], l1_ratio=2), r"l1_ratio must be in \[0, 1\], got 2"),
        (lambda: group_penalty([torch.tensor(1.0)]), "params must have an axis of groups"),
        (lambda: l1_penalty(used), "params holds no tensor"),
    ]
    for call, says in calls:
        with pytest.raises(ValueError, match=says):
            call()
    with pytest.raises(TypeError, match="params must be floating point"):
        l2_penalty([torch.ones(2).long()])
