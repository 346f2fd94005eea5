"""GPT-2, BERT, T5 and Falcon: `config.json` -> LMConfig and back."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from breadth.lm.config import Layer, LMConfig
from breadth.lm.hf.settings import (
    Json,
    Unsupported,
    activation,
    both_spellings,
    need,
    read_rope,
    refuse,
    rope_settings,
    their_activation,
    write_rope,
)


def read_gpt2(told: Json) -> LMConfig:
    """Learned positions, layer norm in front, biases everywhere."""
    need(told, "vocab_size", "n_embd", "n_layer", "n_head")
    refuse(told, scale_attn_by_inverse_layer_idx=False, add_cross_attention=False, scale_attn_weights=True)
    width, heads = told["n_embd"], told["n_head"]
    context = told.get("n_positions") or told.get("n_ctx") or 1024
    return LMConfig(
        vocab_size=told["vocab_size"],
        d_model=width,
        n_heads=heads,
        n_kv_heads=heads,
        head_dim=width // heads,
        d_ff=told.get("n_inner") or 4 * width,
        layers=(Layer(rope=None),) * told["n_layer"],
        context_length=context,
        norm="layer",
        norm_eps=told.get("layer_norm_epsilon", 1e-5),
        qkv_bias=True,
        o_bias=True,
        ffn_bias=True,
        activation=activation(told, "activation_function", default="gelu_new"),
        gated=False,
        learned_positions=context,
        tied=bool(told.get("tie_word_embeddings", True)),
        embed_dropout=told.get("embd_pdrop", 0.1),
        attention_dropout=told.get("attn_pdrop", 0.1),
        residual_dropout=told.get("resid_pdrop", 0.1),
    )


def write_gpt2(config: LMConfig) -> dict[str, Any]:
    """Learned positions, layer norm in front."""
    name = their_activation(config)
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": config.vocab_size,
        "n_embd": config.d_model,
        "n_layer": len(config.layers),
        "n_head": config.n_heads,
        "n_inner": config.d_ff,
        "n_positions": config.learned_positions,
        "n_ctx": config.learned_positions,
        "layer_norm_epsilon": config.norm_eps,
        "activation_function": "gelu_new" if name == "gelu_pytorch_tanh" else name,
        "embd_pdrop": config.embed_dropout,
        "attn_pdrop": config.attention_dropout,
        "resid_pdrop": config.residual_dropout,
        "tie_word_embeddings": config.tied,
    }


def read_bert(told: Json) -> LMConfig:
    """Both directions, normalised behind each sum, with a head for masked tokens unless it is a bare BertModel."""
    need(told, "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    refuse(told, position_embedding_type="absolute", is_decoder=False, add_cross_attention=False)
    width, heads = told["hidden_size"], told["num_attention_heads"]
    context = told.get("max_position_embeddings", 512)
    return LMConfig(
        vocab_size=told["vocab_size"],
        d_model=width,
        n_heads=heads,
        n_kv_heads=heads,
        head_dim=width // heads,
        d_ff=told["intermediate_size"],
        layers=(Layer(rope=None),) * told["num_hidden_layers"],
        context_length=context,
        causal=False,
        norm="layer",
        norm_eps=told.get("layer_norm_eps", 1e-12),
        norm_placement="residual",
        final_norm=False,
        embed_norm=True,
        qkv_bias=True,
        o_bias=True,
        ffn_bias=True,
        activation=activation(told, "hidden_act", default="gelu"),
        gated=False,
        learned_positions=context,
        token_types=told.get("type_vocab_size", 2),
        tied=bool(told.get("tie_word_embeddings", True)),
        mlm_head="BertModel" not in (told.get("architectures") or ()),
        embed_dropout=told.get("hidden_dropout_prob", 0.1),
        attention_dropout=told.get("attention_probs_dropout_prob", 0.1),
        residual_dropout=told.get("hidden_dropout_prob", 0.1),
    )


def write_bert(config: LMConfig) -> dict[str, Any]:
    """Both directions, normalised behind each sum."""
    return {
        "architectures": ["BertForMaskedLM" if config.mlm_head else "BertModel"],
        "model_type": "bert",
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "num_hidden_layers": len(config.layers),
        "num_attention_heads": config.n_heads,
        "intermediate_size": config.d_ff,
        "max_position_embeddings": config.learned_positions,
        "type_vocab_size": config.token_types,
        "layer_norm_eps": config.norm_eps,
        "hidden_act": their_activation(config),
        "position_embedding_type": "absolute",
        "hidden_dropout_prob": config.residual_dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
        "tie_word_embeddings": config.tied,
    }


def read_t5(told: Json) -> LMConfig:
    """Encoder and decoder with a bias for each distance; 1.1 gates its feed-forward and has a head of its own.

    Logits are scaled by d_model^-1/2 unless the file says that the head is not tied; whether it is tied, the tensors
    tell.
    """
    need(told, "vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads")
    first, _, last = told.get("feed_forward_proj", "relu").partition("-")
    gated = first == "gated"
    name = last if gated else first
    if gated and name == "gelu":
        name = "gelu_new"
    scaled = told.get("scale_decoder_outputs", told.get("tie_word_embeddings") is not False)
    layers = (Layer(rope=None),)
    decoder = LMConfig(
        vocab_size=told["vocab_size"],
        d_model=told["d_model"],
        n_heads=told["num_heads"],
        n_kv_heads=told["num_heads"],
        head_dim=told["d_kv"],
        d_ff=told["d_ff"],
        layers=layers * (told.get("num_decoder_layers") or told["num_layers"]),
        context_length=told.get("n_positions", 512),
        norm_eps=told.get("layer_norm_epsilon", 1e-6),
        attention_scale=1.0,
        relative=(
            told.get("relative_attention_num_buckets", 32),
            told.get("relative_attention_max_distance", 128),
        ),
        activation=activation({"feed_forward_proj": name}, "feed_forward_proj", default="relu"),
        gated=gated,
        tied=True,
        logit_scale=told["d_model"] ** -0.5 if scaled else 1.0,
    )
    encoder = replace(decoder, causal=False, layers=layers * told["num_layers"], logit_scale=1.0)
    return replace(decoder, encoder=encoder)


def write_t5(config: LMConfig) -> dict[str, Any]:
    """Encoder and decoder with a bias for each distance."""
    encoder = config.encoder
    if encoder is None or config.relative is None:
        raise Unsupported("T5 has an encoder, and a bias for each distance")
    scaled = config.logit_scale != 1.0
    if scaled and not math.isclose(config.logit_scale, config.d_model**-0.5):
        raise Unsupported("T5 scales its logits by d_model^-1/2 or not at all")
    name = "gelu" if config.gated and config.activation == "gelu_tanh" else their_activation(config)
    return {
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": "t5",
        "vocab_size": config.vocab_size,
        "d_model": config.d_model,
        "d_kv": config.head_dim,
        "d_ff": config.d_ff,
        "num_layers": len(encoder.layers),
        "num_decoder_layers": len(config.layers),
        "num_heads": config.n_heads,
        "n_positions": config.context_length,
        "relative_attention_num_buckets": config.relative[0],
        "relative_attention_max_distance": config.relative[1],
        "layer_norm_epsilon": config.norm_eps,
        "feed_forward_proj": f"gated-{name}" if config.gated else name,
        "is_encoder_decoder": True,
        "tie_word_embeddings": scaled,
        "scale_decoder_outputs": scaled,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
        "eos_token_id": 1,
    }


def read_falcon(told: Json) -> LMConfig:
    """Attention and feed-forward side by side behind one norm, one head of keys and values: PaLM's block."""
    need(told, "vocab_size", "hidden_size")
    refuse(told, alibi=False, new_decoder_architecture=False, multi_query=True)
    width = told["hidden_size"]
    heads = told.get("num_attention_heads") or told["n_head"]
    context = told.get("max_position_embeddings", 2048)
    biased = bool(told.get("bias", False))
    rope = read_rope({**told, "max_position_embeddings": context}, width // heads, rope_settings(told))
    return LMConfig(
        vocab_size=told["vocab_size"],
        d_model=width,
        n_heads=heads,
        n_kv_heads=1,
        head_dim=width // heads,
        d_ff=told.get("ffn_hidden_size") or 4 * width,
        layers=(Layer(),) * (told.get("num_hidden_layers") or told["n_layer"]),
        ropes=(rope,),
        context_length=context,
        norm="layer",
        norm_eps=told.get("layer_norm_epsilon", 1e-5),
        qkv_bias=biased,
        o_bias=biased,
        ffn_bias=biased,
        activation=activation(told, "activation", default="gelu"),
        gated=False,
        parallel=bool(told.get("parallel_attn", True)),
        tied=bool(told.get("tie_word_embeddings", True)),
    )


def write_falcon(config: LMConfig) -> dict[str, Any]:
    """Attention and feed-forward side by side, one head of keys and values."""
    if len(config.ropes) != 1:
        raise Unsupported("Falcon has one rotary table")
    return {
        "architectures": ["FalconForCausalLM"],
        "model_type": "falcon",
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "num_hidden_layers": len(config.layers),
        "num_attention_heads": config.n_heads,
        "ffn_hidden_size": config.d_ff,
        "max_position_embeddings": config.context_length,
        "layer_norm_epsilon": config.norm_eps,
        "activation": their_activation(config),
        "bias": config.qkv_bias,
        "parallel_attn": config.parallel,
        "multi_query": True,
        "new_decoder_architecture": False,
        "alibi": False,
        "tie_word_embeddings": config.tied,
        **both_spellings(write_rope(config.ropes[0], config.head_dim)),
    }
