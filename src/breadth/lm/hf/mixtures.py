"""Families with experts: `config.json` -> LMConfig and back for Qwen 3 MoE, DeepSeek-V3, Llama 4 and GPT-OSS."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from breadth.lm.config import MLA, Layer, LMConfig, MoE
from breadth.lm.hf.decoders import write_qwen
from breadth.lm.hf.settings import (
    Json,
    Unsupported,
    both_spellings,
    layer_types,
    need,
    read_llama,
    read_rope,
    refuse,
    rope_settings,
    their_windows,
    windowed,
    write_llama,
    write_rope,
    yarn_gain,
)


def with_experts(config: LMConfig, routed: list[bool]) -> LMConfig:
    """The model with experts on some layers."""
    layers = zip(config.layers, routed, strict=True)
    return replace(config, layers=tuple(replace(layer, moe=on) for layer, on in layers))


def _routed(config: LMConfig) -> list[int]:
    return [i for i, layer in enumerate(config.layers) if layer.moe]


def _moe(config: LMConfig) -> MoE:
    if config.moe is None:
        raise Unsupported("no experts")
    return config.moe


# ---- Qwen 3 MoE


def read_qwen3_moe(told: Json) -> LMConfig:
    """Experts on every decoder_sparse_step-th layer that mlp_only_layers leaves."""
    experts = told.get("num_experts", told.get("num_local_experts"))
    need(told, "num_experts_per_tok", "moe_intermediate_size")
    moe = MoE(
        n_experts=experts or 128,
        top_k=told["num_experts_per_tok"],
        d_ff=told["moe_intermediate_size"],
        normalize=bool(told.get("norm_topk_prob", False)),
    )
    config = read_llama(told, qk_norm="head", moe=moe)
    dense, step = told.get("mlp_only_layers") or [], told.get("decoder_sparse_step", 1)
    size = told.get("sliding_window") if told.get("use_sliding_window") else None
    config = windowed(config, [size is not None] * len(config.layers), size)
    return with_experts(config, [i not in dense and (i + 1) % step == 0 for i in range(len(config.layers))])


def write_qwen3_moe(config: LMConfig) -> dict[str, Any]:
    """Experts on the layers that mlp_only_layers leaves."""
    moe, routed = _moe(config), _routed(config)
    return write_qwen(
        config,
        "qwen3_moe",
        "Qwen3MoeForCausalLM",
        num_experts=moe.n_experts,
        num_experts_per_tok=moe.top_k,
        moe_intermediate_size=moe.d_ff,
        norm_topk_prob=moe.normalize,
        mlp_only_layers=[i for i in range(len(config.layers)) if i not in routed],
        decoder_sparse_step=1,
    )


# ---- DeepSeek-V3 and R1, Kimi K2


def read_deepseek(told: Json) -> LMConfig:
    """Latent attention; experts from layer first_k_dense_replace on, chosen by sigmoid scores with a correction."""
    need(told, "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "n_routed_experts")
    nope, turned = told["qk_nope_head_dim"], told["qk_rope_head_dim"]
    refuse(told, scoring_func="sigmoid", topk_method="noaux_tc", moe_layer_freq=1)
    settings = rope_settings(told)
    rope = read_rope({"max_position_embeddings": 4096, **told}, turned, settings)
    scale = (nope + turned) ** -0.5
    if rope.kind != "default" and settings.get("mscale_all_dim"):
        scale *= yarn_gain(rope.factor, settings["mscale_all_dim"]) ** 2
    moe = MoE(
        n_experts=told["n_routed_experts"],
        top_k=told["num_experts_per_tok"],
        d_ff=told["moe_intermediate_size"],
        shared_d_ff=(told.get("n_shared_experts") or 0) * told["moe_intermediate_size"],
        score="sigmoid",
        normalize=bool(told.get("norm_topk_prob", True)),
        scale=float(told.get("routed_scaling_factor", 2.5)),
        correction=True,
        n_groups=told.get("n_group") or 1,
        top_groups=told.get("topk_group") or 1,
    )
    mla = MLA(told.get("q_lora_rank"), told["kv_lora_rank"], nope, turned, told["v_head_dim"])
    told = {**told, "num_key_value_heads": told.get("num_attention_heads")}
    config = read_llama(told, head_dim=nope + turned, ropes=(rope,), attention_scale=scale, moe=moe, mla=mla)
    start = int(told.get("first_k_dense_replace", 3))
    return with_experts(config, [i >= start for i in range(len(config.layers))])


def write_deepseek(config: LMConfig) -> dict[str, Any]:
    """Latent attention; experts from some layer on."""
    moe, mla, routed = _moe(config), config.mla, _routed(config)
    if mla is None or len(config.ropes) != 1 or moe.shared_d_ff % moe.d_ff or moe.shared_d_ff == 0:
        raise Unsupported("DeepSeek has latent attention, one rotary table and shared experts as wide as the others")
    n, start = len(config.layers), routed[0] if routed else len(config.layers)
    if routed != list(range(start, n)):
        raise Unsupported("DeepSeek has experts on all layers from one on")
    (rope,) = config.ropes
    parameters = write_rope(rope, mla.rope_dim)
    plain = (mla.nope_dim + mla.rope_dim) ** -0.5
    stretch = math.sqrt((config.attention_scale or plain) / plain)
    if rope.kind != "default" and rope.factor > 1 and not math.isclose(stretch, 1.0):
        parameters["mscale_all_dim"] = round((stretch - 1.0) / (0.1 * math.log(rope.factor)), 9)
    return write_llama(
        config,
        "deepseek_v3",
        "DeepseekV3ForCausalLM",
        **both_spellings(parameters),
        head_dim=mla.rope_dim,
        q_lora_rank=mla.q_rank,
        kv_lora_rank=mla.kv_rank,
        qk_nope_head_dim=mla.nope_dim,
        qk_rope_head_dim=mla.rope_dim,
        v_head_dim=mla.v_dim,
        n_routed_experts=moe.n_experts,
        n_shared_experts=moe.shared_d_ff // moe.d_ff,
        num_experts_per_tok=moe.top_k,
        moe_intermediate_size=moe.d_ff,
        norm_topk_prob=moe.normalize,
        routed_scaling_factor=moe.scale,
        scoring_func="sigmoid",
        topk_method="noaux_tc",
        n_group=moe.n_groups,
        topk_group=moe.top_groups,
        first_k_dense_replace=start,
        num_nextn_predict_layers=0,
        num_mtp_layers=0,
        rope_interleave=True,
    )


# ---- Llama 4, GPT-OSS


def read_llama4(told: Json) -> LMConfig:
    """Chunks and normalised heads on rotated layers, a temperature on the others; one expert, fed by its score."""
    n, every = told["num_hidden_layers"], told.get("no_rope_layer_interval", 4)
    told = {"rms_norm_eps": 1e-5, "head_dim": 128, **told}
    rotated = told.get("no_rope_layers") or [int((i + 1) % every != 0) for i in range(n)]
    step = told.get("interleave_moe_layer_step", 1)
    routed = told.get("moe_layers")
    if routed is None:
        routed = range(step - 1, n, step)
    chunk = told.get("attention_chunk_size", 8192)
    normed = bool(told.get("use_qk_norm", True))
    tuned = told.get("attn_temperature_tuning", True)
    moe = MoE(
        n_experts=told["num_local_experts"],
        top_k=told.get("num_experts_per_tok", 1),
        d_ff=told["intermediate_size"],
        shared_d_ff=told["intermediate_size"],
        score="sigmoid",
        normalize=False,
        scale_input=True,
    )
    return read_llama(
        told,
        theta=500000.0,
        layers=tuple(
            Layer(rope=0 if on else None, chunk=chunk if on else None, moe=i in routed, qk_norm=bool(on) and normed)
            for i, on in enumerate(rotated)
        ),
        d_ff=told.get("intermediate_size_mlp", 16384),
        qk_norm="head" if normed else None,
        temperature=(told.get("floor_scale", 8192), told.get("attn_scale", 0.1)) if tuned else None,
        moe=moe,
    )


def write_llama4(config: LMConfig) -> dict[str, Any]:
    """Chunks on rotated layers, a temperature on the others."""
    moe = _moe(config)
    rotated = [int(layer.rope is not None) for layer in config.layers]
    chunks = {layer.chunk for layer in config.layers if layer.rope is not None}
    if len(chunks) > 1:
        raise Unsupported(f"chunks of {len(chunks)} sizes, where config.json has one")
    floor, slope = config.temperature or (8192, 0.1)
    chunk = next(iter(chunks), None)
    return write_llama(
        config,
        "llama4_text",
        "Llama4ForCausalLM",
        intermediate_size=moe.d_ff,
        intermediate_size_mlp=config.d_ff,
        num_local_experts=moe.n_experts,
        num_experts_per_tok=moe.top_k,
        moe_layers=_routed(config),
        no_rope_layers=rotated,
        attention_chunk_size=chunk,
        layer_types=["chunked_attention" if on and chunk else "full_attention" for on in rotated],
        use_qk_norm=config.qk_norm == "head",
        attn_temperature_tuning=config.temperature is not None,
        floor_scale=floor,
        attn_scale=slope,
    )


def read_gpt_oss(told: Json) -> LMConfig:
    """A learned sink in each head, windows on every second layer from the first on, experts with biases."""
    refuse(told, swiglu_alpha=1.702, swiglu_limit=7.0)
    told = {"rms_norm_eps": 1e-5, "head_dim": 64, "attention_bias": True, "sliding_window": 128, **told}
    moe = MoE(
        n_experts=told.get("num_local_experts", told.get("num_experts")),
        top_k=told.get("num_experts_per_tok", told.get("experts_per_token", 4)),
        d_ff=told["intermediate_size"],
        bias=True,
    )
    theta = 150000.0
    config = read_llama(told, theta=theta, sinks=True, activation="clamped_swiglu", moe=moe)
    config = with_experts(config, [True] * len(config.layers))
    windows = layer_types(told, [i % 2 == 0 for i in range(len(config.layers))])
    return windowed(config, windows, told["sliding_window"])


def write_gpt_oss(config: LMConfig) -> dict[str, Any]:
    """A learned sink in each head, experts with biases on every layer."""
    moe = _moe(config)
    if config.activation != "clamped_swiglu" or config.d_ff != moe.d_ff:
        raise Unsupported("GPT-OSS has clamped_swiglu, and experts as wide as d_ff")
    return write_llama(
        replace(config, activation="silu"),
        "gpt_oss",
        "GptOssForCausalLM",
        num_local_experts=moe.n_experts,
        num_experts_per_tok=moe.top_k,
        experts_per_token=moe.top_k,
        swiglu_limit=7.0,
        **their_windows(config),
    )
