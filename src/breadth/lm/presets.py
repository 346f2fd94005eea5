"""Published architectures at their published sizes, and the same in small.

Nothing here needs torch. Sizes are those of the checkpoints' own `config.json` or, where there is none, of the paper.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from breadth.lm.config import MLA, Layer, LMConfig, MoE, Rope


def gpt2_xl() -> LMConfig:
    """Radford et al. 2019, table 2; 1.56 billion parameters."""
    return LMConfig(
        vocab_size=50_257, d_model=1600, n_heads=25, n_kv_heads=25, head_dim=64, d_ff=6400,
        layers=48 * (Layer(rope=None),), context_length=1024, norm="layer", norm_eps=1e-5, qkv_bias=True, o_bias=True,
        ffn_bias=True, activation="gelu_tanh", gated=False, learned_positions=1024, tied=True,
    )  # fmt: skip


def bert_base() -> LMConfig:
    """Devlin et al. 2019, arXiv:1810.04805, section 3; 110 million parameters."""
    return LMConfig(
        vocab_size=30_522, d_model=768, n_heads=12, n_kv_heads=12, head_dim=64, d_ff=3072,
        layers=12 * (Layer(rope=None),), context_length=512, causal=False, norm="layer", norm_eps=1e-12,
        norm_placement="residual", final_norm=False, embed_norm=True, qkv_bias=True, o_bias=True, ffn_bias=True,
        activation="gelu", gated=False, learned_positions=512, token_types=2, tied=True, mlm_head=True,
    )  # fmt: skip


def t5_base() -> LMConfig:
    """Raffel et al. 2020, arXiv:1910.10683, section 2.1; 223 million parameters."""
    decoder = LMConfig(
        vocab_size=32_128, d_model=768, n_heads=12, n_kv_heads=12, head_dim=64, d_ff=3072,
        layers=12 * (Layer(rope=None),), context_length=512, attention_scale=1.0, relative=(32, 128),
        activation="relu", gated=False, tied=True, logit_scale=768**-0.5,
    )  # fmt: skip
    return replace(decoder, encoder=replace(decoder, causal=False, logit_scale=1.0))


def palm_540b() -> LMConfig:
    """Chowdhery et al. 2022, arXiv:2204.02311, table 1 and section 2. Its layer norms have no biases, ours have."""
    return LMConfig(
        vocab_size=256_000, d_model=18_432, n_heads=48, n_kv_heads=1, head_dim=256, d_ff=73_728,
        layers=118 * (Layer(),), ropes=(Rope(256),), context_length=2048, norm="layer", parallel=True, tied=True,
    )  # fmt: skip


def glm_10b() -> LMConfig:
    """Du et al. 2022, arXiv:2103.10360: two positions, of the blank in the text and inside the blank."""
    return LMConfig(
        vocab_size=50_304, d_model=4096, n_heads=64, n_kv_heads=64, head_dim=64, d_ff=16_384,
        layers=48 * (Layer(rope=None),), context_length=1024, norm="layer", norm_eps=1e-5, qkv_bias=True, o_bias=True,
        ffn_bias=True, activation="gelu", gated=False, learned_positions=1025, span_positions=1025, tied=True,
    )  # fmt: skip


def llama_3_2_1b() -> LMConfig:
    """Llama Team 2024, arXiv:2407.21783, section 3.2, at the 1.24 billion parameters of Llama 3.2."""
    rope = Rope(64, 500_000.0, "llama3", 32.0, original_context=8192)
    return LMConfig(
        vocab_size=128_256, d_model=2048, n_heads=32, n_kv_heads=8, head_dim=64, d_ff=8192, layers=16 * (Layer(),),
        ropes=(rope,), context_length=131_072, norm_eps=1e-5, tied=True,
    )  # fmt: skip


def _llama_4(n_experts: int, *, every: int, context_length: int, rope: Rope, qk_norm: bool) -> LMConfig:
    turned = [(i + 1) % 4 != 0 for i in range(48)]
    layers = tuple(
        Layer(rope=0 if t else None, chunk=8192 if t else None, moe=(i + 1) % every == 0, qk_norm=t and qk_norm)
        for i, t in enumerate(turned)
    )
    moe = MoE(n_experts, 1, 8192, shared_d_ff=8192, score="sigmoid", normalize=False, scale_input=True)
    return LMConfig(
        vocab_size=202_048, d_model=5120, n_heads=40, n_kv_heads=8, head_dim=128, d_ff=16_384, layers=layers,
        ropes=(rope,), context_length=context_length, norm_eps=1e-5, qk_norm="head" if qk_norm else None,
        temperature=(8192, 0.1), moe=moe,
    )  # fmt: skip


def llama_4_scout() -> LMConfig:
    """Meta 2025, Llama 4 Scout, the text model; 17 of 109 billion parameters."""
    rope = Rope(128, 500_000.0, "llama3", 16.0, original_context=8192, low=1.0, high=1.0)
    return _llama_4(16, every=1, context_length=10_485_760, rope=rope, qk_norm=True)


def llama_4_maverick() -> LMConfig:
    """Meta 2025, Llama 4 Maverick, the text model: experts in every second layer; 17 of 400 billion parameters."""
    return _llama_4(128, every=2, context_length=1_048_576, rope=Rope(128, 500_000.0), qk_norm=False)


def olmo_2_7b() -> LMConfig:
    """OLMo Team 2024, arXiv:2501.00656; 7.3 billion parameters."""
    return LMConfig(
        vocab_size=100_352, d_model=4096, n_heads=32, n_kv_heads=32, head_dim=128, d_ff=11_008, layers=32 * (Layer(),),
        ropes=(Rope(128, 500_000.0),), context_length=4096, norm_placement="post", qk_norm="full",
    )  # fmt: skip


def gemma_3_4b() -> LMConfig:
    """Gemma Team 2025, arXiv:2503.19786, section 2, the text model; 3.9 billion parameters."""
    layers = tuple(Layer(rope=0) if (i + 1) % 6 == 0 else Layer(rope=1, window=1024) for i in range(34))
    return LMConfig(
        vocab_size=262_208, d_model=2560, n_heads=8, n_kv_heads=4, head_dim=256, d_ff=10_240, layers=layers,
        ropes=(Rope(256, 1e6, "linear", 8.0), Rope(256)), context_length=131_072, norm_placement="both",
        qk_norm="head", attention_scale=256**-0.5, activation="gelu_tanh", embed_scale=2560**0.5, tied=True,
    )  # fmt: skip


def qwen3_0_6b() -> LMConfig:
    """Qwen Team 2025, arXiv:2505.09388, table 1; 0.6 billion parameters."""
    return LMConfig(
        vocab_size=151_936, d_model=1024, n_heads=16, n_kv_heads=8, head_dim=128, d_ff=3072, layers=28 * (Layer(),),
        ropes=(Rope(128, 1e6),), context_length=40_960, qk_norm="head", tied=True,
    )  # fmt: skip


def qwen3_30b_a3b() -> LMConfig:
    """Qwen Team 2025, arXiv:2505.09388, table 2; 3.3 of 30.5 billion parameters."""
    return LMConfig(
        vocab_size=151_936, d_model=2048, n_heads=32, n_kv_heads=4, head_dim=128, d_ff=6144,
        layers=48 * (Layer(moe=True),), ropes=(Rope(128, 1e6),), context_length=40_960, qk_norm="head",
        moe=MoE(128, 8, 768),
    )  # fmt: skip


def smollm3_3b() -> LMConfig:
    """Hugging Face 2025, SmolLM3-3B: no rotation in every fourth layer; 3.1 billion parameters."""
    return LMConfig(
        vocab_size=128_256, d_model=2048, n_heads=16, n_kv_heads=4, head_dim=128, d_ff=11_008,
        layers=9 * (3 * (Layer(),) + (Layer(rope=None),)), ropes=(Rope(128, 5e6),), context_length=65_536, tied=True,
    )  # fmt: skip


def _latent(n_heads: int, *, vocab_size: int, dense: int, moe: MoE, rope: Rope, context_length: int) -> LMConfig:
    gain = 0.1 * math.log(rope.factor) + 1
    return LMConfig(
        vocab_size=vocab_size, d_model=7168, n_heads=n_heads, n_kv_heads=n_heads, head_dim=192, d_ff=18_432,
        layers=dense * (Layer(),) + (61 - dense) * (Layer(moe=True),), ropes=(rope,), context_length=context_length,
        attention_scale=192**-0.5 * gain**2, mla=MLA(1536, 512, 128, 64, 128), moe=moe,
    )  # fmt: skip


def deepseek_v3() -> LMConfig:
    """DeepSeek-AI 2024, arXiv:2412.19437, section 4.2 (R1 is the same); 37 of 671 billion parameters."""
    moe = MoE(256, 8, 2048, 2048, "sigmoid", scale=2.5, correction=True, n_groups=8, top_groups=4)
    rope = Rope(64, 10_000.0, "yarn", 40.0, original_context=4096)
    return _latent(128, vocab_size=129_280, dense=3, moe=moe, rope=rope, context_length=163_840)


def kimi_k2() -> LMConfig:
    """Kimi Team 2025, arXiv:2507.20534, table 2; 32 of 1,026 billion parameters."""
    moe = MoE(384, 8, 2048, 2048, "sigmoid", scale=2.827, correction=True)
    rope = Rope(64, 50_000.0, "yarn", 32.0, original_context=4096, beta_fast=1.0, beta_slow=1.0)
    return _latent(64, vocab_size=163_840, dense=1, moe=moe, rope=rope, context_length=131_072)


def _gpt_oss(n_layers: int, n_experts: int) -> LMConfig:
    rope = Rope(
        64, 150_000.0, "yarn", 32.0, original_context=4096, truncate=False, mscale=0.1 * math.log(32.0) + 1
    )  # fmt: skip
    return LMConfig(
        vocab_size=201_088, d_model=2880, n_heads=64, n_kv_heads=8, head_dim=64, d_ff=2880,
        layers=n_layers // 2 * (Layer(window=128, moe=True), Layer(moe=True)), ropes=(rope,), context_length=131_072,
        norm_eps=1e-5, sinks=True, qkv_bias=True, o_bias=True, activation="clamped_swiglu",
        moe=MoE(n_experts, 4, 2880, bias=True),
    )  # fmt: skip


def gpt_oss_20b() -> LMConfig:
    """OpenAI 2025, arXiv:2508.10925, table 1; 3.6 of 20.9 billion parameters."""
    return _gpt_oss(24, 32)


def gpt_oss_120b() -> LMConfig:
    """OpenAI 2025, arXiv:2508.10925, table 1; 5.1 of 116.8 billion parameters."""
    return _gpt_oss(36, 128)


PRESETS: dict[str, Callable[[], LMConfig]] = {
    "gpt2-xl": gpt2_xl,
    "bert-base": bert_base,
    "t5-base": t5_base,
    "palm-540b": palm_540b,
    "glm-10b": glm_10b,
    "llama-3.2-1b": llama_3_2_1b,
    "llama-4-scout": llama_4_scout,
    "llama-4-maverick": llama_4_maverick,
    "olmo-2-7b": olmo_2_7b,
    "gemma-3-4b": gemma_3_4b,
    "qwen3-0.6b": qwen3_0_6b,
    "qwen3-30b-a3b": qwen3_30b_a3b,
    "smollm3-3b": smollm3_3b,
    "deepseek-v3": deepseek_v3,
    "kimi-k2": kimi_k2,
    "gpt-oss-20b": gpt_oss_20b,
    "gpt-oss-120b": gpt_oss_120b,
}


def preset(name: str) -> LMConfig:
    """A published architecture at its published size.

    Args:
        name: one of `PRESETS`.

    Returns:
        Its config.

    Raises:
        ValueError: if there is none of the name; the message names those there are.

    References: Radford et al. 2019 (GPT-2); Devlin et al. 2018, arXiv:1810.04805 (BERT); Raffel et al. 2019,
        arXiv:1910.10683 (T5); Chowdhery et al. 2022, arXiv:2204.02311 (PaLM); Du et al. 2022, arXiv:2103.10360 (GLM);
        Grattafiori et al. 2024, arXiv:2407.21783 (Llama 3); Meta 2025 (Llama 4); OLMo Team 2024, arXiv:2501.00656;
        Gemma Team 2025, arXiv:2503.19786 (Gemma 3); Yang et al. 2025, arXiv:2505.09388 (Qwen 3); Hugging Face 2025
        (SmolLM3); DeepSeek-AI 2024, arXiv:2412.19437 (V3); Kimi Team 2025, arXiv:2507.20534 (K2); OpenAI 2025,
        arXiv:2508.10925 (GPT-OSS).
    Peer: published counts of parameters, total and active, 0.1 % and 3 % (B).
    """
    if name not in PRESETS:
        raise ValueError(f"name must be one of {', '.join(PRESETS)}, got {name!r}")
    return PRESETS[name]()


def tiny(name: str) -> LMConfig:
    """A published architecture with every switch as it is and sizes that a test can run.

    At most 8 layers, so that each pattern of layers comes whole, heads in the same groups, windows and stretches of 8
    tokens, 8 experts; contexts are stretched from 16 tokens to 64.

    Args:
        name: one of `PRESETS`.

    Returns:
        Its config.

    Raises:
        ValueError: if there is none of the name.
    """
    return _shrunk(preset(name))


def _shrunk(config: LMConfig) -> LMConfig:
    groups = min(config.n_heads // config.n_kv_heads, 4)
    kv_heads = 1 if config.n_kv_heads == 1 else 2
    first_moe = next((i for i, layer in enumerate(config.layers) if layer.moe), 0)
    picked = config.layers[max(first_moe - 1, 0) :][:8]  # one dense layer before those with experts
    layers = tuple(replace(layer, window=layer.window and 8, chunk=layer.chunk and 8) for layer in picked)
    mla = config.mla and MLA(None if config.mla.q_rank is None else 24, 16, 8, 8, 12)
    whole = config.n_heads == config.n_kv_heads and config.n_heads * config.head_dim == config.d_model
    head_dim = 48 // (kv_heads * groups) if whole else 16
    ropes = tuple(
        replace(rope, dim=8 if mla else head_dim, original_context=16 if rope.original_context else 0)
        for rope in config.ropes
    )
    scale = config.attention_scale
    if scale not in (None, 1.0):  # where scores are scaled at all, as those of smaller heads are
        scale *= (config.head_dim / head_dim) ** 0.5
    return replace(
        config,
        vocab_size=96, d_model=48, n_heads=kv_heads * groups, n_kv_heads=kv_heads, head_dim=head_dim, d_ff=64,
        layers=layers, ropes=ropes, context_length=64, mla=mla,
        moe=config.moe and _few_experts(config.moe, 64 if config.moe.d_ff == config.d_ff else 24),
        attention_scale=scale,
        temperature=config.temperature and (8, config.temperature[1]),
        relative=config.relative and (8, 16),
        learned_positions=64 if config.learned_positions else 0,
        span_positions=64 if config.span_positions else 0,
        embed_scale=48**0.5 if config.embed_scale != 1.0 else 1.0,
        logit_scale=48**-0.5 if config.logit_scale != 1.0 else 1.0,
        encoder=config.encoder and _shrunk(config.encoder),
    )  # fmt: skip


def _few_experts(moe: MoE, d_ff: int) -> MoE:
    groups = min(moe.n_groups, 4)
    return replace(
        moe, n_experts=8, top_k=min(moe.top_k, 2), d_ff=d_ff, shared_d_ff=d_ff if moe.shared_d_ff else 0,
        n_groups=groups, top_groups=min(moe.top_groups, max(groups // 2, 1)),
    )  # fmt: skip
