"""Learned gates beside their equations in NumPy, and whether they learn which tokens matter."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from breadth.lm.gates import ThresholdGate, TokenGate, gated_softmax, keep_loss
from breadth.lm.prune import Prune

EXACT = {"rtol": 1e-12, "atol": 1e-12}  # sums of up to 16 terms in another order


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_threshold_s_mask_and_its_derivative_are_the_formulas_and_harden_as_the_temperature_falls():
    gate = ThresholdGate(4, final=0.2, temperature=0.05).double()
    np.testing.assert_allclose(gate.theta.detach(), [0.05, 0.1, 0.15, 0.2], rtol=1e-6)
    scores = draw(3, 6).softmax(-1)
    for layer in range(4):
        theta = gate.theta[layer].item()
        mask = gate(scores, layer)
        exact = 1 / (1 + np.exp(-(scores.numpy() - theta) / 0.05))
        np.testing.assert_allclose(mask.detach(), exact, **EXACT)
        (by_theta,) = torch.autograd.grad(mask.sum(), gate.theta)
        assert by_theta[layer].item() == pytest.approx(-(exact * (1 - exact)).sum() / 0.05, rel=1e-12)
        hard = gate(scores, layer, hard=True)
        assert torch.equal(hard, (scores >= theta).double())
        sharp = ThresholdGate(4, final=0.2, temperature=1e-6).double()
        assert (sharp(scores, layer) - hard).abs().max() < 1e-6


def test_a_threshold_learns_to_drop_the_tokens_that_cost_nothing():
    """Twenty tokens of importance 0.02 carry noise and two of 0.3 the answer: theta comes to lie between them."""
    gate = ThresholdGate(1, final=0.001, temperature=0.02)
    scores = torch.tensor([0.02] * 20 + [0.3] * 2)
    optimizer = torch.optim.Adam(gate.parameters(), lr=3e-3)
    worth = torch.tensor([0.0] * 20 + [1.0] * 2)
    for _ in range(300):
        mask = gate(scores, 0)
        loss = ((worth * (1 - mask)) ** 2).sum() + 0.1 * mask.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert 0.02 < gate.theta.item() < 0.3
    assert gate(scores, 0, hard=True).tolist() == worth.tolist()
    two = ThresholdGate(2, final=0.5)
    assert two.schedule() == (Prune(after=0, threshold=0.25),)
    assert two.schedule()[0].select(scores).tolist() == [20, 21]


def normed(x):
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5)


def gelu(x):
    from scipy.special import erf

    return x * (1 + erf(x / np.sqrt(2))) / 2


def test_a_gate_s_scores_are_the_paper_s_equations_token_by_token():
    gate = TokenGate(6, 4).double()
    x, kept = draw(2, 5, 6), torch.tensor([[1, 0, 1, 1, 0], [0, 0, 0, 0, 1]], dtype=torch.float64)
    w = {name: p.detach().numpy() for name, p in gate.named_parameters()}

    def mlp(part, v):
        return gelu(
            w[f"{part}.1.weight"] @ (normed(v) * w[f"{part}.0.weight"] + w[f"{part}.0.bias"]) + w[f"{part}.1.bias"]
        )

    exact = np.empty((2, 5, 2))
    for b in range(2):
        rows = x[b].numpy()
        everywhere = sum(d * mlp("all", v) for d, v in zip(kept[b].numpy(), rows, strict=True)) / kept[b].sum().item()
        for i, v in enumerate(rows):
            z = np.concatenate((mlp("local", v), everywhere))
            z = w["out.2.weight"] @ gelu(w["out.0.weight"] @ z + w["out.0.bias"]) + w["out.2.bias"]
            exact[b, i] = z - np.log(np.exp(z).sum())
    np.testing.assert_allclose(gate.scores(x, kept).detach(), exact, **EXACT)
    gate.eval()
    assert torch.equal(gate(x, kept), kept * torch.from_numpy(exact[..., 0] >= np.log(0.5)))


def test_draws_are_zero_or_one_with_the_gate_s_probabilities_and_never_bring_a_token_back():
    gate = TokenGate(6).double()
    x = draw(1, 3, 6).expand(4000, 3, 6)
    kept = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64).expand(4000, 3)
    decisions = gate(x, kept, generator=torch.Generator().manual_seed(0))
    assert ((decisions - decisions.round()).abs() < 1e-12).all()  # soft - soft, which is not always 0
    p = gate.scores(x, kept)[0, :, 0].exp().detach().numpy()
    share = decisions.mean(0).detach().numpy()
    assert share[1] == 0
    sigma = np.sqrt(p * (1 - p) / 4000)
    assert (np.abs(share - p)[[0, 2]] < 4 * sigma[[0, 2]]).all()
    assert torch.autograd.grad(decisions.sum(), gate.out[2].weight)[0].abs().sum() > 0


def test_gated_softmax_is_softmax_over_what_is_kept_and_a_dropped_token_sees_itself():
    scores = draw(2, 3, 5, 5)
    scores[0, 0] = scores[0, 0].masked_fill(torch.ones(5, 5).triu(1) > 0, -torch.inf)
    kept = torch.tensor([[1, 1, 0, 1, 0], [0, 1, 0, 0, 0]], dtype=torch.float64)
    found = gated_softmax(scores, kept)
    for b, h, i in np.ndindex(2, 3, 5):
        seen = [j for j in range(5) if kept[b, j] or j == i]
        exact = torch.zeros(5, dtype=torch.float64)
        exact[seen] = scores[b, h, i, seen].softmax(-1)
        torch.testing.assert_close(found[b, h, i], exact, rtol=1e-14, atol=1e-15)


def test_a_dropped_token_of_enormous_score_neither_overflows_nor_hides_the_others():
    scores = torch.zeros(1, 1, 3, 3)
    scores[..., 1] = 1e4
    kept = torch.tensor([[1.0, 0.0, 1.0]], requires_grad=True)
    found = gated_softmax(scores, kept)
    assert found[0, 0, 0].tolist() == [0.5, 0.0, 0.5]
    (gradient,) = torch.autograd.grad(found[0, 0, 0, 0], kept)
    assert gradient.isfinite().all() and gradient[0, 1] < 0


def test_a_gate_learns_which_tokens_carry_the_answer_and_keeps_the_share_that_was_asked_for():
    """Two of eight tokens are marked; their third coordinate sums to the label, that of the others is noise."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    gate = TokenGate(4, 16)
    optimizer = torch.optim.Adam(gate.parameters(), lr=1e-2)

    def batch(n):
        marked = torch.zeros(n, 8).scatter_(1, torch.rand(n, 8, generator=generator).topk(2, 1).indices, 1.0)
        value = torch.randn(n, 8, generator=generator)
        noise = torch.randn(n, 8, generator=generator)
        return torch.stack((4 * marked, -4 * marked, value, noise), -1), marked, (marked * value).sum(1)

    for _ in range(120):
        x, _, y = batch(64)
        kept = gate(x, generator=generator)
        loss = ((kept * x[..., 2]).sum(1) - y).square().mean() + 2 * keep_loss([kept], [0.25])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    gate.eval()
    x, marked, _ = batch(500)
    assert (gate(x) == marked).float().mean() > 0.98


def test_the_loss_of_shares_is_zero_where_they_are_met():
    kept = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]])
    assert keep_loss([kept[:1]], [0.25]).item() == 0
    assert keep_loss([kept, kept], [0.25, 0.5]).item() == pytest.approx((0 + 1 / 16 + 1 / 16 + 0) / 4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ThresholdGate(0), "n_layers must be >= 1"),
        (lambda: ThresholdGate(2, final=1.0), r"final must be in \[0, 1\)"),
        (lambda: ThresholdGate(2, temperature=0), "temperature must be > 0"),
        (lambda: ThresholdGate(2)(torch.ones(3), 2), r"layer must be in \[0, 2\), got 2"),
        (lambda: TokenGate(0), "d_model and hidden must be >= 1"),
        (lambda: gated_softmax(torch.ones(1, 1, 2, 3), torch.ones(1, 3)), "got"),
        (lambda: gated_softmax(torch.ones(1, 1, 3, 3), torch.ones(1, 2)), r"\(1, 2\)"),
        (lambda: keep_loss([], []), "at least one"),
        (lambda: keep_loss([torch.ones(1, 2)], [1.5]), r"\[0, 1\], got \[1.5\]"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()
