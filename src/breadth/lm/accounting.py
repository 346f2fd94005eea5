"""What a model costs, computed from its config: parameters, cache, arithmetic, and bytes of its weights.

Nothing here needs torch. The counts are exact: those of the model that `LM(config)` makes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal, get_args

from breadth.lm.config import Layer, LMConfig

Format = Literal["fp32", "bf16", "fp8", "int8", "int4", "mxfp4"]
GROUP = 32  # weights that share a scale, in "int4" and "mxfp4"
BLOCK = 128  # rows and columns that share a scale in "fp8"


@dataclass(frozen=True)
class Part:
    """Some weights of a model.

    Attributes:
        name: "embedding", "attention", "feed-forward", "experts", "shared expert", "router", "norms", "head", ...
        rows, columns: of each matrix; a vector has no rows.
        count: matrices or vectors of this shape.
        active: how many of them one token is multiplied by; an embedding's rows are looked up, and none is.
    """

    name: str
    rows: int
    columns: int
    count: int = 1
    active: int = 1

    @property
    def size(self) -> int:
        """Numbers in one of them."""
        return max(self.rows, 1) * self.columns


def parts(config: LMConfig) -> Iterator[Part]:
    """Every weight of a model, an encoder's too; a head that is the embedding is a part of count 0."""
    d, v = config.d_model, config.vocab_size
    yield Part("embedding", v, d, active=0)
    for rows in (config.learned_positions, config.span_positions, config.token_types):
        if rows:
            yield Part("positions", rows, d, active=0)
    if config.embed_norm:
        yield from _norms(config, d, 1)
    if config.encoder is not None:
        yield from _stack(config.encoder, cross=False)
    yield from _stack(config, cross=config.encoder is not None)
    if config.mlm_head:
        yield from _linear("head", d, d, bias=True)
        yield from _norms(config, d, 1)
        yield Part("head", 0, v)
    yield Part("head", v, d, count=0 if config.tied else 1)


def parameters(config: LMConfig) -> int:
    """How many numbers a model learns; a head that is the embedding counts once.

    Args:
        config: of the model.

    Returns:
        Their number.

    Cost: O(layers).
    References: Kaplan et al. 2020, arXiv:2001.08361, table 1, which leaves embeddings, norms and biases out.
    Peer: `sum(p.numel() for p in LM(config).parameters())`, exact (B).
    """
    return sum(part.count * part.size for part in parts(config))


def active_parameters(config: LMConfig) -> int:
    """How many of them a token meets: of the experts, its top_k; of the embedding, all.

    Args:
        config: of the model.

    Returns:
        `parameters` less those of the experts that a token does not go to.

    Cost: O(layers).
    Deviations: some publishers leave the embedding out where the head is not tied: GPT-OSS's table does.
    References: DeepSeek-AI 2024, arXiv:2412.19437, section 1; OpenAI 2025, arXiv:2508.10925, table 1.
    Peer: published figures (B).
    """
    return sum((part.active if part.name == "experts" else part.count) * part.size for part in parts(config))


def kv_bytes_per_token(config: LMConfig, *, bytes_per_number: float = 2) -> float:
    """Bytes of the cache that one more token takes while no window is full.

    Keys and values of each layer, 2 n_kv_heads head_dim; with latent attention the latent and the shared turned key,
    kv_rank + rope_dim.

    Args:
        config: of the model.
        bytes_per_number: 2 for bfloat16.

    Returns:
        Bytes, of all layers.

    Cost: O(1).
    References: Ainslie et al. 2023, arXiv:2305.13245, section 2; DeepSeek-AI 2024, arXiv:2405.04434, table 1.
    Peer: size of the tensors that a cache holds (B).
    """
    return len(config.layers) * _kv_numbers(config) * bytes_per_number


def kv_bytes(
    config: LMConfig, length: int | None = None, *, bytes_per_number: float = 2, source_length: int = 0
) -> float:
    """Bytes of the cache behind a text: layers with a window, or stretches, keep no more than that.

    Args:
        config: of the model.
        length: tokens, >= 0; None for the full context.
        bytes_per_number: 2 for bfloat16.
        source_length: tokens of the encoder's text, whose keys and values each layer of the decoder keeps.

    Returns:
        Bytes of one text's cache, of all layers.

    Raises:
        ValueError: if a length is negative.

    Cost: O(layers).
    References: Xiao et al. 2023, arXiv:2309.17453, figure 1; Gemma Team 2025, arXiv:2503.19786, section 2.
    Deviations: `Cache`'s window takes half as much again, so that it is moved seldom and can be cut back.
    Peer: size of the tensors that a cache of the whole text holds; windows by hand (B).
    """
    length = config.context_length if length is None else length
    if length < 0 or source_length < 0:
        raise ValueError(f"length and source_length must be >= 0, got {length} and {source_length}")
    kept = sum(min(length, layer.window or layer.chunk or length) for layer in config.layers)
    crossed = source_length * len(config.layers) if config.encoder is not None else 0
    return (kept + crossed) * _kv_numbers(config) * bytes_per_number


def flops_per_token(config: LMConfig, length: int = 1) -> int:
    """Floating-point operations for the logits after the last token of a text, the others being cached.

    2 for each weight that the token is multiplied by, and in each layer 2 H (d_qk + d_v) for each key that it sees.

    Args:
        config: of the model; of an encoder-decoder, the decoder alone.
        length: tokens of the text, >= 1.

    Returns:
        Additions and multiplications, counted apart. Norms, activations and the softmax are left out.

    Raises:
        ValueError: if length < 1.

    Cost: O(layers).
    References: Kaplan et al. 2020, arXiv:2001.08361, table 1.
    Peer: `torch.utils.flop_counter` on the model (A).
    """
    if length < 1:
        raise ValueError(f"length must be >= 1, got {length}")
    alone = replace(config, encoder=None) if config.encoder is not None else config
    weights = sum(part.active * part.size for part in parts(alone) if part.rows)
    if config.encoder is not None:  # queries and outputs of cross-attention; its keys and values are made once a text
        weights += 2 * len(config.layers) * config.n_heads * config.head_dim * config.d_model
    width = 2 * config.head_dim if config.mla is None else config.mla.nope_dim + config.mla.rope_dim + config.mla.v_dim
    seen = sum(_keys_seen(layer, length) for layer in config.layers)
    return 2 * weights + 2 * config.n_heads * width * seen


def weight_bytes(config: LMConfig, format: Format = "bf16") -> float:
    """Bytes of the weights as they are stored.

    "fp8", "int8" and "int4" store matrices of attention, feed-forward layers and experts in 8 or 4 bits, with a
    float32 scale for each 128 x 128 block, a float32 scale for each row, and a bfloat16 scale and zero for each 32
    weights; "mxfp4" stores the experts in 4 bits with a byte for each 32, as GPT-OSS does. All else is bfloat16.

    Args:
        config: of the model.
        format: of the weights.

    Returns:
        Bytes, of scales too.

    Raises:
        ValueError: if the format is unknown.

    Cost: O(layers).
    References: Rouhani et al. 2023, arXiv:2310.10537, table 1 (mxfp4); DeepSeek-AI 2024, arXiv:2412.19437, section
        3.3.2 (fp8 blocks).
    Peer: size of the tensors that `breadth.quant` makes (B).
    """
    if format not in get_args(Format):
        raise ValueError(f"format must be one of {', '.join(map(repr, get_args(Format)))}, got {format!r}")
    if format == "fp32":
        return 4.0 * parameters(config)
    stored = ("experts",) if format == "mxfp4" else ("attention", "feed-forward", "experts", "shared expert")
    total = 0.0
    for part in parts(config):
        one = 2.0 * part.size
        if part.name in stored and part.rows and format != "bf16":
            one = _stored(part, format)
        total += part.count * one
    return total


def diff(one: Any, other: Any) -> dict[str, tuple[Any, Any]]:
    """What differs between two models: field -> its two values; fields of `mla`, `moe` and `encoder` by dotted name.

    Layers and rotary tables that are all alike on a side are given once, with their number.

    Args:
        one, other: configs.

    Returns:
        Only the fields whose values differ, in the order of `LMConfig`.

    Cost: O(layers).
    Peer: none needed: comparison of values (B).
    """
    found: dict[str, tuple[Any, Any]] = {}
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if a == b:
            continue
        if is_dataclass(a) and type(a) is type(b):
            found |= {f"{field.name}.{name}": pair for name, pair in diff(a, b).items()}
        elif is_dataclass(a) or is_dataclass(b):  # the other has no such part
            there = a if is_dataclass(a) else b
            values = {f"{field.name}.{part.name}": getattr(there, part.name) for part in fields(there)}
            found |= {name: (value, None) if there is a else (None, value) for name, value in values.items()}
        elif field.name in ("layers", "ropes"):
            found |= _diff_rows(field.name, a, b)
        else:
            found[field.name] = a, b
    return found


def _diff_rows(name: str, one: tuple, other: tuple) -> dict[str, tuple[Any, Any]]:
    """Of layers or rotary tables: their number, and each field as the pattern that its values make."""
    found: dict[str, tuple[Any, Any]] = {}
    if len(one) != len(other):
        found[name] = len(one), len(other)
    rows = one or other
    for field in fields(rows[0]):
        a, b = (_pattern([getattr(row, field.name) for row in rows]) for rows in (one, other))
        if a != b and one and other:
            found[f"{name}.{field.name}"] = a, b
    return found


def _pattern(values: list) -> Any:
    """The shortest stretch that, repeated, gives the values: one value alone, else a tuple."""
    for size in range(1, len(values) + 1):
        if all(value == values[i % size] for i, value in enumerate(values)):
            return values[0] if size == 1 else tuple(values[:size])
    return ()


def _stack(config: LMConfig, *, cross: bool) -> Iterator[Part]:
    d, branches = config.d_model, 1 if config.parallel else 3 if cross else 2
    norms = branches * (2 if config.norm_placement == "both" else 1)
    for layer in config.layers:
        yield from _norms(config, d, norms)
        yield from _attention(config, layer)
        if cross:
            yield from _projections(config)
        yield from _experts(config) if layer.moe else _feed_forward(config, "feed-forward", config.d_ff)
    if config.final_norm:
        yield from _norms(config, d, 1)
    if config.relative is not None:
        yield Part("positions", config.relative[0], config.n_heads, active=0)


def _projections(config: LMConfig) -> Iterator[Part]:
    h, g, e, d = config.n_heads, config.n_kv_heads, config.head_dim, config.d_model
    yield from _linear("attention", (h + 2 * g) * e, d, bias=config.qkv_bias)
    yield from _linear("attention", d, h * e, bias=config.o_bias)


def _attention(config: LMConfig, layer: Layer) -> Iterator[Part]:
    h, d, m = config.n_heads, config.d_model, config.mla
    if config.sinks:
        yield Part("attention", 0, h)
    if m is None:
        yield from _projections(config)
        if config.qk_norm is not None and layer.qk_norm:
            for heads in (h, config.n_kv_heads):
                yield from _norms(config, config.head_dim * (heads if config.qk_norm == "full" else 1), 1)
        return
    if m.q_rank is not None:
        yield from _linear("attention", m.q_rank, d, bias=config.qkv_bias)
        yield Part("norms", 0, m.q_rank)
    yield Part("attention", h * (m.nope_dim + m.rope_dim), d if m.q_rank is None else m.q_rank)
    yield from _linear("attention", m.kv_rank + m.rope_dim, d, bias=config.qkv_bias)
    yield Part("norms", 0, m.kv_rank)
    yield Part("attention", h * (m.nope_dim + m.v_dim), m.kv_rank)
    yield from _linear("attention", d, h * m.v_dim, bias=config.o_bias)


def _feed_forward(
    config: LMConfig, name: str, inner: int, *, bias: bool | None = None, **counts: int
) -> Iterator[Part]:
    bias = config.ffn_bias if bias is None else bias
    yield from _linear(name, inner * (2 if config.gated else 1), config.d_model, bias=bias, **counts)
    yield from _linear(name, config.d_model, inner, bias=bias, **counts)


def _experts(config: LMConfig) -> Iterator[Part]:
    moe = config.moe
    assert moe is not None  # LMConfig refuses layers with experts where there are none
    yield from _linear("router", moe.n_experts, config.d_model, bias=moe.bias)
    yield from _feed_forward(config, "experts", moe.d_ff, bias=moe.bias, count=moe.n_experts, active=moe.top_k)
    if moe.shared_d_ff:
        yield from _feed_forward(config, "shared expert", moe.shared_d_ff)


def _linear(name: str, rows: int, columns: int, *, bias: bool, **counts: int) -> Iterator[Part]:
    yield Part(name, rows, columns, **counts)
    if bias:
        yield Part(name, 0, rows, **counts)


def _norms(config: LMConfig, width: int, count: int) -> Iterator[Part]:
    yield Part("norms", 0, width, count=count * (2 if config.norm == "layer" else 1))


def _kv_numbers(config: LMConfig) -> int:
    """Numbers a layer keeps of a token."""
    if config.mla is not None:
        return config.mla.kv_rank + config.mla.rope_dim
    return 2 * config.n_kv_heads * config.head_dim


def _keys_seen(layer: Layer, length: int) -> int:
    if layer.chunk is not None:
        return (length - 1) % layer.chunk + 1
    return min(length, layer.window or length)


def _stored(part: Part, format: Format) -> float:
    """Bytes of one matrix with its scales."""
    if format == "fp8":
        return part.size + 4 * -(-part.rows // BLOCK) * -(-part.columns // BLOCK)
    if format == "int8":
        return part.size + 4 * part.rows
    groups = part.rows * -(-part.columns // GROUP)
    return part.rows * -(-part.columns // 2) + groups * (4 if format == "int4" else 1)
