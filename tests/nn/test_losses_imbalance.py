"""Class-balanced weights, balanced softmax, focal and asymmetric loss, beside mpmath at 60 digits."""

from __future__ import annotations

import mpmath
import pytest
import torch

from breadth.nn.losses.cross_entropy import binary_cross_entropy_with_logits, cross_entropy
from breadth.nn.losses.imbalance import (
    asymmetric_loss,
    balanced_softmax_loss,
    class_balanced_weight,
    focal_loss,
    sigmoid_focal_loss,
)
from tests.nn.exact import (
    DIGITS,
    assert_equal_in_value_and_gradient,
    hard_log_odds,
    hard_logits,
    log_softmax,
    minus_log,
    rest,
    sigmoid,
)

COUNTS = [5000.0, 300.0, 20.0, 1.0, 7.0]


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999, 1 - 1e-12, 1.0])
def test_class_balanced_weights_are_inverse_effective_numbers_and_sum_to_the_classes(beta):
    with mpmath.workdps(DIGITS):
        b = mpmath.mpf(beta)
        exact = [1 / mpmath.mpf(n) if beta == 1 else (1 - b) / (1 - b ** mpmath.mpf(n)) for n in COUNTS]
        expected = [float(5 * w / mpmath.fsum(exact)) for w in exact]
    weight = class_balanced_weight(torch.tensor(COUNTS, dtype=torch.float64), beta=beta)
    torch.testing.assert_close(weight, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0)


def test_class_balanced_weights_go_from_even_to_the_inverse_count():
    counts = torch.tensor([900, 90, 10])
    assert class_balanced_weight(counts, beta=0).tolist() == [1.0, 1.0, 1.0]
    inverse = class_balanced_weight(counts, beta=1.0)
    torch.testing.assert_close(inverse * counts, (inverse * counts)[:1].expand(3))
    spread = [class_balanced_weight(counts, beta=b).max() for b in (0.0, 0.9, 0.99, 0.999, 1.0)]
    assert spread == sorted(spread)
    assert inverse.dtype == torch.float32 and class_balanced_weight(counts.double()).dtype == torch.float64


@pytest.mark.parametrize("counts", [[3.0, 0.0], [3.0, -1.0], [3.0, torch.nan], [], [[1.0, 2.0]]])
def test_counts_that_are_not_positive_are_refused(counts):
    with pytest.raises(ValueError, match="class_counts must"):
        class_balanced_weight(torch.tensor(counts))
    with pytest.raises(ValueError, match="class_counts must"):
        balanced_softmax_loss(torch.zeros(1, 2), torch.tensor([0]), class_counts=torch.tensor(counts))


def test_balanced_softmax_puts_the_prior_into_the_softmax():
    z, y = hard_logits()
    labels = y.tolist()
    assert_equal_in_value_and_gradient(
        lambda z: balanced_softmax_loss(z, y, class_counts=COUNTS, reduction="none"),
        z,
        lambda z, i: -log_softmax([v + mpmath.log(n) for v, n in zip(z, COUNTS, strict=True)])[labels[i]],
    )


def test_balanced_softmax_of_equal_counts_is_cross_entropy_to_the_bit():
    z, y = hard_logits()
    ours = balanced_softmax_loss(z, y, class_counts=[7] * 5, reduction="none")
    assert torch.equal(ours, cross_entropy(z, y, reduction="none"))


def test_balanced_softmax_is_smallest_at_the_posterior_under_equal_classes():
    prior = torch.tensor([0.9, 0.09, 0.01], dtype=torch.float64)
    likelihood = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)  # p(x | y) of one x
    joint = prior * likelihood
    best = torch.log(likelihood / likelihood.sum()).requires_grad_()  # p(y | x) under equal classes
    losses = balanced_softmax_loss(best.expand(3, 3), torch.arange(3), class_counts=1000 * prior, reduction="none")
    (gradient,) = torch.autograd.grad((losses * joint).sum(), best)
    torch.testing.assert_close(gradient, torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-16)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focal_loss_is_that_of_60_digits_also_where_the_label_is_certain(gamma):
    z, y = hard_logits()
    labels = y.tolist()
    assert_equal_in_value_and_gradient(
        lambda z: focal_loss(z, y, gamma=gamma, reduction="none"),
        z,
        lambda z, i: rest(z, labels[i]) ** mpmath.mpf(gamma) * minus_log(z, labels[i]),
    )


def test_focal_loss_without_focus_is_cross_entropy_with_alpha_as_its_weights():
    z, y = hard_logits()
    alpha = torch.tensor([0.5, 2.0, 1.0, 0.0, 3.0], dtype=torch.float64)
    # atol: log p = 0 stands at the square of the machine epsilon
    torch.testing.assert_close(
        focal_loss(z, y, gamma=0, reduction="none"), cross_entropy(z, y, reduction="none"), rtol=0, atol=1e-31
    )
    torch.testing.assert_close(
        focal_loss(z, y, gamma=0, alpha=alpha, reduction="none"),
        cross_entropy(z, y, weight=alpha, reduction="none"),
        rtol=0,
        atol=1e-31,
    )


def test_mean_of_focal_loss_is_over_examples_and_not_over_alpha():
    z, y = hard_logits()
    alpha = torch.tensor([4.0, 0.5, 1.0, 1.0, 1.0], dtype=torch.float64)
    loss = focal_loss(z, y, alpha=alpha, reduction="none")
    torch.testing.assert_close(focal_loss(z, y, alpha=alpha), loss.sum() / len(y), rtol=1e-15, atol=0)


@pytest.mark.parametrize("alpha", [None, 0.25, 0.0])
@pytest.mark.parametrize("gamma", [0.0, 0.3, 2.0])
def test_sigmoid_focal_loss_is_that_of_60_digits_for_hard_and_soft_targets(gamma, alpha):
    x, t = hard_log_odds()
    targets = t.tolist()

    def formula(row, i):
        share, s, r = mpmath.mpf(targets[i]), sigmoid(row[0]), sigmoid(-row[0])
        a, b = (1, 1) if alpha is None else (mpmath.mpf(alpha), 1 - mpmath.mpf(alpha))
        positive = a * r ** mpmath.mpf(gamma) * minus_log([0, row[0]], 1)
        return share * positive + (1 - share) * b * s ** mpmath.mpf(gamma) * minus_log([0, row[0]], 0)

    assert_equal_in_value_and_gradient(
        lambda x: sigmoid_focal_loss(x[:, 0], t, gamma=gamma, alpha=alpha, reduction="none"), x[:, None], formula
    )


def test_sigmoid_focal_loss_of_one_label_is_focal_loss_of_two_classes():
    x, t = hard_log_odds()
    x, y = x[:26], t[:26].long()
    two = torch.stack([torch.zeros_like(x), x], 1)
    ours = focal_loss(two, y, alpha=torch.tensor([0.75, 0.25]), gamma=2, reduction="none")
    torch.testing.assert_close(ours, sigmoid_focal_loss(x, t[:26], reduction="none"), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("margin", [0.0, 0.05, 0.5])
@pytest.mark.parametrize(("gamma_neg", "gamma_pos"), [(4.0, 0.0), (2.0, 1.0), (0.5, 0.3), (0.0, 0.0)])
def test_asymmetric_loss_is_that_of_60_digits_for_hard_and_soft_targets(gamma_neg, gamma_pos, margin):
    x, t = hard_log_odds()
    keep = (x != 0) | (margin != 0.5)  # s = 1/2 is the kink of that margin
    x, t = x[keep], t[keep]
    targets = t.tolist()

    def formula(row, i):
        share, s, m = mpmath.mpf(targets[i]), sigmoid(row[0]), mpmath.mpf(margin)
        positive = sigmoid(-row[0]) ** mpmath.mpf(gamma_pos) * minus_log([0, row[0]], 1)
        if s <= m:
            negative = mpmath.mpf(0)
        elif m == 0:
            negative = s ** mpmath.mpf(gamma_neg) * minus_log([0, row[0]], 0)
        else:
            negative = -((s - m) ** mpmath.mpf(gamma_neg)) * mpmath.log(sigmoid(-row[0]) + m)
        return share * positive + (1 - share) * negative

    options = {"gamma_neg": gamma_neg, "gamma_pos": gamma_pos, "margin": margin}
    assert_equal_in_value_and_gradient(
        lambda x: asymmetric_loss(x[:, 0], t, reduction="none", **options), x[:, None], formula
    )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_asymmetric_loss_without_margin_and_asymmetry_is_focal_loss(gamma):
    x, t = hard_log_odds()
    ours = asymmetric_loss(x, t, gamma_neg=gamma, gamma_pos=gamma, margin=0, reduction="none")
    focal = sigmoid_focal_loss(x, t, gamma=gamma, alpha=None, reduction="none")
    torch.testing.assert_close(ours, focal, rtol=1e-12, atol=1e-15)
    if gamma == 0:
        log_loss = binary_cross_entropy_with_logits(x, t, reduction="none")
        torch.testing.assert_close(ours, log_loss, rtol=1e-12, atol=1e-14)  # x - log s(x), off by the rounding of x


def test_asymmetric_loss_drops_negatives_below_the_margin():
    x = torch.tensor([-20.0, -3.0, -2.9, 0.0], requires_grad=True)  # s(-2.944) = 0.05
    loss = asymmetric_loss(x, torch.zeros(4), gamma_neg=0.5, reduction="none")
    (gradient,) = torch.autograd.grad(loss.sum(), x)
    assert loss.tolist()[:2] == [0.0, 0.0] and gradient.tolist()[:2] == [0.0, 0.0]
    assert (loss[2:] > 0).all() and (gradient[2:] > 0).all()


def test_parameters_out_of_range_are_refused_by_name():
    z, y, x, t = torch.zeros(2, 3), torch.tensor([0, 1]), torch.zeros(2), torch.ones(2)
    calls = [
        (lambda: class_balanced_weight([1, 2], beta=1.1), r"beta must be in \[0, 1\], got 1.1"),
        (lambda: balanced_softmax_loss(z, y, class_counts=[1, 2]), r"class_counts must have shape \(3,\)"),
        (lambda: focal_loss(z, y, gamma=-1), "gamma must be >= 0 and finite, got -1"),
        (lambda: focal_loss(z, y, alpha=torch.ones(2)), r"alpha must have shape \(3,\)"),
        (lambda: focal_loss(z, y, alpha=torch.tensor([1.0, -1, 1])), "alpha must be >= 0"),
        (lambda: sigmoid_focal_loss(x, t, alpha=1.5), r"alpha must be in \[0, 1\] or None, got 1.5"),
        (lambda: sigmoid_focal_loss(x, t, gamma=float("nan")), "gamma must be >= 0 and finite, got nan"),
        (lambda: asymmetric_loss(x, t, gamma_neg=-1), "gamma_neg must be >= 0"),
        (lambda: asymmetric_loss(x, t, gamma_pos=-1), "gamma_pos must be >= 0"),
        (lambda: asymmetric_loss(x, t, margin=1.0), r"margin must be in \[0, 1\), got 1.0"),
    ]
    for call, says in calls:
        with pytest.raises(ValueError, match=says):
            call()
