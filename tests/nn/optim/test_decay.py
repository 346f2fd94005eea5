"""Decay of weights: coupled and decoupled, where they agree and where they part."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from breadth.nn.optim import SGD, Adam, AdamW, Muon, decay_groups, weight_decay_


def ends(make, gradients, **options):
    """Where parameters that start at 1 end, after the same gradients."""
    p = torch.ones(gradients.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = make([p], lr=0.1, **options)
    for g in gradients:
        p.grad = torch.tensor(g)
        optimizer.step()
    return p.detach()


def test_decoupled_decay_is_l2_under_plain_sgd_alone():
    gradients = np.random.default_rng(0).normal(size=(100, 50))
    shrink = 0.02  # a step: lr * weight_decay, with lr = 0.1 an L2 coefficient of shrink / lr
    coupled = {"weight_decay": shrink / 0.1}
    decoupled = coupled | {"decoupled_weight_decay": True}

    def differ(make, **more):
        return (ends(make, gradients, **coupled, **more) - ends(make, gradients, **decoupled, **more)).abs().max()

    assert differ(SGD) < 1e-14  # rounding: the same sum in another order
    assert differ(SGD, momentum=0.9) > 0.1, "momentum carries the penalty's gradient on"
    assert differ(SGD, momentum=0.9, dampening=0.9) > 0.01, "as an average, too"
    assert differ(Adam) > 0.1, "Adam divides it by the root of its second moment"


def test_plain_sgd_and_its_decay_are_the_textbooks():
    gradients = np.random.default_rng(0).normal(size=(100, 5))
    theta = np.ones(5)
    heavy, v = np.ones(5), np.zeros(5)
    for t, g in enumerate(gradients):
        theta = (1 - 0.1 * 0.2) * theta - 0.1 * g
        v = 0.9 * v + (g if t == 0 else 0.6 * g)
        heavy = (1 - 0.1 * 0.2) * heavy - 0.1 * v
    options = {"weight_decay": 0.2, "decoupled_weight_decay": True}
    np.testing.assert_allclose(ends(SGD, gradients, **options), theta, rtol=1e-13)
    np.testing.assert_allclose(ends(SGD, gradients, momentum=0.9, dampening=0.4, **options), heavy, rtol=1e-12)
    # ascent turns the gradient's sign and not the decay's
    np.testing.assert_allclose(ends(SGD, -gradients, maximize=True, **options), theta, rtol=1e-13)


def test_coupled_decay_hardly_touches_weights_with_large_gradients_under_adam():
    # gradients that change sign every step, ten and a hundred times the penalty's
    gradients = np.array([0.1, 1.0]) * np.resize([1.0, -1.0], 200)[:, None]
    options = {"betas": (0.9, 0.999), "weight_decay": 0.01}
    lost = ends(Adam, gradients) - ends(Adam, gradients, **options)
    assert lost[0] > 4 * lost[1] > 0  # 10 times at first; what has shrunk shrinks less
    lost = ends(AdamW, gradients, weight_decay=0.0) - ends(AdamW, gradients, **options)
    torch.testing.assert_close(lost[0], lost[1], rtol=1e-6, atol=0)  # eps beside gradients of two sizes


@pytest.mark.parametrize("make", [SGD, AdamW, Muon])
def test_without_gradient_every_optimizers_decay_is_weight_decay_(make):
    options = {"decoupled_weight_decay": True} if make is SGD else {}
    W, shrunk = torch.ones(3, 2, dtype=torch.float64, requires_grad=True), torch.ones(3, 2, dtype=torch.float64)
    optimizer = make([W], lr=0.1, weight_decay=0.3, **options)
    for _ in range(50):
        W.grad = torch.zeros(3, 2, dtype=torch.float64)
        optimizer.step()
        weight_decay_([shrunk], 0.1 * 0.3)
    torch.testing.assert_close(W.detach(), shrunk, rtol=1e-14, atol=0)
    np.testing.assert_allclose(shrunk, math.exp(50 * math.log1p(-0.03)), rtol=1e-13)


def test_the_rate_of_decay_is_a_share():
    p = torch.ones(2, requires_grad=True)
    weight_decay_([p], 0)
    weight_decay_([], 0.5)
    weight_decay_(iter([p, torch.ones(0)]), 1)
    assert p.tolist() == [0, 0] and p.grad_fn is None
    for rate in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=rf"rate must be in \[0, 1\], got {rate}; an optimizer's is lr"):
            weight_decay_([p], rate)


def test_matrices_decay_and_vectors_do_not():
    shared = nn.Linear(4, 4)
    model = nn.ModuleDict(
        {"embed": nn.Embedding(5, 4), "conv": nn.Conv1d(4, 4, 2), "norm": nn.LayerNorm(4), "a": shared, "b": shared}
    )
    model["conv"].bias.requires_grad_(False)
    matrices, vectors = decay_groups(model, 0.1)
    assert matrices["weight_decay"] == 0.1 and vectors["weight_decay"] == 0
    assert [name for name, _ in matrices["params"]] == ["embed.weight", "conv.weight", "a.weight"]
    assert [name for name, _ in vectors["params"]] == ["norm.weight", "norm.bias", "a.bias"]
    optimizer = AdamW([matrices, vectors])
    assert optimizer.param_groups[1]["param_names"] == ["norm.weight", "norm.bias", "a.bias"]
    assert len(decay_groups(nn.LayerNorm(3), 0.1)) == 1, "no group is empty, which torch refuses"
    with pytest.raises(ValueError, match="weight_decay must be >= 0, got -1"):
        decay_groups(model, -1)
    with pytest.raises(ValueError, match="module must have parameters that require a gradient; ReLU has none"):
        decay_groups(nn.ReLU(), 0.1)
