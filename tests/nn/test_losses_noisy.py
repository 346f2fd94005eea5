"""Losses that forgive wrong labels, beside mpmath at 60 digits."""

from __future__ import annotations

import mpmath
import pytest
import torch

from breadth.nn.losses.cross_entropy import cross_entropy
from breadth.nn.losses.noisy import (
    generalized_cross_entropy,
    hard_bootstrapping_loss,
    mae_loss,
    soft_bootstrapping_loss,
    symmetric_cross_entropy,
)
from tests.nn.exact import assert_equal_in_value_and_gradient, hard_logits, log_softmax, minus_log, rest, softmax


def test_mae_is_two_minus_twice_the_labelled_probability():
    z, y = hard_logits()
    labels = y.tolist()
    assert_equal_in_value_and_gradient(
        lambda z: mae_loss(z, y, reduction="none"), z, lambda z, i: 2 * rest(z, labels[i])
    )


def test_mae_summed_over_all_labels_is_constant():
    z, _ = hard_logits()
    every = [mae_loss(z, torch.full((len(z),), c), reduction="none") for c in range(5)]
    torch.testing.assert_close(sum(every), torch.full_like(every[0], 8), rtol=1e-12, atol=0)  # 2 (classes - 1)


@pytest.mark.parametrize("q", [0.0, 1e-9, 0.3, 0.7, 1.0])
def test_generalized_cross_entropy_is_that_of_60_digits(q):
    z, y = hard_logits()
    labels = y.tolist()

    def formula(z, i):
        p = mpmath.exp(-minus_log(z, labels[i]))
        return minus_log(z, labels[i]) if q == 0 else (1 - p ** mpmath.mpf(q)) / mpmath.mpf(q)

    assert_equal_in_value_and_gradient(lambda z: generalized_cross_entropy(z, y, q=q, reduction="none"), z, formula)


def test_generalized_cross_entropy_runs_from_cross_entropy_to_half_the_absolute_error():
    z, y = hard_logits()
    plain = cross_entropy(z, y, reduction="none")
    assert torch.equal(generalized_cross_entropy(z, y, q=0, reduction="none"), plain)
    near = generalized_cross_entropy(z, y, q=1e-12, reduction="none")
    torch.testing.assert_close(near, plain, rtol=1e-8, atol=0)  # q |log p| / 2, with |log p| up to 2e4
    half = mae_loss(z, y, reduction="none") / 2
    assert torch.equal(generalized_cross_entropy(z, y, q=1, reduction="none"), half)


def test_symmetric_cross_entropy_adds_the_reverse_with_log_0_set():
    z, y = hard_logits()
    labels = y.tolist()

    def formula(z, i):  # -sum_c p_c log t_c with log 1 = 0 and log 0 = -6
        reverse = -mpmath.fsum(p * (0 if c == labels[i] else -6) for c, p in enumerate(softmax(z)))
        return mpmath.mpf(0.1) * minus_log(z, labels[i]) + mpmath.mpf(0.7) * reverse

    assert_equal_in_value_and_gradient(
        lambda z: symmetric_cross_entropy(z, y, alpha=0.1, beta=0.7, log_zero=-6, reduction="none"), z, formula
    )
    absolute = mae_loss(z, y, reduction="none")
    torch.testing.assert_close(
        symmetric_cross_entropy(z, y, alpha=0, beta=1, log_zero=-2, reduction="none"), absolute, rtol=1e-15, atol=0
    )


@pytest.mark.parametrize("beta", [0.0, 0.95, 1.0])
def test_soft_bootstrapping_mixes_the_prediction_into_the_target(beta):
    z, y = hard_logits()
    labels = y.tolist()

    def formula(z, i):
        own = mpmath.fsum(p * minus_log(z, c) for c, p in enumerate(softmax(z)))
        return mpmath.mpf(beta) * minus_log(z, labels[i]) + (1 - mpmath.mpf(beta)) * own

    assert_equal_in_value_and_gradient(lambda z: soft_bootstrapping_loss(z, y, beta=beta, reduction="none"), z, formula)


@pytest.mark.parametrize("beta", [0.0, 0.8, 1.0])
def test_hard_bootstrapping_mixes_the_predicted_class_into_the_target(beta):
    z, y = hard_logits()
    labels, predicted = y.tolist(), z.argmax(1).tolist()  # which the gradient takes as given

    def formula(z, i):
        log_p = log_softmax(z)
        return -mpmath.mpf(beta) * log_p[labels[i]] - (1 - mpmath.mpf(beta)) * log_p[predicted[i]]

    assert_equal_in_value_and_gradient(lambda z: hard_bootstrapping_loss(z, y, beta=beta, reduction="none"), z, formula)


def test_bootstrapping_that_trusts_the_label_is_cross_entropy():
    z, y = hard_logits()
    plain = cross_entropy(z, y, reduction="none")
    assert torch.equal(soft_bootstrapping_loss(z, y, beta=1, reduction="none"), plain)
    assert torch.equal(hard_bootstrapping_loss(z, y, beta=1, reduction="none"), plain)


def test_soft_bootstrapping_leaves_classes_that_cannot_be_aside():
    z = torch.tensor([[1.0, 2.0, -torch.inf]], dtype=torch.float64, requires_grad=True)
    loss = soft_bootstrapping_loss(z, torch.tensor([0]), beta=0.5)
    assert loss == soft_bootstrapping_loss(z[:, :2], torch.tensor([0]), beta=0.5)
    assert torch.autograd.grad(loss, z)[0].isfinite().all()


def test_wrong_labels_pull_less_than_under_cross_entropy():
    z = torch.tensor([[6.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    wrong = torch.tensor([1])
    pull = [
        torch.autograd.grad(loss(z, wrong), z)[0].norm()
        for loss in (cross_entropy, generalized_cross_entropy, mae_loss)
    ]
    assert pull[0] > 10 * pull[1] > 10 * pull[2] > 0


def test_parameters_out_of_range_are_refused_by_name():
    z, y = torch.zeros(2, 3), torch.tensor([0, 1])
    calls = [
        (lambda: generalized_cross_entropy(z, y, q=1.2), r"q must be in \[0, 1\], got 1.2"),
        (lambda: symmetric_cross_entropy(z, y, alpha=-1), "alpha must be >= 0"),
        (lambda: symmetric_cross_entropy(z, y, beta=float("inf")), "beta must be >= 0 and finite, got inf"),
        (lambda: symmetric_cross_entropy(z, y, log_zero=0), "log_zero must be < 0"),
        (lambda: soft_bootstrapping_loss(z, y, beta=-0.1), r"beta must be in \[0, 1\], got -0.1"),
        (lambda: hard_bootstrapping_loss(z, y, beta=2), r"beta must be in \[0, 1\], got 2"),
    ]
    for call, says in calls:
        with pytest.raises(ValueError, match=says):
            call()
