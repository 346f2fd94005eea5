"""Latent attention beside the paper's equations in NumPy, and decoding on the latents beside the plain form."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from breadth.nn.attention.latent import LatentAttention
from breadth.nn.positions import RoPE

B, L, D, H = 2, 6, 10, 3
SIZES = {"kv_rank": 5, "nope_dim": 4, "rope_dim": 2, "value_dim": 3}
EXACT = {"rtol": 1e-12, "atol": 1e-12}  # sums of up to 10 terms of size 1, four projections deep


def made(**options) -> LatentAttention:
    module = LatentAttention(D, H, **{**SIZES, "q_rank": 7, **options}).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) / p.shape[-1] ** 0.5)
    return module


def sequence(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def normalised(x, weight):
    return x / np.sqrt((x**2).mean() + 1e-6) * weight


def turned(x, position):
    """Pairs (2i, 2i + 1) as complex numbers."""
    theta = 10_000.0 ** (-np.arange(0, len(x), 2) / len(x))
    z = (x[0::2] + 1j * x[1::2]) * np.exp(1j * position * theta)
    return np.stack((z.real, z.imag), -1).ravel()


def by_the_paper(module: LatentAttention, x: np.ndarray) -> np.ndarray:
    """Equations 37 to 47 of arXiv:2405.04434, one token, one head and one key at a time."""
    w = {name: t.numpy() for name, t in module.state_dict().items()}
    out = np.zeros_like(x)
    nope, rope, value, rank = module.nope_dim, module.rope_dim, module.value_dim, module.kv_rank
    up = w["kv_b_proj.weight"].reshape(H, nope + value, rank)
    for b in range(len(x)):
        keys, values = [], []
        for t in range(x.shape[1]):
            down = w["kv_a_proj_with_mqa.weight"] @ x[b, t]
            c = normalised(down[:rank], w["kv_a_layernorm.weight"])
            k_r = turned(down[rank:], t)
            keys.append([np.concatenate((up[h, :nope] @ c, k_r)) for h in range(H)])
            values.append([up[h, nope:] @ c for h in range(H)])
            if module.q_rank is None:
                q = w["q_proj.weight"] @ x[b, t]
            else:
                q = w["q_b_proj.weight"] @ normalised(w["q_a_proj.weight"] @ x[b, t], w["q_a_layernorm.weight"])
            heads = []
            for h, q_h in enumerate(q.reshape(H, nope + rope)):
                q_h = np.concatenate((q_h[:nope], turned(q_h[nope:], t)))
                scores = np.array([q_h @ keys[j][h] for j in range(t + 1)]) / np.sqrt(nope + rope)
                p = np.exp(scores - scores.max())
                heads.append(sum(p_j * values[j][h] for j, p_j in enumerate(p / p.sum())))
            out[b, t] = w["o_proj.weight"] @ np.concatenate(heads)
    return out


@pytest.mark.parametrize("q_rank", [None, 7])
def test_both_forms_are_the_equations_of_the_paper(q_rank):
    module = made(q_rank=q_rank)
    x = sequence(B, L, D)
    expected = by_the_paper(module, x.numpy())
    with torch.no_grad():
        np.testing.assert_allclose(module(x).numpy(), expected, **EXACT)
        np.testing.assert_allclose(module.decode(x)[0].numpy(), expected, **EXACT)


def test_decoding_on_the_latents_is_the_plain_form_at_any_step_in_value_and_gradient():
    module = made(bias=True)
    x = sequence(B, L, D).requires_grad_()
    whole = module(x)
    for steps in ([1] * L, [4, 1, 1], [2, 4]):
        latents, outs = None, []
        for new in x.split(steps, 1):
            out, latents = module.decode(new, latents)
            outs.append(out)
        assert latents.shape == (B, L, SIZES["kv_rank"] + SIZES["rope_dim"])  # whatever the number of heads
        stepped = torch.cat(outs, 1)
        torch.testing.assert_close(stepped, whole, **EXACT)
        leaves = [x, *module.parameters()]
        pairs = (torch.autograd.grad(o.square().sum(), leaves, retain_graph=True) for o in (stepped, whole))
        for ours, plain in zip(*pairs, strict=True):
            torch.testing.assert_close(ours, plain, **EXACT)


def test_heads_share_the_latent_and_not_their_keys_as_grouped_queries_would():
    module = made()
    keys = module.kv_b_proj.weight.unflatten(0, (H, -1))[:, : SIZES["nope_dim"]]
    latent = sequence(20, SIZES["kv_rank"])
    per_head = [latent @ rows.mT for rows in keys]
    assert torch.linalg.matrix_rank(torch.cat(per_head, -1)) == SIZES["kv_rank"]  # all of one latent
    for h in range(H):
        for g in range(h):
            assert not torch.allclose(per_head[h], per_head[g])
    published = LatentAttention(7168, 128, device="meta")  # DeepSeek-V3
    assert published.kv_a_proj_with_mqa.weight.shape == (512 + 64, 7168)
    assert published.kv_b_proj.weight.shape == (128 * (128 + 128), 512)


def test_a_mask_a_rope_of_its_own_and_short_and_wild_inputs():
    module = made(rope=RoPE(2, base=100.0))
    x = sequence(B, L, D)
    seen = torch.tensor([True] * 4 + [False] * 2)
    torch.testing.assert_close(module(x, mask=seen)[:, :4], module(x[:, :4]), **EXACT)
    assert not module(x, mask=torch.zeros(L, L, dtype=torch.bool)).any()
    assert module(x[:, :0]).shape == (B, 0, D)
    torch.testing.assert_close(module(x[:1, :1]), module.decode(x[:1, :1])[0], **EXACT)
    views = x.transpose(0, 1).contiguous().transpose(0, 1)
    torch.testing.assert_close(module(views), module(x), **EXACT)
    assert torch.equal(module(x, causal=False)[:, -1].isfinite(), torch.ones(B, D, dtype=torch.bool))
    spoiled = x.clone()
    spoiled[0, 3] = torch.nan
    nan = module(spoiled).isnan().any(-1)
    assert nan[0, 3:].all()
    assert not nan[1].any()
    with torch.autocast("cpu", torch.bfloat16):
        near, latents = module.float().decode(x.float())
        assert latents.dtype in (torch.bfloat16, torch.float32)
    # a few roundings to 8 bits of values of size 1
    torch.testing.assert_close(near.double(), module.double()(x), rtol=0, atol=0.1)
    half = module.half()
    assert half((1000 * x).half()).isfinite().all()  # the normaliser takes the size away


def test_what_does_not_fit_is_refused_by_name():
    module = made()
    x = torch.zeros(B, L, D).double()
    calls = [
        (lambda: made(kv_rank=0), "kv_rank must be >= 1, got 0"),
        (lambda: made(rope_dim=3), "dim must be even"),
        (lambda: module(x[..., :4]), r"x must have shape \(batch, length, 10\), got \(2, 6, 4\)"),
        (lambda: module.decode(x[0]), r"x must have shape \(batch, length, 10\), got \(6, 10\)"),
        (lambda: module.decode(x, x), r"latents must have shape \(2, length, 7\), got \(2, 6, 10\)"),
    ]
    for call, says in calls:
        with pytest.raises(ValueError, match=says):
            call()
