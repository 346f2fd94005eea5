"""The largest logit that multi-head attention reports, and MuonClip, which bounds it where training drives it up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from breadth.nn.attention import MultiheadAttention
from breadth.nn.norms import QKNorm
from breadth.nn.optim import Muon, MuonClip, qk_clip_
from breadth.nn.positions import RelativePositionBias, RoPE

B, L, E, H = 3, 6, 12, 4


def sequence(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def logits(layer: MultiheadAttention, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> np.ndarray:
    """Scaled products of queries and keys as the layer makes them, (B, H, L, S), without bias and mask."""
    q, k, _ = layer._heads(query, key, value)
    k = k.repeat_interleave(layer.num_heads // layer.num_kv_heads, 1)
    return (q @ k.mT * (layer.head_dim**-0.5 if layer.scale is None else layer.scale)).detach().numpy()


OPTIONS = {
    "packed": {},
    "no bias": {"bias": False},
    "grouped": {"num_kv_heads": 2},
    "separate": {"kdim": 7, "vdim": 5},
    "rotary": {"rope": RoPE(3 - 1), "scale": 0.7},
    "capped": {"softcap": 1.5, "position_bias": RelativePositionBias(H), "engine": "naive"},
    "window": {"window": 2},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_the_report_is_the_largest_visible_logit_and_the_clip_brings_it_to_tau(name):
    torch.manual_seed(0)
    layer = MultiheadAttention(E, H, batch_first=True, track_max_logits=True, **OPTIONS[name]).double()
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn(p.shape, dtype=torch.float64))
    x = sequence(B, L, E)
    inputs = (x, sequence(B, 5, 7, seed=1), sequence(B, 5, 5, seed=2)) if name == "separate" else (x, x, x)
    padding = torch.zeros(B, inputs[1].shape[1], dtype=torch.bool)
    padding[:, -1] = True
    found = logits(layer, *inputs)
    seen = np.ones(found.shape[2:], bool)
    if name == "window":
        i = np.arange(L)
        seen = np.abs(i[:, None] - i) < 2
    expected = np.where(seen & ~padding.numpy()[:, None, None], found, -np.inf).max((0, 2, 3))
    layer(*inputs, key_padding_mask=padding)
    np.testing.assert_allclose(layer.max_logits, expected, rtol=1e-13)
    assert not layer.max_logits.requires_grad
    tau = expected.min() / 2
    gamma = qk_clip_(layer.qk_heads(), layer.max_logits, tau=tau)
    # logits are bilinear in what is scaled, biases with it: each is multiplied by its head's factor
    np.testing.assert_allclose(logits(layer, *inputs), found * gamma.numpy()[:, None, None], rtol=1e-12, atol=1e-12)
    layer.max_logits = None
    layer(*inputs, key_padding_mask=padding)
    np.testing.assert_allclose(layer.max_logits, np.full(H, tau), rtol=1e-12)


def test_reports_gather_over_micro_batches_in_training_alone():
    layer = MultiheadAttention(E, H, track_max_logits=True, batch_first=True).double()
    parts = [sequence(B, L, E, seed=s) for s in range(3)]
    layer.eval()(10 * parts[0])
    assert layer.max_logits is None
    layer.train()
    for part in parts:
        layer(part, is_causal=True)
    gathered, layer.max_logits = layer.max_logits, None
    layer(torch.cat(parts), is_causal=True)
    torch.testing.assert_close(gathered, layer.max_logits, rtol=1e-13, atol=0)
    silent = MultiheadAttention(E, H, batch_first=True).double()
    silent(parts[0])
    assert silent.max_logits is None
    assert list(layer.state_dict()) == list(silent.state_dict())
    with pytest.raises(ValueError, match="track_max_logits must be False beside qk_norm"):
        MultiheadAttention(E, H, qk_norm=QKNorm(3), track_max_logits=True)


class Finder(nn.Module):
    """Attention that has to give every token its own value, and is better the larger its logits are."""

    def __init__(self, **options):
        super().__init__()
        torch.manual_seed(0)
        self.attention = MultiheadAttention(
            16, 2, bias=False, batch_first=True, track_max_logits=True, **options
        ).double()

    def loss(self, x):
        return (self.attention(x)[0] - x).square().mean()


def train(model, kind, steps, *, fresh, **options):
    """Largest logits behind each gradient and losses, on one batch or on a fresh one at each step."""
    layers = [[model.attention]] if kind is MuonClip else []
    optimizer = kind(list(model.parameters()), *layers, lr=0.02, weight_decay=0.0, **options)
    seen, losses = [], []
    for step in range(steps):
        optimizer.zero_grad()
        loss = model.loss(sequence(8, 12, 16, seed=step if fresh else 0))
        loss.backward()
        losses.append(loss.item())
        seen.append(model.attention.max_logits.max().item())
        optimizer.step()
        model.attention.max_logits = None
    return np.array(seen), losses


@pytest.mark.parametrize("options", [{}, {"num_kv_heads": 1}, {"rope": RoPE(8)}], ids=["own keys", "shared", "rotary"])
def test_muonclip_bounds_the_logits_of_real_attention_where_muon_lets_them_grow(options):
    free = {"adjust_lr_fn": "match_rms_adamw", "nesterov": False}
    # on one batch the clip is exact: what is left above tau is what one step adds
    grown, _ = train(Finder(**options), Muon, 300, fresh=False, **free)
    tau = grown.max() / 2.5
    held, losses = train(Finder(**options), MuonClip, 300, fresh=False, tau=tau)
    assert held.max() < 1.1 * tau
    assert held[-100:].min() > 0.9 * tau, "and it is not pushed below"
    assert losses[-1] < 0.5 * losses[0], "it learns all the same"
    # on fresh batches the largest of one says little of the next: logits are near tau, and do not grow
    grown, _ = train(Finder(**options), Muon, 300, fresh=True, **free)
    held, losses = train(Finder(**options), MuonClip, 300, fresh=True, tau=8.0)
    assert grown[-50:].mean() > 2.5 * 8
    assert held[-50:].mean() == pytest.approx(8, rel=0.1)
    assert held[-100:].max() < 2 * 8
    assert losses[-1] < 0.5 * losses[0]
