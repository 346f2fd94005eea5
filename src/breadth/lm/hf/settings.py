"""What the `config.json` of many families say alike: activations, rotary tables, and the shape of Llama's decoder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from breadth.lm.config import Activation, Layer, LMConfig, Rope

Json = Mapping[str, Any]

ACTIVATIONS: dict[str, Activation] = {
    "silu": "silu",
    "swish": "silu",
    "relu": "relu",
    "relu2": "squared_relu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "quick_gelu": "quick_gelu",
}
_THEIRS = {
    "silu": "silu",
    "relu": "relu",
    "squared_relu": "relu2",
    "gelu": "gelu",
    "gelu_tanh": "gelu_pytorch_tanh",
    "quick_gelu": "quick_gelu",
}
_SCALED = ("llama3", "yarn")


class Unsupported(ValueError):
    """A setting that the model has no switch for, or a model that a family has no settings for."""


def activation(told: Json, *keys: str, default: str) -> Activation:
    """Our name of the activation that the first of the keys gives."""
    name = next((told[key] for key in keys if told.get(key) is not None), default)
    if name not in ACTIVATIONS:
        raise Unsupported(f"{keys[0]} is {name!r}; known are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def their_activation(config: LMConfig) -> str:
    """Their name of the model's activation."""
    if config.activation not in _THEIRS:
        raise Unsupported(f"the activation {config.activation!r} has no name in config.json")
    return _THEIRS[config.activation]


def refuse(told: Json, **neutral: Any) -> None:
    """Raise if a setting has another value than the one that changes nothing; a setting that is left out has it."""
    for key, value in neutral.items():
        if told.get(key) not in (None, value):
            raise Unsupported(f"{key} is {told[key]!r}, which is not supported; {value!r} is")


def need(told: Json, *keys: str) -> None:
    """Raise KeyError naming the first key that is not there."""
    for key in keys:
        if told.get(key) is None:
            raise KeyError(key)


# ---- rotary tables


def yarn_gain(factor: float, mscale: float = 1.0) -> float:
    """0.1 mscale ln(factor) + 1, and 1 if nothing is stretched (Peng et al. 2023, arXiv:2309.00071)."""
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0


def rope_settings(told: Json, *, theta: float = 10000.0) -> dict[str, Any]:
    """Rotary settings in the newer spelling, `rope_parameters`, out of either: the older one is two keys."""
    newer = told.get("rope_parameters")
    base = told.get("rope_theta", theta)
    if newer is not None:
        return {"rope_theta": base, **newer}
    return {**(told.get("rope_scaling") or {}), "rope_theta": base}


def read_rope(told: Json, dim: int, settings: Json) -> Rope:
    """Rotary table of heads of the given size."""
    kind = settings.get("rope_type") or settings.get("type") or "default"
    context = told["max_position_embeddings"]
    part = settings.get("partial_rotary_factor") or told.get("partial_rotary_factor") or 1.0
    plain = {"dim": int(dim * part), "theta": float(settings["rope_theta"])}
    if kind == "default":
        return Rope(**plain)
    original = settings.get("original_max_position_embeddings") or context
    factor = settings.get("factor")
    if factor is None:
        factor = context / original
    if kind == "linear":
        return Rope(**plain, kind="linear", factor=float(factor))
    if kind == "llama3":
        return Rope(
            **plain,
            kind="llama3",
            factor=float(factor),
            original_context=original,
            low=float(settings["low_freq_factor"]),
            high=float(settings["high_freq_factor"]),
        )
    if kind == "yarn":
        mscale, all_dims = settings.get("mscale"), settings.get("mscale_all_dim")
        gain = settings.get("attention_factor")
        if gain is None:
            both = mscale and all_dims
            gain = yarn_gain(factor, mscale) / yarn_gain(factor, all_dims) if both else yarn_gain(factor)
        return Rope(
            **plain,
            kind="yarn",
            factor=float(factor),
            original_context=original,
            beta_fast=float(settings.get("beta_fast") or 32.0),
            beta_slow=float(settings.get("beta_slow") or 1.0),
            truncate=bool(settings.get("truncate", True)),
            mscale=float(gain),
        )
    raise Unsupported(f"rope_type is {kind!r}; known are default, linear, llama3 and yarn")


def write_rope(rope: Rope, dim: int) -> dict[str, Any]:
    """`rope_parameters` of one table, for heads of the given size."""
    out: dict[str, Any] = {"rope_type": rope.kind, "rope_theta": rope.theta}
    if rope.dim != dim:
        out["partial_rotary_factor"] = rope.dim / dim
    if rope.kind != "default":
        out["factor"] = rope.factor
    if rope.kind in _SCALED:
        out["original_max_position_embeddings"] = rope.original_context
    if rope.kind == "llama3":
        out |= {"low_freq_factor": rope.low, "high_freq_factor": rope.high}
    if rope.kind == "yarn":
        out |= {
            "beta_fast": rope.beta_fast,
            "beta_slow": rope.beta_slow,
            "truncate": rope.truncate,
            "attention_factor": rope.mscale,
        }
    return out


def both_spellings(parameters: dict[str, Any]) -> dict[str, Any]:
    """`rope_parameters`, and what says the same to readers that know only `rope_theta` and `rope_scaling`."""
    older = {key: value for key, value in parameters.items() if key not in ("rope_theta", "partial_rotary_factor")}
    out = {"rope_parameters": parameters, "rope_theta": parameters["rope_theta"]}
    if "partial_rotary_factor" in parameters:
        out["partial_rotary_factor"] = parameters["partial_rotary_factor"]
    return out | ({"rope_scaling": older} if parameters["rope_type"] != "default" else {})


# ---- Llama's shape


def read_llama(
    told: Json, *, theta: float = 10000.0, partial: bool = False, o_bias: bool | None = None, **others: Any
) -> LMConfig:
    """A decoder whose settings have Llama's names; others are the fields in which a family differs."""
    if not partial:  # their models of these families rotate whole heads whatever the setting says
        refuse(told, partial_rotary_factor=1.0)
        refuse(told.get("rope_parameters") or {}, partial_rotary_factor=1.0)
    need(told, "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    n, heads = told["num_hidden_layers"], told["num_attention_heads"]
    dim = others.pop("head_dim", None) or told.get("head_dim") or told["hidden_size"] // heads
    biased = bool(told.get("attention_bias", False))
    fields: dict[str, Any] = {
        "vocab_size": told["vocab_size"],
        "d_model": told["hidden_size"],
        "n_heads": heads,
        "n_kv_heads": told.get("num_key_value_heads") or heads,
        "head_dim": dim,
        "d_ff": told["intermediate_size"],
        "layers": (Layer(),) * n,
        "context_length": told.get("max_position_embeddings", 2048),
        "norm_eps": told.get("rms_norm_eps", 1e-6),
        "qkv_bias": biased,
        "o_bias": biased if o_bias is None else o_bias,
        "ffn_bias": bool(told.get("mlp_bias", False)),
        "activation": activation(told, "hidden_act", "hidden_activation", default="silu"),
        "tied": bool(told.get("tie_word_embeddings", False)),
        "attention_dropout": told.get("attention_dropout") or 0.0,
    }
    if len(others.get("layers", fields["layers"])) != n:
        raise Unsupported(f"num_hidden_layers is {n}, and another setting is for {len(others['layers'])} layers")
    if "ropes" not in others:
        with_context = {"max_position_embeddings": fields["context_length"], **told}
        fields["ropes"] = (read_rope(with_context, dim, rope_settings(told, theta=theta)),)
    return LMConfig(**(fields | others))


def write_llama(
    config: LMConfig, kind: str, architecture: str, *, partial: bool = False, **others: Any
) -> dict[str, Any]:
    """`config.json` of a decoder whose settings have Llama's names."""
    out = {
        "architectures": [architecture],
        "model_type": kind,
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "intermediate_size": config.d_ff,
        "num_hidden_layers": len(config.layers),
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.context_length,
        "rms_norm_eps": config.norm_eps,
        "attention_bias": config.qkv_bias,
        "attention_dropout": config.attention_dropout,
        "hidden_act": their_activation(config),
        "tie_word_embeddings": config.tied,
        **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id")),  # a model by itself knows none
    }
    if "rope_parameters" not in others:
        if len(config.ropes) != 1:
            raise Unsupported(f"{len(config.ropes)} rotary tables, where {kind} has 1")
        if config.ropes[0].dim != config.head_dim and not partial:
            raise Unsupported(
                f"{config.ropes[0].dim} of {config.head_dim} dimensions rotated, where {kind} rotates all"
            )
        out |= both_spellings(write_rope(config.ropes[0], config.head_dim))
    return out | others


def layer_types(told: Json, default: list[bool]) -> list[bool]:
    """Which layers have a window: as `layer_types` says, or as the family does without it."""
    kinds = told.get("layer_types")
    return default if kinds is None else [kind == "sliding_attention" for kind in kinds]


def windowed(config: LMConfig, windows: list[bool], size: int | None) -> LMConfig:
    """The model with a window on the layers that have one."""
    if len(windows) != len(config.layers):
        raise Unsupported(f"layer_types has {len(windows)} entries for {len(config.layers)} layers")
    layers = zip(config.layers, windows, strict=True)
    return replace(config, layers=tuple(replace(layer, window=size if on else None) for layer, on in layers))


def their_windows(config: LMConfig) -> dict[str, Any]:
    """`layer_types` and `sliding_window`."""
    sizes = {layer.window for layer in config.layers} - {None}
    if len(sizes) > 1:
        raise Unsupported(f"windows of {len(sizes)} sizes, where config.json has one")
    kinds = ["full_attention" if layer.window is None else "sliding_attention" for layer in config.layers]
    return {"layer_types": kinds, "sliding_window": next(iter(sizes), None)}
