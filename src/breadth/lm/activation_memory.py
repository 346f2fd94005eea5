"""Memory of what a model computes on the way: at inference what lives at the widest moment, in training what is kept.

Nothing here needs torch. Counts are those of `LM`, tensor by tensor; weights, gradients and caches are not in them.
"""

from __future__ import annotations

from dataclasses import dataclass

from breadth.lm.config import Layer, LMConfig


@dataclass(frozen=True)
class Kept:
    """What a token of a layer or a head leaves for the gradient.

    Attributes:
        numbers: in the type that is computed in.
        wide: in float32: statistics of norms, the kernel's log-sum-exp.
        masks: of dropout, a byte each.
    """

    numbers: float = 0
    wide: float = 0
    masks: float = 0

    def __add__(self, other: Kept) -> Kept:
        return Kept(self.numbers + other.numbers, self.wide + other.wide, self.masks + other.masks)

    def __mul__(self, times: float) -> Kept:
        return Kept(self.numbers * times, self.wide * times, self.masks * times)

    def bytes(self, bytes_per_number: float) -> float:
        """All of it in bytes."""
        return self.numbers * bytes_per_number + 4 * self.wide + self.masks


def training_activation_bytes(
    config: LMConfig,
    length: int,
    batch: int = 1,
    *,
    source_length: int | None = None,
    bytes_per_number: float = 2,
    scores: bool = False,
    recompute: bool = False,
) -> float:
    """Bytes that the forward pass of a batch leaves for the gradients.

    Of each token a layer keeps what goes into its norms, its linear maps and its activation, and queries, keys, values
    and what attention gives. For GPT-2's layer with dropout and with scores these are, at 2 bytes a number,

        s b h (34 + 5 a s / h) bytes a layer

    of Korthikanti et al., for s tokens, b texts, h = d_model and a heads; besides there are statistics of norms. Behind
    the layers come the last norm, the head's input, and the loss's log-probabilities in float32.

    Args:
        config: of the model.
        length: tokens of each text, >= 1.
        batch: texts, >= 1.
        source_length: tokens of what an encoder reads; None takes length.
        bytes_per_number: 2 for bfloat16, 4 for float32.
        scores: attention keeps its probabilities, as it does without a flash kernel. With dropout, a soft cap or a
            learned bias of distances it keeps them anyhow.
        recompute: keep each layer's input alone, and compute a layer anew when its gradient's turn comes; the widest
            layer's activations are added once.

    Returns:
        Bytes.

    Raises:
        ValueError: if a length or batch is < 1.

    Cost: O(layers).
    Deviations:
        1. What all texts share is left out: rotary tables, biases, masks; and so are integers.
        2. Counted as a CPU computes it, where sinks need a key head for every query head; but for dropout's masks,
           which are numbers there and a byte each here, as in the paper and on other devices.
        3. The paper has neither statistics of norms nor gates, shared key heads and experts.
    References: Korthikanti et al. 2022, arXiv:2205.05198, eq. 1; Chen et al. 2016, arXiv:1604.06174 (recompute).
    Peer: tensors that torch keeps for the gradient, counted by its hooks, every preset: equal where all layers are
        dense and see the whole text, 1 % elsewhere (A); eq. 1 (B).
    """
    source_length = length if source_length is None else source_length
    _check(length, batch, source_length)
    whole = Kept()
    widest = 0.0
    for stack, tokens in ((config.encoder, source_length), (config, length)):
        if stack is None:
            continue
        cross = stack is config and config.encoder is not None
        layers = [_layer(stack, layer, tokens, scores) for layer in stack.layers]
        if cross:
            each = _cross(stack, source_length / length)
            layers = [layer + each for layer in layers]
        ends = _norm(stack, stack.d_model) if stack.final_norm else Kept()
        ends += Kept(stack.d_model, masks=stack.d_model if stack.embed_dropout else 0)
        if recompute:
            widest = max(widest, max(layer.bytes(bytes_per_number) for layer in layers) * tokens)
            layers = [Kept(stack.d_model)] * len(layers)
        whole += sum(layers, ends) * tokens
    head = Kept(wide=config.vocab_size)
    if config.mlm_head:
        head += _norm(config, config.d_model) + Kept(2 * config.d_model)
    if config.embed_norm:
        head += _norm(config, config.d_model)
    return batch * ((whole + head * length).bytes(bytes_per_number) + widest)


def inference_activation_bytes(
    config: LMConfig,
    length: int,
    batch: int = 1,
    *,
    past: int = 0,
    source_length: int | None = None,
    bytes_per_number: float = 2,
    scores: bool = False,
    last: bool = True,
) -> float:
    """Most bytes that live at once while a model reads tokens, without weights and cache.

    The embeddings, the stream and its normalised copy, and beside them the widest of: queries, keys and values while
    they are turned; these and what attention gives; a feed-forward layer's inner rows before and behind the activation;
    the logits. A prefill is length=T; a step of decoding is length=1 behind `past` tokens.

    Args:
        config: of the model.
        length: new tokens of each text, >= 1.
        batch: texts, >= 1.
        past: tokens in the cache.
        source_length: tokens of what an encoder reads before, whose states stay; None takes length.
        bytes_per_number: 2 for bfloat16, 4 for float32.
        scores: attention makes all its scores at once, as it does without a flash kernel.
        last: logits of the last token alone.

    Returns:
        Bytes.

    Raises:
        ValueError: if a length or batch is < 1, or past is < 0.

    Cost: O(layers).
    Deviations: allocators round up, and kernels have workspaces of their own.
    References: Korthikanti et al. 2022, arXiv:2205.05198, section 4.1, whose tensors these are.
    Peer: the peak of torch's operators, each of whose results is followed to its end, prefill and chunks
        of every decoder's preset, 15 % (A); a step of one token, which has kernels of its own, is not measured.
    """
    source_length = length if source_length is None else source_length
    _check(length, batch, source_length)
    if past < 0:
        raise ValueError(f"past must be >= 0, got {past}")
    d = config.d_model
    widest = max(_moment(config, layer, length, past, scores) for layer in config.layers)
    logits = config.vocab_size / length if last else config.vocab_size
    numbers = length * max(widest, 2 * d, d + logits)
    if config.encoder is not None:
        states = source_length * d
        reading = source_length * max(
            _moment(config.encoder, each, source_length, 0, scores) for each in config.encoder.layers
        )
        numbers = max(reading, states + numbers)
    return batch * bytes_per_number * numbers


def _check(length: int, batch: int, source_length: int = 1) -> None:
    if length < 1 or batch < 1 or source_length < 1:
        raise ValueError(f"length, batch and source_length must be >= 1, got {length}, {batch} and {source_length}")


def _norm(config: LMConfig, width: int) -> Kept:
    """A norm's input and its statistics."""
    return Kept(width, 2 if config.norm == "layer" else 1)


def _layer(config: LMConfig, layer: Layer, length: int, scores: bool) -> Kept:
    """What a layer keeps of a token; cross-attention apart."""
    d, branches = config.d_model, 1 if config.parallel else 2
    kept = _norm(config, d) * (branches * (2 if config.norm_placement == "both" else 1))
    kept += Kept(d * branches)  # what goes into attention's and the feed-forward's linear maps
    kept += _attention(config, layer, length, scores) + _feed_forward(config, layer)
    return kept + Kept(masks=2 * d if config.residual_dropout else 0)


def _attention(config: LMConfig, layer: Layer, length: int, scores: bool) -> Kept:
    h, g, e, m = config.n_heads, config.n_kv_heads, config.head_dim, config.mla
    if m is not None:
        kept = Kept(2 * m.kv_rank, 1) + (Kept(2 * m.q_rank, 1) if m.q_rank is not None else Kept())
        kept += Kept(2 * h * (m.nope_dim + m.rope_dim) + h * m.v_dim)  # queries, keys and values of all heads
        output = h * m.v_dim
    else:
        kept = Kept((h + 2 * (h if config.sinks else g)) * e)
        if config.qk_norm is not None and layer.qk_norm:
            kept += Kept((h + g) * e, (h + g) if config.qk_norm == "head" else 2)
        output = h * e
    return kept + Kept(output) + _scores(config, length, scores)


def _scores(config: LMConfig, length: int, scores: bool) -> Kept:
    """Probabilities; before them scores that are capped; and with dropout what is left of them. Or the kernel's sum."""
    h, dropped = config.n_heads, config.attention_dropout > 0
    if not (scores or dropped or config.softcap is not None or config.relative is not None):
        return Kept(wide=h)
    copies = 1 + dropped + (config.softcap is not None)
    return Kept(h * length * copies, masks=h * length if dropped else 0)


def _cross(config: LMConfig, sources: float) -> Kept:
    """Of a token of the text, with so many tokens of the source to each."""
    h, g, e, d = config.n_heads, config.n_kv_heads, config.head_dim, config.d_model
    kept = _norm(config, d) + Kept(d + 2 * h * e + sources * 2 * g * e, h)
    return kept + Kept(masks=d if config.residual_dropout else 0)


def _feed_forward(config: LMConfig, layer: Layer) -> Kept:
    if not layer.moe:
        return Kept(_inner(config, config.d_ff))
    moe = config.moe
    assert moe is not None  # LMConfig refuses layers with experts where there are none
    # rows that are sorted by expert, what the experts give, and that once more, weighted or in the tokens' order
    routed = moe.top_k * (3 * config.d_model + _inner(config, moe.d_ff))
    shared = _inner(config, moe.shared_d_ff) if moe.shared_d_ff else 0
    return Kept(routed + shared, moe.n_experts + moe.top_k + (moe.top_k + 1 if moe.normalize else 0))


def _inner(config: LMConfig, width: int) -> int:
    """Before the activation (ReLU's gradient needs none of it), behind it, and with a gate the other half and all."""
    if config.activation == "clamped_swiglu":
        return 7 * width  # both before they are clamped; the gate behind, its sigmoid and its product; up + 1; and all
    return width * ((4 if config.gated else 2) - (config.activation == "relu"))


def _moment(config: LMConfig, layer: Layer, length: int, past: int, scores: bool) -> float:
    """Numbers a token that live at a layer's widest moment: embeddings, stream, its normalised copy, and a part."""
    h, g, e, d, m = config.n_heads, config.n_kv_heads, config.head_dim, config.d_model, config.mla
    if m is not None:
        qk = m.nope_dim + m.rope_dim
        # latents, keys and values from them, queries; and both once more with their turned parts
        projected = 3 * m.kv_rank + 2 * m.rope_dim + h * (3 * qk + m.nope_dim + m.rope_dim + m.v_dim)
        turned, output = 0, h * m.v_dim
    else:
        qk, projected, output = e, (h + 2 * g) * e, h * e
        turned = 0 if layer.rope is None else (h + g) * e
    scored: float = h
    if scores or config.softcap is not None:
        scored = 2 * h * (past + length + qk)
        if m is not None and past:  # the latents in the cache, once for each head
            scored += h * (2 * m.kv_rank + m.rope_dim) * (past + length) / length
    attention = projected + max(3 * turned, turned + output + scored, output + d)
    wide = 4 if config.gated else 2
    inner = wide * config.d_ff
    if layer.moe and config.moe is not None:
        moe = config.moe
        # rows sorted by expert, what the experts give, that in one, and in the tokens' order; or an expert at work
        inner = moe.top_k * max(4 * d, 2 * d + wide * moe.d_ff / moe.n_experts)
        inner = max(inner, d + wide * moe.shared_d_ff)
    streams = 3 if config.norm_placement in ("pre", "both") else 2
    return streams * d + max(attention, inner)
