"""Small random models, one for each kind of switch, with every weight away from where it starts."""

from __future__ import annotations

from dataclasses import replace

import torch

from breadth.lm import LM, MLA, Layer, LMConfig, MoE, Rope

_PLAIN = LMConfig(
    vocab_size=61,
    d_model=32,
    n_heads=4,
    n_kv_heads=2,
    head_dim=8,
    d_ff=48,
    layers=(Layer(), Layer(), Layer()),
    ropes=(Rope(8, theta=100.0),),
    context_length=512,
)
_UNTURNED = replace(_PLAIN, ropes=(), layers=(Layer(rope=None),) * 3)
_MOE = MoE(n_experts=8, top_k=3, d_ff=20)

KINDS = {
    "plain": _PLAIN,
    "windows": replace(
        _PLAIN,
        layers=(Layer(window=5), Layer(rope=1), Layer(window=5), Layer(window=7)),
        ropes=(Rope(8, theta=100.0), Rope(4, theta=50.0, kind="linear", factor=2.0)),
        qk_norm="head",
        norm_placement="both",
        softcap=3.0,
        logit_softcap=4.0,
        embed_scale=32**0.5,
        attention_scale=0.3,
    ),
    "windows without caps": replace(_PLAIN, layers=(Layer(window=5), Layer(), Layer(window=70))),
    "chunks": replace(
        _PLAIN,
        layers=(Layer(chunk=6), Layer(rope=None, qk_norm=False), Layer(chunk=6, moe=True)),
        qk_norm="head",
        temperature=(4.0, 0.5),
        moe=replace(_MOE, top_k=1, score="sigmoid", normalize=False, scale_input=True, shared_d_ff=24),
    ),
    "sinks": replace(
        _PLAIN,
        layers=(Layer(window=5, moe=True), Layer(moe=True)),
        sinks=True,
        qkv_bias=True,
        o_bias=True,
        activation="clamped_swiglu",
        moe=replace(_MOE, bias=True),
        ropes=(Rope(8, theta=100.0, kind="yarn", factor=4.0, original_context=16, truncate=False, mscale=1.1),),
    ),
    "latent": replace(
        _PLAIN,
        n_kv_heads=4,
        head_dim=10,
        mla=MLA(q_rank=12, kv_rank=14, nope_dim=6, rope_dim=4, v_dim=5),
        ropes=(Rope(4, theta=100.0),),
        layers=(Layer(), Layer(moe=True), Layer(window=5)),
        moe=replace(_MOE, score="sigmoid", scale=2.5, correction=True, n_groups=4, top_groups=2, shared_d_ff=20),
    ),
    "latent without a query's": replace(
        _PLAIN,
        n_kv_heads=4,
        mla=MLA(q_rank=None, kv_rank=40, nope_dim=4, rope_dim=4, v_dim=4),
        ropes=(Rope(4, theta=100.0),),
        softcap=2.0,
    ),
    "distances": replace(_UNTURNED, relative=(8, 20), attention_scale=1.0, activation="relu", gated=False),
    "slopes": replace(_UNTURNED, alibi=True, layers=(Layer(rope=None), Layer(rope=None, window=5))),
    "learned": replace(
        _UNTURNED,
        norm="layer",
        n_kv_heads=4,
        learned_positions=512,
        activation="gelu_tanh",
        gated=False,
        qkv_bias=True,
        o_bias=True,
        ffn_bias=True,
        tied=True,
    ),
    "sinusoids": replace(_UNTURNED, norm="layer", norm_placement="residual", final_norm=False, sinusoidal=True),
    "behind": replace(_PLAIN, norm_placement="post", qk_norm="full"),
    "parallel": replace(_PLAIN, parallel=True, n_kv_heads=1),
}
BOTH_SIDES = replace(
    _UNTURNED,
    causal=False,
    norm="layer",
    norm_placement="residual",
    final_norm=False,
    embed_norm=True,
    learned_positions=512,
    token_types=2,
    mlm_head=True,
    tied=True,
    activation="gelu",
    gated=False,
    qkv_bias=True,
    ffn_bias=True,
)
TRANSLATOR = replace(KINDS["distances"], encoder=replace(KINDS["distances"], causal=False), logit_scale=0.3)


def perturbed(config: LMConfig, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> LM:
    """A model whose gains, biases, sinks and corrections are no longer 1 and 0."""
    torch.manual_seed(seed)
    model = LM(config).to(dtype).eval()
    g = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, p in [*model.named_parameters(), *model.named_buffers()]:
            noise = torch.randn(p.shape, generator=g, dtype=torch.float64)
            if p.dim() == 1 or name.endswith("bias"):
                p.add_((0.3 * noise).to(p.dtype))
            else:
                p.copy_(noise * p.shape[-1] ** -0.5)
    return model


def ids(batch: int, length: int, *, seed: int = 0, vocab: int = 61) -> torch.Tensor:
    return torch.randint(0, vocab, (batch, length), generator=torch.Generator().manual_seed(seed))
