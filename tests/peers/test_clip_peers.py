"""Clipping and skipped steps beside torch."""

from __future__ import annotations

import math

import pytest
import torch

from breadth.nn.clip import NonFiniteGradientWarning, clip_grad_norm_, clip_grad_value_, get_total_norm, guarded_step
from breadth.nn.optim import AdamW


def parameters():
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 4), (), (5,), (2, 3)]
    found = [torch.zeros(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    for p in found[1:]:
        p.grad = torch.randn(p.shape, generator=generator, dtype=p.dtype)
    found[3].grad = torch.randn(3, 2, generator=generator, dtype=torch.float64).T
    return found


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, math.inf])
@pytest.mark.parametrize("max_norm", [0.1, 2.5, 100.0])
def test_norms_and_clipped_gradients_are_torchs(p, max_norm):
    ours, theirs = parameters(), parameters()
    norm = clip_grad_norm_(ours, max_norm, p)
    # rtol: sums in another order
    torch.testing.assert_close(norm, torch.nn.utils.clip_grad_norm_(theirs, max_norm, p), rtol=1e-12, atol=0)
    for our, their in zip(ours[1:], theirs[1:], strict=True):
        torch.testing.assert_close(our.grad, their.grad, rtol=1e-12, atol=0)
    grads = [q.grad for q in ours[1:]]
    torch.testing.assert_close(get_total_norm(grads, p), torch.nn.utils.get_total_norm(grads, p), rtol=1e-12, atol=0)
    clip_grad_value_(ours, 0.05)
    torch.nn.utils.clip_grad_value_(theirs, 0.05)
    for our, their in zip(ours[1:], theirs[1:], strict=True):
        torch.testing.assert_close(our.grad, their.grad, rtol=1e-12, atol=0)


def test_the_same_steps_are_skipped_as_by_torchs_gradscaler():
    generator = torch.Generator().manual_seed(0)
    ours, theirs = (torch.ones(4, requires_grad=True) for _ in range(2))
    mine, peer = AdamW([ours], lr=0.1), torch.optim.AdamW([theirs], lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**20, growth_interval=10_000)
    for step in range(30):
        g = torch.randn(4, generator=generator)
        if step % 5 == 2:
            g[step % 4] = [math.nan, math.inf][step % 2]
        ours.grad, theirs.grad = g.clone(), scaler.scale(g)
        before = theirs.detach().clone()
        scaler.step(peer)
        scaler.update()
        if step % 5 == 2:
            with pytest.warns(NonFiniteGradientWarning):
                taken = guarded_step(mine).taken
        else:
            taken = guarded_step(mine).taken
        assert taken == (not torch.equal(theirs, before)) == (step % 5 != 2)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)  # float32, 24 steps
