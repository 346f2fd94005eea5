"""Cross entropy, log loss, Brier and squared error, beside mpmath at 60 digits."""

from __future__ import annotations

import mpmath
import pytest
import torch

from breadth.nn.losses.cross_entropy import (
    binary_cross_entropy_with_logits,
    brier_loss,
    cross_entropy,
    sigmoid_mse_loss,
)
from tests.nn.exact import (
    assert_equal_in_value_and_gradient,
    hard_log_odds,
    hard_logits,
    log_softmax,
    minus_log,
    rest,
    sigmoid,
    softmax,
)

WEIGHT = torch.tensor([0.5, 2.0, 1.0, 0.0, 3.0], dtype=torch.float64)


def test_cross_entropy_is_that_of_60_digits_also_at_huge_and_equal_logits():
    z, y = hard_logits()
    labels = y.tolist()
    assert_equal_in_value_and_gradient(
        lambda z: cross_entropy(z, y, reduction="none"), z, lambda z, i: minus_log(z, labels[i])
    )


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["even", "weighted"])
def test_label_smoothing_spreads_its_share_over_all_classes(weight):
    z, y = hard_logits()
    labels = y.tolist()
    w = [1.0] * 5 if weight is None else weight.tolist()

    def formula(z, i):
        smoothed = [mpmath.mpf(0.9) * (c == labels[i]) + mpmath.mpf(0.1) / 5 for c in range(5)]
        return -mpmath.fsum(w[c] * t * v for c, (t, v) in enumerate(zip(smoothed, log_softmax(z), strict=True)))

    assert_equal_in_value_and_gradient(
        lambda z: cross_entropy(z, y, weight=weight, label_smoothing=0.1, reduction="none"), z, formula
    )
    one_hot = torch.nn.functional.one_hot(y, 5).double()
    assert_equal_in_value_and_gradient(
        lambda z: cross_entropy(z, one_hot, weight=weight, label_smoothing=0.1, reduction="none"), z, formula
    )


def test_probabilities_as_targets_weigh_each_class_by_its_share():
    z, _ = hard_logits()
    t = torch.randn(len(z), 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).softmax(1)
    shares = t.tolist()
    assert_equal_in_value_and_gradient(
        lambda z: cross_entropy(z, t, reduction="none"),
        z,
        lambda z, i: -mpmath.fsum(s * v for s, v in zip(shares[i], log_softmax(z), strict=True)),
    )


def test_a_class_that_cannot_be_costs_nothing_where_its_share_is_nothing():
    z = torch.tensor([[1.0, 2.0, -torch.inf]], dtype=torch.float64, requires_grad=True)
    without = cross_entropy(z[:, :2], torch.tensor([0]))
    for target in (torch.tensor([0]), torch.tensor([[1.0, 0.0, 0.0]])):
        loss = cross_entropy(z, target)
        assert loss == without
        (gradient,) = torch.autograd.grad(loss, z)
        assert gradient[0, 2] == 0 and gradient.isfinite().all()
    assert cross_entropy(z, torch.tensor([2])) == torch.inf
    # and a label that cannot be, but does not count, is no 0 * inf
    counted = cross_entropy(z.expand(2, 3), torch.tensor([0, 2]), sample_weight=torch.tensor([1.0, 0.0]))
    assert counted == without
    assert torch.autograd.grad(counted, z)[0].isfinite().all()


def test_brier_loss_is_the_squared_distance_from_the_labelled_corner():
    z, y = hard_logits()
    labels = y.tolist()
    assert_equal_in_value_and_gradient(
        lambda z: brier_loss(z, y, reduction="none"),
        z,
        lambda z, i: rest(z, labels[i]) ** 2 + mpmath.fsum(p**2 for c, p in enumerate(softmax(z)) if c != labels[i]),
    )


def test_brier_loss_of_two_classes_is_twice_the_squared_error_of_the_sigmoid():
    x, t = hard_log_odds()
    x, y = x[:26], t[:26].long()
    two = torch.stack([torch.zeros_like(x), x], 1)
    # atol: 1 - s and the other class's p are rounded apart
    torch.testing.assert_close(
        brier_loss(two, y, reduction="none"), 2 * sigmoid_mse_loss(x, t[:26], reduction="none"), rtol=1e-12, atol=1e-15
    )


@pytest.mark.parametrize("pos_weight", [None, 3.0, 0.0])
def test_log_loss_is_that_of_60_digits_for_hard_and_soft_targets(pos_weight):
    x, t = hard_log_odds()
    targets, w = t.tolist(), 1.0 if pos_weight is None else pos_weight

    def formula(row, i):
        positive, negative = minus_log([0, row[0]], 1), minus_log([0, row[0]], 0)
        return w * mpmath.mpf(targets[i]) * positive + (1 - mpmath.mpf(targets[i])) * negative

    weight = None if pos_weight is None else torch.tensor(pos_weight)
    assert_equal_in_value_and_gradient(
        lambda x: binary_cross_entropy_with_logits(x[:, 0], t, pos_weight=weight, reduction="none"), x[:, None], formula
    )


def test_log_loss_of_one_label_is_cross_entropy_of_two_classes():
    x, t = hard_log_odds()
    x, y = x[:26], t[:26].long()
    two = torch.stack([torch.zeros_like(x), x], 1)
    torch.testing.assert_close(
        binary_cross_entropy_with_logits(x, t[:26], reduction="none"),
        cross_entropy(two, y, reduction="none"),
        rtol=1e-12,
        atol=1e-14,  # x - log s(x) is off by the rounding of x = 36
    )


def test_squared_error_of_the_sigmoid_is_that_of_60_digits():
    x, t = hard_log_odds()
    targets = t.tolist()
    assert_equal_in_value_and_gradient(
        lambda x: sigmoid_mse_loss(x[:, 0], t, reduction="none"),
        x[:, None],
        lambda row, i: (sigmoid(row[0]) - mpmath.mpf(targets[i])) ** 2,
    )


def second_derivative(loss, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    x = x.clone().requires_grad_()
    (first,) = torch.autograd.grad(loss(x, target, reduction="sum"), x, create_graph=True)
    return torch.autograd.grad(first.sum(), x)[0]


def test_squared_error_of_the_sigmoid_is_not_convex_and_log_loss_is():
    x = torch.linspace(-8, 8, 1601, dtype=torch.float64)
    one, s = torch.ones_like(x), x.sigmoid()
    curvature = second_derivative(sigmoid_mse_loss, x, one)
    # rtol: two orders of differentiation; atol: where 3 s - 1 passes 0
    torch.testing.assert_close(curvature, 2 * s * (1 - s) ** 2 * (3 * s - 1), rtol=1e-11, atol=1e-15)
    bend = -torch.log(torch.tensor(2.0, dtype=torch.float64))  # s = 1/3
    assert (curvature[x < bend - 1e-3] < 0).all() and (curvature[x > bend + 1e-3] > 0).all()
    assert (second_derivative(binary_cross_entropy_with_logits, x, one) > 0).all()


def test_log_loss_pulls_a_wrong_answer_hard_where_squared_error_lets_go():
    x = torch.tensor(-6.0, dtype=torch.float64, requires_grad=True)
    one = torch.tensor(1.0)
    (log_pull,) = torch.autograd.grad(binary_cross_entropy_with_logits(x, one), x)
    (square_pull,) = torch.autograd.grad(sigmoid_mse_loss(x, one), x)
    assert log_pull < -0.99 and -0.01 < square_pull < 0


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (torch.tensor([[0.5, 0.6], [1.0, 0.0]]), "target must be >= 0 and sum to 1"),
        (torch.tensor([[1.5, -0.5], [1.0, 0.0]]), "target must be >= 0 and sum to 1"),
        (torch.tensor([[torch.nan, 1.0], [1.0, 0.0]]), "target must be >= 0 and sum to 1"),
        (torch.tensor([0.0, 1.0]), r"target must have the shape of logits, \(2, 2\)"),
    ],
)
def test_cross_entropy_refuses_what_is_no_distribution_over_the_classes(target, says):
    with pytest.raises(ValueError, match=says):
        cross_entropy(torch.zeros(2, 2), target)


def test_cross_entropy_and_log_loss_refuse_parameters_out_of_range():
    z, y = torch.zeros(2, 3), torch.tensor([0, 1])
    with pytest.raises(ValueError, match=r"label_smoothing must be in \[0, 1\], got 1.5"):
        cross_entropy(z, y, label_smoothing=1.5)
    for weight, says in (
        (torch.tensor([-1.0, 1, 1]), "pos_weight must be >= 0"),
        (torch.ones(2), r"pos_weight must broadcast to logits, \(2, 3\), got \(2,\)"),
        (torch.ones(4, 2, 3), r"pos_weight must broadcast to logits, \(2, 3\), got \(4, 2, 3\)"),
    ):
        with pytest.raises(ValueError, match=says):
            binary_cross_entropy_with_logits(z, torch.zeros(2, 3), pos_weight=weight)
