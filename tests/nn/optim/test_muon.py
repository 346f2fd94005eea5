"""Muon by the singular values of its step, and MuonClip by the logits of an attention layer that it trains."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from breadth.nn.optim import Muon, MuonClip, QKHeads, newton_schulz, qk_clip_

BAND = (0.68, 1.14)  # of five steps of the default polynomial, from singular values of 0.01 and more
SHAPES = [(8, 8), (20, 6), (6, 20), (1, 7), (7, 1), (1, 1), (3, 5, 4), (2, 3, 4, 5)]


def polynomial(s, steps, a, b, c):
    for _ in range(steps):
        s = a * s + b * s**3 + c * s**5
    return s


def random_matrix(m, n, singular_values, seed=0):
    rng = np.random.default_rng(seed)
    U, _ = np.linalg.qr(rng.normal(size=(m, len(singular_values))))
    V, _ = np.linalg.qr(rng.normal(size=(n, len(singular_values))))
    return U, V, torch.tensor(U * singular_values @ V.T)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("steps", [0, 1, 5])
def test_newton_schulz_applies_its_polynomial_to_the_singular_values(shape, steps):
    X = np.random.default_rng(0).normal(size=shape)
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    norm = np.linalg.norm(s, axis=-1, keepdims=True)
    expected = U * polynomial(s / norm, steps, 3.4445, -4.7750, 2.0315)[..., None, :] @ Vt
    found = newton_schulz(torch.tensor(X), steps=steps)
    # slopes of up to 3.4 a step multiply the rounding of a product
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(64, 64), (256, 16), (16, 256)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_every_direction_of_a_muon_step_has_a_length_in_the_band(shape, scale):
    rng = np.random.default_rng(0)
    _, _, G = random_matrix(*shape, scale * np.geomspace(0.02, 1, 16))
    W = torch.tensor(rng.normal(size=shape)).requires_grad_()
    before = W.detach().clone()
    optimizer = Muon([W], lr=0.1, weight_decay=0.0, momentum=0.0)
    W.grad = G
    optimizer.step()
    s = torch.linalg.svdvals((before - W.detach()) / (0.1 * math.sqrt(max(1, shape[0] / shape[1]))))
    assert BAND[0] <= s[15] and s[0] <= BAND[1]  # 16 directions have a gradient
    assert len(s) == 16 or s[16] < 1e-12 * 3.5**5, "directions without gradient do not move"


def test_the_band_is_that_of_the_polynomial_over_all_singular_values():
    s = polynomial(np.linspace(0.01, 1, 100_001), 5, 3.4445, -4.7750, 2.0315)
    assert BAND[0] < s.min() < BAND[0] + 0.01 and BAND[1] - 0.01 < s.max() < BAND[1]


@pytest.mark.parametrize("shape", [(50, 20), (20, 50), (30, 30)])
def test_matching_the_root_mean_square_makes_it_about_a_fifth_whatever_the_shape(shape):
    W = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
    W.grad = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    Muon([W], lr=1.0, weight_decay=0.0, adjust_lr_fn="match_rms_adamw").step()
    assert W.square().mean().sqrt().item() == pytest.approx(0.2, rel=0.2)


def test_gradients_of_zeros_and_of_one_direction_do_no_harm():
    W = torch.ones(4, 3, dtype=torch.float64, requires_grad=True)
    optimizer = Muon([W], lr=0.1, weight_decay=0.0)
    W.grad = torch.zeros(4, 3, dtype=torch.float64)
    optimizer.step()
    assert (W == 1).all()
    W.grad = torch.ones(4, 1, dtype=torch.float64).expand(4, 3)  # rank one, and one column in memory
    optimizer.step()
    assert torch.linalg.matrix_rank(1 - W.detach()) == 1 and W.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_iterates_in_float32_on_a_cpu(dtype):
    G = 300 * torch.randn(64, 64, generator=torch.Generator().manual_seed(0))  # its norm, 2e4, squared is over 65504
    moved = []
    for kind in (dtype, torch.float32):
        W = torch.zeros(64, 64, dtype=kind, requires_grad=True)
        W.grad = G.to(dtype).to(kind)
        Muon([W], lr=0.5, weight_decay=0.0, nesterov=False).step()
        moved.append(W.detach().float())
    # the momentum (1 - 0.95) G is rounded to the dtype before it is orthogonalised
    torch.testing.assert_close(moved[0], moved[1], rtol=0, atol=4 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_buffer_holds_the_momentum_and_not_its_orthogonal_factor(dtype):
    W = torch.zeros(4, 4, dtype=dtype, requires_grad=True)
    optimizer = Muon([W], momentum=0.5, nesterov=False, ns_dtype=torch.bfloat16)
    for _ in range(3):
        W.grad = torch.full((4, 4), 8.0, dtype=dtype)
        optimizer.step()
    assert (optimizer.state[W]["momentum_buffer"] == 7).all()  # 8 (1 - 0.5^3)


def test_a_state_of_torchs_muon_is_taken_over_with_its_dtype():
    def matrix():
        return torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()

    theirs, ours = torch.optim.Muon([matrix()], lr=0.1), Muon([matrix()])
    for step in range(6):
        if step == 3:
            with torch.no_grad():
                ours.param_groups[0]["params"][0].copy_(theirs.param_groups[0]["params"][0])
            ours.load_state_dict(theirs.state_dict())
            ours.state[ours.param_groups[0]["params"][0]]["momentum_buffer"] = next(iter(theirs.state.values()))[
                "momentum_buffer"
            ].clone()
        for optimizer in (theirs, ours) if step >= 3 else (theirs,):
            [W] = optimizer.param_groups[0]["params"]
            W.grad = torch.full((6, 4), float(step)).tril()
            optimizer.step()
    assert torch.equal(ours.param_groups[0]["params"][0], theirs.param_groups[0]["params"][0])
    Muon([matrix()]).load_state_dict(ours.state_dict())


def test_newton_schulz_says_what_it_takes():
    with pytest.raises(ValueError, match=r"X must have shape \(..., m, n\), got \(3,\)"):
        newton_schulz(torch.ones(3))
    with pytest.raises(ValueError, match="steps must be >= 0 and eps > 0, got -1 and 1e-07"):
        newton_schulz(torch.ones(3, 3), steps=-1)


class Heads(nn.Module):
    """Attention that does nothing but compare: queries and keys of some heads, and the report that MuonClip reads."""

    def __init__(self, d_model, n_heads, n_kv_heads, head_dim, *, bias=False, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.n_heads, self.n_kv_heads, self.head_dim = n_heads, n_kv_heads, head_dim

        def normal(*shape):
            return nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64) / math.sqrt(d_model))

        self.wq, self.wk = normal(n_heads * head_dim, d_model), normal(n_kv_heads * head_dim, d_model)
        self.bq = normal(n_heads * head_dim) if bias else None
        self.bk = normal(n_kv_heads * head_dim) if bias else None
        self.max_logits: Tensor | None = None

    def forward(self, x):
        q = nn.functional.linear(x, self.wq, self.bq).unflatten(-1, (self.n_heads, -1)).transpose(1, 2)  # (B, H, T, d)
        k = nn.functional.linear(x, self.wk, self.bk).unflatten(-1, (self.n_kv_heads, -1)).transpose(1, 2)
        logits = q @ k.repeat_interleave(self.n_heads // self.n_kv_heads, 1).mT / math.sqrt(self.head_dim)
        future = torch.ones(logits.shape[-2:], dtype=torch.bool).triu(1)
        self.max_logits = logits.detach().masked_fill(future, -torch.inf).amax((0, 2, 3))
        return logits.masked_fill(future, 0.0)

    def qk_heads(self):
        def split(t, n):
            return [] if t is None else [t.view(n, self.head_dim, *t.shape[1:])]

        return QKHeads(
            [*split(self.wq, self.n_heads), *split(self.bq, self.n_heads)],
            [*split(self.wk, self.n_kv_heads), *split(self.bk, self.n_kv_heads)],
        )


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("n_kv_heads", [4, 2, 1])
def test_clipping_multiplies_every_logit_of_a_loud_head_by_the_same_factor_and_no_other(n_kv_heads, bias):
    layer = Heads(16, 4, n_kv_heads, 8, bias=bias)
    x = torch.randn(3, 10, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    before = layer(x).detach()
    loudest = layer.max_logits.clone()
    tau = loudest.sort().values[1:3].mean().item()  # between the second and the third
    gamma = qk_clip_(layer.qk_heads(), loudest, tau=tau)
    after = layer(x).detach()
    assert (gamma < 1).sum() == 2
    torch.testing.assert_close(after, before * gamma[:, None, None], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(layer.max_logits, loudest.clamp(max=tau), rtol=1e-12, atol=0)


def test_clipping_scales_queries_of_shared_keys_by_all_of_the_factor():
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    # latent attention: keys of each head, and one rotary key that all heads share
    q, k, q_rope, k_rope = normal(2, 4, 6), normal(2, 4, 6), normal(2, 3, 6), normal(3, 6)
    x = normal(5, 6)

    def logits():
        own = torch.einsum("hdm,im,hdn,jn->hij", q, x, k, x)
        return own + torch.einsum("hdm,im,dn,jn->hij", q_rope, x, k_rope, x)

    before = logits()
    largest = before.amax((1, 2))
    gamma = qk_clip_(QKHeads([q], [k], [q_rope]), largest, tau=largest.min().item() / 2)
    torch.testing.assert_close(logits(), before * gamma[:, None, None], rtol=1e-12, atol=1e-12)


def test_a_report_that_cannot_be_true_changes_nothing():
    layer = Heads(8, 2, 2, 4)
    x = torch.ones(1, 3, 8, dtype=torch.float64)
    optimizer = MuonClip([layer.wq, layer.wk], [layer], lr=0.1)
    layer(x).sum().backward()
    start = [p.detach().clone() for p in layer.parameters()]
    layer.max_logits = torch.tensor([1.0, math.inf])
    with pytest.raises(ValueError, match=r"max_logits must be finite, got \[inf\] for heads \[1\]"):
        optimizer.step()
    layer.max_logits = None
    with pytest.raises(RuntimeError, match=r"attention\[0\] has reported no max_logits since the last step"):
        optimizer.step()
    assert all(torch.equal(p, was) for p, was in zip(layer.parameters(), start, strict=True))
    with pytest.raises(ValueError, match=r"queries must have shape \(3, ...\) beside max_logits, got \(2, 4, 8\)"):
        qk_clip_(layer.qk_heads(), torch.ones(3))
    with pytest.raises(ValueError, match="divides 2, got"):
        qk_clip_(QKHeads([torch.ones(2, 4)], [torch.ones(3, 4)]), torch.ones(2))
    for tau in (0.0, math.inf):
        with pytest.raises(ValueError, match=f"tau must be > 0 and finite, got {tau}"):
            MuonClip([layer.wq], [layer], tau=tau)


def train(layer, optimizer, steps):
    """Drive the logits apart, which makes them grow without end; the largest of each step, before it."""
    x = torch.randn(4, 12, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    seen = []
    for _ in range(steps):
        optimizer.zero_grad()
        logits = layer(x)
        seen.append(layer.max_logits.max().item())
        (-logits.diagonal(dim1=-2, dim2=-1).mean()).backward()  # every token shall look at itself
        optimizer.step()
    layer(x)
    return [*seen, layer.max_logits.max().item()]


@pytest.mark.parametrize("n_kv_heads", [4, 2])
def test_muonclip_holds_the_largest_logit_near_tau_where_muon_lets_it_grow(n_kv_heads):
    tau, lr, steps = 20.0, 0.02, 200
    free, held = Heads(16, 4, n_kv_heads, 8), Heads(16, 4, n_kv_heads, 8)
    grown = train(free, Muon([free.wq, free.wk], lr=lr, nesterov=False, adjust_lr_fn="match_rms_adamw"), steps)
    optimizer = MuonClip([held.wq, held.wk], [held], tau=tau, lr=lr)
    bounded = train(held, optimizer, steps)
    assert max(grown) > 3 * tau
    # the clip brings the reported logit to tau on the weights before the step; what the step itself adds stays on top
    crossed = next(i for i, largest in enumerate(bounded) if largest > tau)
    steepest = max(np.diff(grown[: crossed + 2]))
    assert max(bounded) <= tau + 1.5 * steepest < 1.2 * tau
    assert min(bounded[crossed + 1 :]) > 0.9 * tau, "and it is not pushed below"
    assert optimizer.gamma[0].shape == (4,) and (optimizer.gamma[0] < 1).any()


def test_muonclip_is_algorithm_1_of_its_paper():
    layer = Heads(16, 4, 4, 8)
    optimizer = MuonClip([layer.wq, layer.wk], [layer], tau=0.5, lr=0.05, weight_decay=0.1, momentum=0.9)
    generator = torch.Generator().manual_seed(2)
    W = [p.detach().numpy().copy() for p in (layer.wq, layer.wk)]
    M = [np.zeros_like(w) for w in W]
    for _ in range(20):
        x = torch.randn(2, 5, 16, generator=generator, dtype=torch.float64)
        optimizer.zero_grad()
        layer(x).square().mean().backward()
        grads = [p.grad.numpy() for p in (layer.wq, layer.wk)]
        q, k = ((x.numpy() @ w.T).reshape(2, 5, 4, 8) for w in W)
        logits = np.einsum("bihd,bjhd->bhij", q, k) / math.sqrt(8)
        largest = np.where(np.tril(np.ones((5, 5), bool)), logits, -np.inf).max((0, 2, 3))
        for i, g in enumerate(grads):
            M[i] = 0.9 * M[i] + g
            U, s, Vt = np.linalg.svd(M[i], full_matrices=False)
            moved = U * polynomial(s / np.linalg.norm(s), 5, 3.4445, -4.7750, 2.0315) @ Vt
            W[i] = W[i] - 0.05 * (moved * 0.2 * math.sqrt(max(W[i].shape)) + 0.1 * W[i])
        for h in np.flatnonzero(largest > 0.5):
            for w in W:
                w[8 * h : 8 * h + 8] *= math.sqrt(0.5 / largest[h])
        optimizer.step()
        for p, w in zip((layer.wq, layer.wk), W, strict=True):
            # the polynomial multiplies rounding by up to 3.4 a step
            np.testing.assert_allclose(p.detach().numpy(), w, rtol=0, atol=1e-10)
    assert layer.max_logits is None, "a report is used once"
