"""Small checkpoints of every family, made by transformers: no weight is at a neutral value, and every switch bites.

Windows, chunks and original contexts are shorter than the 40 tokens of the tests, heads have a size that is not
d_model / n_heads where a family allows it, gains and biases are away from 1 and 0, and sums stay near 1 in size.
"""

from __future__ import annotations

from typing import Any

VOCAB = 211
BASE: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
SCALED = {
    "rope_type": "llama3",
    "rope_theta": 5e5,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "original_max_position_embeddings": 64,
}
LATENT: dict[str, Any] = {
    **BASE,
    "num_key_value_heads": 4,
    "moe_intermediate_size": 32,
    "kv_lora_rank": 20,
    "qk_rope_head_dim": 16,
    "qk_nope_head_dim": 12,
    "v_head_dim": 24,
    "num_experts_per_tok": 4,
    "first_k_dense_replace": 1,
}
T5: dict[str, Any] = {
    "vocab_size": VOCAB,
    "d_model": 64,
    "d_kv": 24,
    "d_ff": 96,
    "num_layers": 2,
    "num_heads": 4,
    "relative_attention_num_buckets": 16,
    "relative_attention_max_distance": 24,
    "decoder_start_token_id": 0,
}

# name -> class of transformers, settings
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2LMHeadModel", {"vocab_size": VOCAB, "n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 256}),
    "bert": (
        "BertForMaskedLM",
        {
            "vocab_size": VOCAB,
            "hidden_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "intermediate_size": 96,
            "max_position_embeddings": 256,
        },
    ),
    "t5": ("T5ForConditionalGeneration", {**T5, "num_decoder_layers": 3}),
    "t5_v1.1": ("T5ForConditionalGeneration", {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    "llama": ("LlamaForCausalLM", BASE),
    "llama_biased": ("LlamaForCausalLM", {**BASE, "attention_bias": True, "mlp_bias": True}),
    "llama3.1": (
        "LlamaForCausalLM",
        {**BASE, "head_dim": 32, "tie_word_embeddings": True, "rope_parameters": SCALED},
    ),
    "mistral": ("MistralForCausalLM", {**BASE, "head_dim": 32, "sliding_window": 9}),
    "qwen2": ("Qwen2ForCausalLM", BASE),
    "qwen3": ("Qwen3ForCausalLM", {**BASE, "head_dim": 32}),
    "qwen3_moe": (
        "Qwen3MoeForCausalLM",
        {
            **BASE,
            "head_dim": 32,
            "num_experts": 8,
            "num_experts_per_tok": 3,
            "moe_intermediate_size": 32,
            "norm_topk_prob": True,
            "mlp_only_layers": [1],
        },
    ),
    "smollm3": ("SmolLM3ForCausalLM", {**BASE, "num_hidden_layers": 5}),
    "olmo2": ("Olmo2ForCausalLM", BASE),
    "gemma2": (
        "Gemma2ForCausalLM",
        {
            **BASE,
            "head_dim": 32,
            "sliding_window": 8,
            "query_pre_attn_scalar": 24,
            "attn_logit_softcapping": 3.0,
            "final_logit_softcapping": 9.0,
        },
    ),
    "gemma3": (
        "Gemma3ForCausalLM",
        {
            **BASE,
            "num_hidden_layers": 7,
            "head_dim": 32,
            "sliding_window": 8,
            "query_pre_attn_scalar": 24,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            },
        },
    ),
    "deepseek_v3": (
        "DeepseekV3ForCausalLM",
        {
            **LATENT,
            "n_shared_experts": 2,
            "n_routed_experts": 16,
            "routed_scaling_factor": 2.5,
            "q_lora_rank": 28,
            "n_group": 4,
            "topk_group": 2,
            "rope_parameters": {**YARN, "mscale": 1.0, "mscale_all_dim": 1.0},
        },
    ),
    "kimi_k2": (
        "DeepseekV3ForCausalLM",
        {
            **LATENT,
            "n_shared_experts": 1,
            "n_routed_experts": 24,
            "routed_scaling_factor": 2.827,
            "q_lora_rank": None,  # the other branch; Kimi K2 itself has a rank
            "n_group": 1,
            "topk_group": 1,
            "rope_parameters": {
                **YARN,
                "rope_theta": 50000.0,
                "factor": 32.0,
                "beta_fast": 1.0,
                "mscale": 1.0,
                "mscale_all_dim": 1.0,
            },
        },
    ),
    "llama4": (
        "Llama4ForCausalLM",
        {
            **BASE,
            "head_dim": 32,
            "intermediate_size_mlp": 128,
            "num_local_experts": 4,
            "num_experts_per_tok": 1,
            "interleave_moe_layer_step": 2,
            "attention_chunk_size": 8,
            "floor_scale": 8,
            "attn_scale": 0.1,
            "rope_parameters": SCALED,
        },
    ),
    "gpt_oss": (
        "GptOssForCausalLM",
        {
            **BASE,
            "head_dim": 32,
            "sliding_window": 8,
            "num_local_experts": 8,
            "num_experts_per_tok": 3,
            "rope_parameters": {**YARN, "rope_theta": 150000.0, "factor": 32.0, "truncate": False},
        },
    ),
    "glm": ("GlmForCausalLM", {**BASE, "head_dim": 32, "attention_bias": True}),
    "falcon": (
        "FalconForCausalLM",
        {
            "vocab_size": VOCAB,
            "hidden_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "multi_query": True,
            "parallel_attn": True,
            "bias": False,
            "alibi": False,
            "max_position_embeddings": 256,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
}
DECODERS = [name for name in MODELS if name not in ("bert", "t5", "t5_v1.1")]


def build(name: str, seed: int = 0) -> Any:
    """The model of transformers, in float32, with every tensor drawn anew."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    kind, settings = MODELS[name]
    cls = getattr(transformers, kind)
    config = cls.config_class(**settings)
    config._attn_implementation = "eager"
    torch.manual_seed(seed)
    model = cls(config).float().eval()
    if settings.get("tie_word_embeddings") is False and config.is_encoder_decoder:
        # the head of T5 1.1 is its own, which transformers learns from a file with both tensors
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
        model.all_tied_weights_keys.pop("lm_head.weight")
    perturb(model, seed + 1)
    return model


def perturb(model: Any, seed: int) -> None:
    """Draw matrices with variance 1 / inputs; move gains, biases, sinks and corrections by 0.3 N(0, 1)."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    moved = [(n, p) for n, p in model.named_parameters()]
    moved += [(n, b) for n, b in model.named_buffers() if "correction_bias" in n]
    with torch.no_grad():
        for name, tensor in moved:
            noise = torch.randn(tensor.shape, generator=generator)
            if tensor.ndim == 1 or "bias" in name or "norm" in name.lower():
                tensor.add_(0.3 * noise)
            else:
                inputs = 64 if "experts" in name else tensor.shape[-1]
                tensor.copy_(noise * inputs**-0.5)
