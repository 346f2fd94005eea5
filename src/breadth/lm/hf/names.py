"""The tensors of each family's checkpoints, as rules."""

from __future__ import annotations

from breadth.lm.config import LMConfig
from breadth.lm.hf.rules import Names, Rule

_BLOCK, _LAYER = "decoder.blocks.{i}.", "model.layers.{i}."

# a text model inside of one that sees: the two ways in which the text's names are put
INSIDE = ((r"^language_model\.", ""), (r"^model\.language_model\.", "model."))
SEEING = (r"(model\.)?(vision_tower|vision_model|multi_modal_projector)\..*",)
_NO_PREFIX = (r"^(?=(embed_tokens|layers|norm)\.)", "model.")  # a model saved without its head


def _block(*pairs: tuple[str, str | tuple[str, ...]]) -> tuple[Rule, ...]:
    """Rules inside of a layer."""
    return tuple(
        Rule(_BLOCK + ours, tuple(_LAYER + name for name in ((theirs,) if isinstance(theirs, str) else theirs)))
        for ours, theirs in pairs
    )


def _top(norm: str = "") -> tuple[Rule, ...]:
    return (
        Rule("embed.weight", ("model.embed_tokens.weight",)),
        Rule("head.weight", ("lm_head.weight",)),
        Rule("decoder.norm.weight", (f"model.norm.weight{norm}",)),
    )


def _attention(rotary: str = "") -> tuple[Rule, ...]:
    name = "self_attn.{}_proj.{{p}}".format
    return _block(
        ("attention.qkv.{p}", (name("q") + rotary, name("k") + rotary, name("v"))),
        ("attention.o.{p}", name("o")),
        ("attention.sinks", "self_attn.sinks"),
    )


def _qk_norm(norm: str = "") -> tuple[Rule, ...]:
    return _block(
        ("attention.q_norm.weight", f"self_attn.q_norm.weight{norm}"),
        ("attention.k_norm.weight", f"self_attn.k_norm.weight{norm}"),
    )


def _feed_forward(name: str = "mlp") -> tuple[Rule, ...]:
    return _block(
        ("ffn.up.{p}", (f"{name}.gate_proj.{{p}}", f"{name}.up_proj.{{p}}")),
        ("ffn.down.{p}", f"{name}.down_proj.{{p}}"),
    )


def _shared(name: str) -> tuple[Rule, ...]:
    return _block(
        ("ffn.shared.up.weight", (f"{name}.gate_proj.weight", f"{name}.up_proj.weight")),
        ("ffn.shared.down.weight", f"{name}.down_proj.weight"),
    )


# in Llama's line the norm "post attention" stands before the feed-forward; in Gemma's and OLMo 2's behind attention
_BEFORE = _block(
    ("pre.0.weight", "input_layernorm.weight"),
    ("pre.1.weight", "post_attention_layernorm.weight"),
)
_BEHIND = _block(
    ("post.0.weight", "post_attention_layernorm.weight"),
    ("post.1.weight", "post_feedforward_layernorm.weight"),
)
_AROUND = _block(
    ("pre.0.weight", "input_layernorm.weight less_one"),
    ("post.0.weight", "post_attention_layernorm.weight less_one"),
    ("pre.1.weight", "pre_feedforward_layernorm.weight less_one"),
    ("post.1.weight", "post_feedforward_layernorm.weight less_one"),
)
_EACH_EXPERT = _block(
    ("ffn.router.weight", "mlp.gate.weight"),
    ("ffn.correction", "mlp.gate.e_score_correction_bias float32"),
    ("ffn.up", ("mlp.experts.{e}.gate_proj.weight", "mlp.experts.{e}.up_proj.weight")),
    ("ffn.down", "mlp.experts.{e}.down_proj.weight"),
)
_TABLES = (r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq",)  # of old Llamas: computed, not learned

_LLAMA = Names(_top() + _attention() + _qk_norm() + _BEFORE + _feed_forward(), (_NO_PREFIX,), _TABLES)
_OLMO2 = Names(_top() + _attention() + _qk_norm() + _BEHIND + _feed_forward(), (_NO_PREFIX,))
_GEMMA = Names(
    _top(" less_one") + _attention() + _qk_norm(" less_one") + _AROUND + _feed_forward(),
    (*INSIDE, _NO_PREFIX),
    SEEING,
)
_QWEN3_MOE = Names(_top() + _attention() + _qk_norm() + _BEFORE + _EACH_EXPERT + _feed_forward(), (_NO_PREFIX,))
_GLM = Names(
    _top()
    + _attention(" rotary")
    + _BEFORE
    + _block(("ffn.up.weight", "mlp.gate_up_proj.weight"), ("ffn.down.weight", "mlp.down_proj.weight")),
    (_NO_PREFIX,),
)
_LLAMA4 = Names(
    _top()
    + _attention(" rotary")
    + tuple(Rule(_BLOCK + f"attention.{name}_norm.weight") for name in "qk")  # no gains: all are 1
    + _BEFORE
    + _block(
        ("ffn.router.weight", "feed_forward.router.weight"),
        ("ffn.up", "feed_forward.experts.gate_up_proj transposed"),
        ("ffn.down", "feed_forward.experts.down_proj transposed"),
    )
    + _shared("feed_forward.shared_expert")
    + _feed_forward("feed_forward"),
    (*INSIDE, _NO_PREFIX),
    SEEING,
)
_GPT_OSS = Names(
    _top()
    + _attention()
    + _BEFORE
    + _block(
        ("ffn.router.{p}", "mlp.router.{p}"),
        ("ffn.up", "mlp.experts.gate_up_proj transposed paired"),
        ("ffn.up_bias", "mlp.experts.gate_up_proj_bias paired"),
        ("ffn.down", "mlp.experts.down_proj transposed"),
        ("ffn.down_bias", "mlp.experts.down_proj_bias"),
    ),
    (_NO_PREFIX,),
)


def _deepseek(config: LMConfig) -> Names:
    """The query has one matrix or two; layers beyond the last predict further tokens and are left out."""
    turned = "" if config.mla is None else " rotary_q"
    query = "q_b_proj" if config.mla is not None and config.mla.q_rank else "q_proj"
    attention = _block(
        ("attention.q_a.{p}", "self_attn.q_a_proj.{p}"),
        ("attention.q_a_norm.weight", "self_attn.q_a_layernorm.weight"),
        ("attention.q_b.weight", f"self_attn.{query}.weight{turned}"),
        ("attention.kv_a.{p}", "self_attn.kv_a_proj_with_mqa.{p} rotary_kv"),
        ("attention.kv_a_norm.weight", "self_attn.kv_a_layernorm.weight"),
        ("attention.kv_b.weight", "self_attn.kv_b_proj.weight"),
        ("attention.o.{p}", "self_attn.o_proj.{p}"),
    )
    return Names(
        _top() + attention + _BEFORE + _EACH_EXPERT + _shared("mlp.shared_experts") + _feed_forward(),
        (_NO_PREFIX,),
        _TABLES,
        beyond=r"model\.layers\.(\d+)\.",
    )


_OLD = r"^(?=(wte|wpe|ln_f|h)\.)"
_GPT2_BLOCK = "transformer.h.{i}."
_GPT2 = Names(
    (
        Rule("embed.weight", ("transformer.wte.weight",)),
        Rule("positions.weight", ("transformer.wpe.weight",)),
        Rule("head.weight", ("lm_head.weight",)),
        Rule("decoder.norm.{p}", ("transformer.ln_f.{p}",)),
        Rule(_BLOCK + "pre.0.{p}", (_GPT2_BLOCK + "ln_1.{p}",)),
        Rule(_BLOCK + "pre.1.{p}", (_GPT2_BLOCK + "ln_2.{p}",)),
        *(
            rule
            for ours, theirs in (
                ("attention.qkv", "attn.c_attn"),
                ("attention.o", "attn.c_proj"),
                ("ffn.up", "mlp.c_fc"),
                ("ffn.down", "mlp.c_proj"),
            )
            for rule in (
                Rule(_BLOCK + ours + ".weight", (_GPT2_BLOCK + theirs + ".weight transposed",)),
                Rule(_BLOCK + ours + ".bias", (_GPT2_BLOCK + theirs + ".bias",)),
            )
        ),
    ),
    ((_OLD, "transformer."),),
    (r"transformer\.h\.\d+\.attn\.(masked_)?bias",),  # masks
)

_BERT_BLOCK = "bert.encoder.layer.{i}."
_BERT_QKV = tuple(_BERT_BLOCK + f"attention.self.{name}.{{p}}" for name in ("query", "key", "value"))
_BERT = Names(
    (
        Rule("embed.weight", ("bert.embeddings.word_embeddings.weight",)),
        Rule("positions.weight", ("bert.embeddings.position_embeddings.weight",)),
        Rule("types.weight", ("bert.embeddings.token_type_embeddings.weight",)),
        Rule("embed_norm.{p}", ("bert.embeddings.LayerNorm.{p}",)),
        Rule(_BLOCK + "attention.qkv.{p}", _BERT_QKV),
        Rule(_BLOCK + "attention.o.{p}", (_BERT_BLOCK + "attention.output.dense.{p}",)),
        Rule(_BLOCK + "post.0.{p}", (_BERT_BLOCK + "attention.output.LayerNorm.{p}",)),
        Rule(_BLOCK + "ffn.up.{p}", (_BERT_BLOCK + "intermediate.dense.{p}",)),
        Rule(_BLOCK + "ffn.down.{p}", (_BERT_BLOCK + "output.dense.{p}",)),
        Rule(_BLOCK + "post.1.{p}", (_BERT_BLOCK + "output.LayerNorm.{p}",)),
        Rule("mlm.{p}", ("cls.predictions.transform.dense.{p}",)),
        Rule("mlm_norm.{p}", ("cls.predictions.transform.LayerNorm.{p}",)),
        Rule("head.bias", ("cls.predictions.bias",)),
        Rule("head.weight", ("cls.predictions.decoder.weight",)),
    ),
    (
        (r"\.gamma$", ".weight"),
        (r"\.beta$", ".bias"),
        (r"^(?=(embeddings|encoder|pooler)\.)", "bert."),
        (r"^cls\.predictions\.decoder\.bias$", "cls.predictions.bias"),
    ),
    (r"bert\.embeddings\.position_ids", r"bert\.pooler\..*", r"cls\.seq_relationship\..*"),
    head="cls.predictions.decoder.weight",
)


def _t5_stack(stack: str, feed_forward: int, gated: bool) -> tuple[Rule, ...]:
    ours, theirs = f"{stack}.blocks.{{i}}.", f"{stack}.block.{{i}}.layer."
    last = f"{feed_forward}"
    up = ("wi_0", "wi_1") if gated else ("wi",)
    rules = (
        Rule(f"{stack}.norm.weight", (f"{stack}.final_layer_norm.weight",)),
        Rule(f"{stack}.relative.weight", (f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight",)),
        Rule(ours + "attention.qkv.weight", tuple(theirs + f"0.SelfAttention.{n}.weight" for n in "qkv")),
        Rule(ours + "attention.o.weight", (theirs + "0.SelfAttention.o.weight",)),
        Rule(ours + "pre.0.weight", (theirs + "0.layer_norm.weight",)),
        Rule(ours + "ffn.up.weight", tuple(theirs + f"{last}.DenseReluDense.{n}.weight" for n in up)),
        Rule(ours + "ffn.down.weight", (theirs + f"{last}.DenseReluDense.wo.weight",)),
        Rule(ours + f"pre.{last}.weight", (theirs + f"{last}.layer_norm.weight",)),
    )
    if feed_forward == 1:
        return rules
    return (
        *rules,
        Rule(ours + "cross.qkv.weight", tuple(theirs + f"1.EncDecAttention.{n}.weight" for n in "qkv")),
        Rule(ours + "cross.o.weight", (theirs + "1.EncDecAttention.o.weight",)),
        Rule(ours + "pre.1.weight", (theirs + "1.layer_norm.weight",)),
    )


def _t5(config: LMConfig) -> Names:
    """Two stacks that share their embedding; the first block's table of biases serves the whole stack."""
    return Names(
        (
            Rule("embed.weight", ("shared.weight",)),
            Rule("head.weight", ("lm_head.weight",)),
            *_t5_stack("encoder", 1, config.gated),
            *_t5_stack("decoder", 2, config.gated),
        ),
        ignored=(
            r"(encoder|decoder)\.embed_tokens\.weight",
            r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",
        ),
    )


_FALCON_BLOCK = "transformer.h.{i}."
_FALCON = Names(
    (
        Rule("embed.weight", ("transformer.word_embeddings.weight",)),
        Rule("head.weight", ("lm_head.weight",)),
        Rule("decoder.norm.{p}", ("transformer.ln_f.{p}",)),
        Rule(_BLOCK + "pre.0.{p}", (_FALCON_BLOCK + "input_layernorm.{p}",)),
        Rule(_BLOCK + "pre.1.{p}", (_FALCON_BLOCK + "post_attention_layernorm.{p}",)),
        Rule(_BLOCK + "attention.qkv.{p}", (_FALCON_BLOCK + "self_attention.query_key_value.{p}",)),
        Rule(_BLOCK + "attention.o.{p}", (_FALCON_BLOCK + "self_attention.dense.{p}",)),
        Rule(_BLOCK + "ffn.up.{p}", (_FALCON_BLOCK + "mlp.dense_h_to_4h.{p}",)),
        Rule(_BLOCK + "ffn.down.{p}", (_FALCON_BLOCK + "mlp.dense_4h_to_h.{p}",)),
    ),
    ((r"^(?=(word_embeddings|h|ln_f)\.)", "transformer."),),
)

_NAMES = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "smollm3": _LLAMA,
    "qwen3_moe": _QWEN3_MOE,
    "olmo2": _OLMO2,
    "glm": _GLM,
    "gemma2": _GEMMA,
    "gemma3_text": _GEMMA,
    "deepseek_v3": _deepseek,
    "llama4_text": _LLAMA4,
    "gpt_oss": _GPT_OSS,
    "gpt2": _GPT2,
    "bert": _BERT,
    "t5": _t5,
    "falcon": _FALCON,
}


def names_of(family: str, config: LMConfig) -> Names:
    """The tensors of a family's checkpoints for a model."""
    names = _NAMES[family]
    return names if isinstance(names, Names) else names(config)
