"""Agreement of two predictions, its ramp, and its sum with cross entropy, beside mpmath at 60 digits."""

from __future__ import annotations

import math

import mpmath
import pytest
import torch

from breadth.nn.losses.consistency import consistency_loss, joint_semi_supervised_loss, ramp_up
from breadth.nn.losses.cross_entropy import cross_entropy
from tests.nn.exact import assert_equal_in_value_and_gradient, hard_logits, log_softmax, minus_log, softmax

DIVERGENCES = ["mse", "kl"]
ATOL = {"mse": 1e-15, "kl": 4e-12}  # the mean of logarithms is taken off them: 2e4, rounded, is off by 4e-12


def two_passes() -> torch.Tensor:
    """Eleven rows: five logits of one pass and five of the other, among them equal, huge and contrary ones."""
    z, _ = hard_logits()
    return torch.cat([z, z.roll(3, 0)], 1)


def disagreement(row, divergence):
    one, other = row[:5], row[5:]
    if divergence == "mse":
        return mpmath.fsum((p - t) ** 2 for p, t in zip(softmax(one), softmax(other), strict=True)) / 5
    log_p, log_t = log_softmax(one), log_softmax(other)
    return mpmath.fsum(mpmath.exp(t) * (t - p) for p, t in zip(log_p, log_t, strict=True))


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_consistency_is_that_of_60_digits_through_both_predictions(divergence):
    assert_equal_in_value_and_gradient(
        lambda z: consistency_loss(z[:, :5], z[:, 5:], divergence=divergence, reduction="none"),
        two_passes(),
        lambda row, i: disagreement(row, divergence),
        atol=ATOL[divergence],
    )


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_predictions_that_agree_cost_nothing_and_pull_nowhere(divergence):
    z, _ = hard_logits()
    leaf = z.clone().requires_grad_()
    loss = consistency_loss(leaf, z + 3, divergence=divergence, reduction="none")  # a softmax takes no notice of +3
    # atol: log p is rounded where the logits are 1e4, to 1e4 eps
    torch.testing.assert_close(loss, torch.zeros_like(loss), rtol=0, atol=1e-11)
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-11)


def test_squared_disagreement_is_bounded_where_kl_is_not():
    sure, contrary = torch.tensor([[1e4, 0.0]]), torch.tensor([[0.0, 1e4]])
    assert consistency_loss(sure, contrary) == 1  # 2 / classes
    assert consistency_loss(sure, contrary, divergence="kl") == 1e4


def test_kl_leaves_classes_aside_that_cannot_be_in_the_target():
    z = torch.tensor([[1.0, 2.0, 0.5]], dtype=torch.float64, requires_grad=True)
    t = torch.tensor([[0.0, 1.0, -torch.inf]], dtype=torch.float64)
    loss = consistency_loss(z, t, divergence="kl")
    p, q = z.softmax(1)[0, :2], t.softmax(1)[0, :2]
    torch.testing.assert_close(loss, (q * (q / p).log()).sum(), rtol=1e-14, atol=0)
    assert torch.autograd.grad(loss, z)[0].isfinite().all()


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_consistency_of_images_is_that_of_their_pixels(divergence):
    z, t = torch.randn(2, 2, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    of_images = consistency_loss(z, t, divergence=divergence, reduction="none")
    assert of_images.shape == (2, 4, 5)
    flat = [x.movedim(1, -1).reshape(-1, 3) for x in (z, t)]
    of_pixels = consistency_loss(*flat, divergence=divergence, reduction="none")
    torch.testing.assert_close(of_images.flatten(), of_pixels, rtol=1e-14, atol=1e-16)
    confident = torch.tensor([1.0, 0.0])
    masked = consistency_loss(z, t, divergence=divergence, sample_weight=confident)
    torch.testing.assert_close(masked, of_images[0].mean(), rtol=1e-14, atol=0)


def test_the_ramp_rises_as_a_gaussian_and_stays():
    assert ramp_up(0, 80) == math.exp(-5)
    assert ramp_up(40, 80) == pytest.approx(math.exp(-1.25), rel=1e-15)
    assert ramp_up(80, 80) == ramp_up(1000, 80) == ramp_up(0, 0) == 1
    steps = [ramp_up(s, 80) for s in range(81)]
    assert steps == sorted(set(steps))


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_the_joint_loss_adds_cross_entropy_where_there_is_a_label_and_consistency_everywhere(divergence):
    z, y = hard_logits()
    labels = [c if i % 3 else -100 for i, c in enumerate(y.tolist())]
    w = [0.5, 2.0, 1.0, 0.0, 3.0]

    def formula(row, i):
        supervised = 0 if labels[i] == -100 else w[labels[i]] * minus_log(row[:5], labels[i])
        return supervised + mpmath.mpf(0.3) * disagreement(row, divergence)

    target, weight = torch.tensor(labels), torch.tensor(w, dtype=torch.float64)
    options = {"unsupervised_weight": 0.3, "divergence": divergence, "weight": weight}
    assert_equal_in_value_and_gradient(
        lambda z: joint_semi_supervised_loss(z[:, :5], target, z[:, 5:], reduction="none", **options),
        two_passes(),
        formula,
        atol=ATOL[divergence],
    )
    each = joint_semi_supervised_loss(z, target, z.roll(3, 0), reduction="none", **options)
    assert joint_semi_supervised_loss(z, target, z.roll(3, 0), **options) == each.mean()


def test_the_share_of_labels_in_a_batch_does_not_shift_the_balance():
    z, y = hard_logits()
    other = z.roll(1, 0)
    every = joint_semi_supervised_loss(z, y, other, unsupervised_weight=0)
    assert every == cross_entropy(z, y)
    few = torch.where(torch.arange(len(y)) == 0, y, -100)
    torch.testing.assert_close(
        joint_semi_supervised_loss(z, few, other, unsupervised_weight=0),
        cross_entropy(z[:1], y[:1]) / len(y),
        rtol=1e-14,
        atol=0,
    )
    none = joint_semi_supervised_loss(z, torch.full_like(y, -100), other, unsupervised_weight=2.0)
    torch.testing.assert_close(none, 2 * consistency_loss(z, other), rtol=1e-14, atol=0)


def test_unlabelled_examples_move_the_boundary_to_where_the_two_views_agree():
    """Two moons would take a network; a line and one noisy direction do: labels say nothing of the second feature."""
    rng = torch.Generator().manual_seed(0)
    n = 400
    y = torch.randint(0, 2, (n,), generator=rng)
    x = torch.stack([2.0 * y - 1 + 0.7 * torch.randn(n, generator=rng), torch.randn(n, generator=rng)], 1)
    x[:4], y[:4] = torch.tensor([[1.0, 2.0], [1.2, 1.5], [-1.0, -2.0], [-0.8, -1.5]]), torch.tensor([1, 1, 0, 0])
    target = torch.where(torch.arange(n) < 4, y, -100)

    def second_weight(unsupervised_weight):
        layer = torch.nn.Linear(2, 2)
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
        optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
        for _ in range(150):
            noise = [torch.randn(n, generator=rng) for _ in range(2)]  # of the second feature, which is no matter
            views = [layer(x + torch.stack([torch.zeros(n), e], 1)) for e in noise]
            loss = joint_semi_supervised_loss(views[0], target, views[1], unsupervised_weight=unsupervised_weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        w = (layer.weight[1] - layer.weight[0]).detach()
        return abs(w[1] / w[0]).item()

    assert second_weight(1.0) < 0.5 * second_weight(0.0)


def test_parameters_out_of_range_are_refused_by_name():
    z, y = torch.zeros(2, 3), torch.tensor([0, -100])
    calls = [
        (lambda: consistency_loss(z, z, divergence="l1"), "divergence must be one of 'mse', 'kl', got 'l1'"),
        (lambda: consistency_loss(z, z[:1]), r"target_logits must have the shape of logits, \(2, 3\), got \(1, 3\)"),
        (lambda: consistency_loss(z, z, sample_weight=torch.tensor([-1.0, 1])), "sample_weight must be >= 0"),
        (lambda: joint_semi_supervised_loss(z, y, z, unsupervised_weight=-1), "unsupervised_weight must be >= 0"),
        (lambda: joint_semi_supervised_loss(z, y + 5, z, unsupervised_weight=1), "target must hold class indices"),
        (lambda: ramp_up(-1, 2), "step must be >= 0 and finite, got -1"),
        (lambda: ramp_up(1, float("nan")), "length must be >= 0 and finite, got nan"),
    ]
    for call, says in calls:
        with pytest.raises(ValueError, match=says):
            call()
    with pytest.raises(TypeError, match="logits must be floating point"):
        consistency_loss(z.long(), z.long())
