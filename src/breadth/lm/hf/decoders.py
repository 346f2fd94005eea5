"""Families in the shape of Llama's decoder: `config.json` -> LMConfig and back, where each differs from Llama."""

from __future__ import annotations

import math
from typing import Any

from breadth.lm.config import Layer, LMConfig
from breadth.lm.hf.settings import (
    Json,
    Unsupported,
    both_spellings,
    layer_types,
    read_llama,
    read_rope,
    refuse,
    rope_settings,
    their_windows,
    windowed,
    write_llama,
    write_rope,
)

# ---- Llama, Mistral, Qwen 2 and 3


def read_llama_family(told: Json) -> LMConfig:
    """Llama 1 to 3."""
    return read_llama(told)


def write_llama_family(config: LMConfig) -> dict[str, Any]:
    """Llama 1 to 3."""
    return write_llama(config, "llama", "LlamaForCausalLM", mlp_bias=config.ffn_bias)


def read_mistral(told: Json) -> LMConfig:
    """A window, or none, on every layer."""
    config = read_llama(told)
    return windowed(config, [told.get("sliding_window") is not None] * len(config.layers), told.get("sliding_window"))


def write_mistral(config: LMConfig) -> dict[str, Any]:
    """A window, or none, on every layer."""
    windows = their_windows(config)
    return write_llama(config, "mistral", "MistralForCausalLM", sliding_window=windows["sliding_window"])


def qwen_windows(config: LMConfig, told: Json) -> LMConfig:
    size = told.get("sliding_window") if told.get("use_sliding_window") else None
    start = told.get("max_window_layers", 28)
    default = [size is not None and i >= start for i in range(len(config.layers))]
    return windowed(config, layer_types(told, default), size)


def write_qwen(config: LMConfig, kind: str, architecture: str, **others: Any) -> dict[str, Any]:
    windows = their_windows(config)
    on = windows["sliding_window"] is not None
    return write_llama(config, kind, architecture, use_sliding_window=on, **windows, **others)


def read_qwen2(told: Json) -> LMConfig:
    """Biases on query, key and value, always."""
    return qwen_windows(read_llama(told, qkv_bias=True, o_bias=False), told)


def write_qwen2(config: LMConfig) -> dict[str, Any]:
    """Biases on query, key and value, always."""
    return write_qwen(config, "qwen2", "Qwen2ForCausalLM")


def read_qwen3(told: Json) -> LMConfig:
    """Query and key normalised head by head."""
    return qwen_windows(read_llama(told, qk_norm="head"), told)


def write_qwen3(config: LMConfig) -> dict[str, Any]:
    """Query and key normalised head by head."""
    return write_qwen(config, "qwen3", "Qwen3ForCausalLM")


# ---- SmolLM 3, OLMo 2, GLM


def read_smollm3(told: Json) -> LMConfig:
    """No rotation on every fourth layer; `no_rope_layers` says 1 where there is one."""
    every = told.get("no_rope_layer_interval", 4)
    n = told["num_hidden_layers"]
    rotated = told.get("no_rope_layers") or [int((i + 1) % every != 0) for i in range(n)]
    layers = tuple(Layer(rope=0 if on else None) for on in rotated)
    config = read_llama(told, theta=2000000.0, layers=layers, tied=bool(told.get("tie_word_embeddings", True)))
    size = told.get("sliding_window") if told.get("use_sliding_window") else None
    return windowed(config, layer_types(told, [size is not None and not on for on in rotated]), size)


def write_smollm3(config: LMConfig) -> dict[str, Any]:
    """No rotation on every fourth layer."""
    rotated = [int(layer.rope is not None) for layer in config.layers]
    return write_qwen(config, "smollm3", "SmolLM3ForCausalLM", no_rope_layers=rotated, mlp_bias=config.ffn_bias)


def read_olmo2(told: Json) -> LMConfig:
    """Normalised behind attention and feed-forward; query and key over all heads."""
    told = {"rms_norm_eps": 1e-5, **told}
    return read_llama(told, qk_norm="full", norm_placement="post")


def write_olmo2(config: LMConfig) -> dict[str, Any]:
    """Normalised behind attention and feed-forward."""
    return write_llama(config, "olmo2", "Olmo2ForCausalLM")


def read_glm(told: Json) -> LMConfig:
    """Half of each head is rotated, in neighbouring pairs; no bias behind attention."""
    told = {"partial_rotary_factor": 0.5, "attention_bias": True, **told}
    return read_llama(told, partial=True, o_bias=False)


def write_glm(config: LMConfig) -> dict[str, Any]:
    """Half of each head is rotated."""
    return write_llama(config, "glm", "GlmForCausalLM", partial=True)


# ---- Gemma 2 and 3


def _gemma_fields(told: Json) -> dict[str, Any]:
    return {
        "norm_placement": "both",
        "attention_scale": told.get("query_pre_attn_scalar", 256) ** -0.5,
        "embed_scale": told["hidden_size"] ** 0.5,
        "tied": bool(told.get("tie_word_embeddings", True)),
    }


def _write_gemma(config: LMConfig, kind: str, architecture: str, **others: Any) -> dict[str, Any]:
    if config.attention_scale is None or not math.isclose(config.embed_scale, config.d_model**0.5, rel_tol=1e-12):
        raise Unsupported("Gemma scales its embeddings by sqrt(d_model) and has an attention_scale")
    scalar = config.attention_scale**-2
    near = round(scalar)
    return write_llama(
        config,
        kind,
        architecture,
        hidden_activation=write_activation(config),
        query_pre_attn_scalar=near if math.isclose(scalar, near, rel_tol=1e-9) else scalar,
        attn_logit_softcapping=config.softcap,
        final_logit_softcapping=config.logit_softcap,
        **their_windows(config),
        **others,
    )


def write_activation(config: LMConfig) -> str:
    """Gemma has one activation."""
    if config.activation != "gelu_tanh":
        raise Unsupported(f"Gemma's activation is gelu_tanh, not {config.activation!r}")
    return "gelu_pytorch_tanh"


def read_gemma2(told: Json) -> LMConfig:
    """Windows on every second layer, from the first on; both kinds of soft cap."""
    refuse(told, use_bidirectional_attention=False)
    told = {"hidden_act": "gelu_pytorch_tanh", "sliding_window": 4096, "head_dim": 256, **told}
    config = read_llama(
        told,
        softcap=told.get("attn_logit_softcapping", 50.0),
        logit_softcap=told.get("final_logit_softcapping", 30.0),
        activation="gelu_tanh",
        **_gemma_fields(told),
    )
    windows = layer_types(told, [i % 2 == 0 for i in range(len(config.layers))])
    return windowed(config, windows, told["sliding_window"])


def write_gemma2(config: LMConfig) -> dict[str, Any]:
    """Windows on some layers; both kinds of soft cap."""
    return _write_gemma(config, "gemma2", "Gemma2ForCausalLM")


def read_gemma3(told: Json) -> LMConfig:
    """Five layers with a window and a rotary table of their own, then one without."""
    refuse(told, use_bidirectional_attention=False)
    told = {"hidden_act": "gelu_pytorch_tanh", "sliding_window": 4096, "head_dim": 256, **told}
    told.setdefault("max_position_embeddings", 131072)
    n, every = told["num_hidden_layers"], told.get("sliding_window_pattern") or 6
    windows = layer_types(told, [(i + 1) % every != 0 for i in range(n)])
    newer = told.get("rope_parameters") or {}
    whole = newer.get("full_attention") or rope_settings({**told, "rope_parameters": None}, theta=1e6)
    local = newer.get("sliding_attention") or {"rope_type": "default"}
    whole = {"rope_theta": told.get("rope_theta", 1e6), **whole}
    local = {"rope_theta": told.get("rope_local_base_freq", 1e4), **local}
    config = read_llama(
        told,
        layers=tuple(Layer(rope=int(on)) for on in windows),
        ropes=(read_rope(told, told["head_dim"], whole), read_rope(told, told["head_dim"], local)),
        qk_norm="head",
        softcap=told.get("attn_logit_softcapping"),
        logit_softcap=told.get("final_logit_softcapping"),
        activation="gelu_tanh",
        **_gemma_fields(told),
    )
    return windowed(config, windows, told["sliding_window"])


def write_gemma3(config: LMConfig) -> dict[str, Any]:
    """Two rotary tables: the first for layers without a window, the second for those with one."""
    if len(config.ropes) != 2 or any(layer.rope != (layer.window is not None) for layer in config.layers):
        raise Unsupported("Gemma 3 has a rotary table for layers with a window and one for those without")
    whole, local = (write_rope(rope, config.head_dim) for rope in config.ropes)
    older = both_spellings(whole)
    return _write_gemma(
        config,
        "gemma3_text",
        "Gemma3ForCausalLM",
        **{**older, "rope_parameters": {"full_attention": whole, "sliding_attention": local}},
        rope_local_base_freq=config.ropes[1].theta,
    )
