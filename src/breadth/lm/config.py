"""What a language model is made of: sizes and switches, and for each layer the few things that may differ.

Nothing here needs torch. A model is described by values alone: two architectures differ where these do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

RopeKind = Literal["default", "linear", "llama3", "yarn"]
Score = Literal["softmax", "sigmoid"]
NormKind = Literal["rms", "layer"]
Placement = Literal["pre", "post", "both", "residual"]
QKNormKind = Literal["head", "full"]
Activation = Literal["silu", "relu", "squared_relu", "gelu", "gelu_tanh", "quick_gelu", "clamped_swiglu"]


@dataclass(frozen=True)
class Rope:
    """A rotary table: by which angles queries and keys are turned.

    Pairs are features i and i + dim / 2 of a head; features from dim on are not turned.

    Args:
        dim: features that are turned, even; at most the head's.
        theta: base of the frequencies theta^(-2i/dim).
        kind: how frequencies are stretched to a longer context: "linear", "llama3" and "yarn" as in
            `breadth.nn.positions`, "default" not at all.
        factor: of the stretch, >= 1.
        original_context: length of the context before it was stretched, for "llama3" and "yarn".
        low, high: turns in that context between which "llama3" blends, its low_freq_factor and high_freq_factor.
        beta_fast, beta_slow: turns in that context between which "yarn" blends.
        truncate: round the borders of yarn's blend to whole pairs.
        mscale: factor of cosines and sines.

    Raises:
        ValueError: if a number is out of its range; the message names the field.

    References: Su et al. 2021, arXiv:2104.09864, eq. 15; Peng et al. 2023, arXiv:2309.00071 (yarn).
    """

    dim: int
    theta: float = 10_000.0
    kind: RopeKind = "default"
    factor: float = 1.0
    original_context: int = 0
    low: float = 1.0
    high: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    mscale: float = 1.0

    def __post_init__(self) -> None:
        _among(self, "kind", get_args(RopeKind))
        if not isinstance(self.dim, int) or self.dim < 2 or self.dim % 2:
            raise ValueError(f"Rope.dim must be even and >= 2, got {self.dim}: rotations turn pairs")
        if not self.theta > 1:
            raise ValueError(f"Rope.theta must be > 1, got {self.theta}")
        if not 1 <= self.factor < math.inf:
            raise ValueError(f"Rope.factor must be >= 1, got {self.factor}; it is new context / original context")
        if not 0 < self.mscale < math.inf:
            raise ValueError(f"Rope.mscale must be > 0, got {self.mscale}")
        if self.kind in ("llama3", "yarn") and self.original_context < 1:
            raise ValueError(f"Rope.original_context must be >= 1 for kind {self.kind!r}, got {self.original_context}")
        if self.kind == "llama3" and not 0 < self.low <= self.high:
            raise ValueError(f"Rope.low and Rope.high must be 0 < low <= high, got {self.low} and {self.high}")
        if self.kind == "yarn" and not 0 < self.beta_slow <= self.beta_fast:
            raise ValueError(
                f"Rope.beta_slow and Rope.beta_fast must be 0 < slow <= fast, got {self.beta_slow} and {self.beta_fast}"
            )


@dataclass(frozen=True)
class MoE:
    """Experts in place of a feed-forward layer: each token goes to the top_k that its router scores highest.

    Args:
        n_experts: routed experts.
        top_k: of them each token goes to.
        d_ff: inner width of each.
        shared_d_ff: inner width of the expert that every token goes to; 0 has none.
        score: of the router's logits.
        normalize: weights of the chosen sum to one. With "softmax" this is the softmax over the chosen logits.
        scale: factor of the weights.
        correction: a bias of each expert that changes which are chosen, and not their weights.
        n_groups: of experts, of which top_groups with the two highest scores are kept; 1 keeps all.
        top_groups: see n_groups.
        bias: router and experts have biases.
        scale_input: the weight multiplies what goes into an expert, not what comes out.

    Raises:
        ValueError: if a number is out of its range; the message names the field.

    References: Shazeer et al. 2017, arXiv:1701.06538, section 2; DeepSeek-AI 2024, arXiv:2412.19437, section 2.1.2.
    """

    n_experts: int
    top_k: int
    d_ff: int
    shared_d_ff: int = 0
    score: Score = "softmax"
    normalize: bool = True
    scale: float = 1.0
    correction: bool = False
    n_groups: int = 1
    top_groups: int = 1
    bias: bool = False
    scale_input: bool = False

    def __post_init__(self) -> None:
        _at_least(self, 1, "n_experts", "top_k", "d_ff", "n_groups", "top_groups")
        _at_least(self, 0, "shared_d_ff")
        _among(self, "score", get_args(Score))
        if not math.isfinite(self.scale):
            raise ValueError(f"MoE.scale must be finite, got {self.scale}")
        if self.n_experts % self.n_groups:
            raise ValueError(f"MoE.n_groups must divide n_experts={self.n_experts}, got {self.n_groups}")
        if self.top_groups > self.n_groups:
            raise ValueError(f"MoE.top_groups must be <= n_groups={self.n_groups}, got {self.top_groups}")
        reach = self.top_groups * (self.n_experts // self.n_groups)
        if self.top_k > reach:
            raise ValueError(f"MoE.top_k must be <= the {reach} experts there are to choose from, got {self.top_k}")


@dataclass(frozen=True)
class MLA:
    """Multi-head latent attention: keys and values of all heads from one short vector a token, which is cached.

    Args:
        q_rank: of the queries' latent; None projects queries from the input.
        kv_rank: of the latent of keys and values.
        nope_dim: of each head's query and key, not turned.
        rope_dim: of each head's turned query, and of the one turned key that all heads share.
        v_dim: of each head's value.

    Raises:
        ValueError: if a size is < 1; the message names the field.

    References: DeepSeek-AI 2024, arXiv:2405.04434, eqs. 9-19 and 37-47.
    """

    q_rank: int | None
    kv_rank: int
    nope_dim: int
    rope_dim: int
    v_dim: int

    def __post_init__(self) -> None:
        _at_least(self, 1, "kv_rank", "nope_dim", "rope_dim", "v_dim")
        if self.q_rank is not None:
            _at_least(self, 1, "q_rank")


@dataclass(frozen=True)
class Layer:
    """What may differ from layer to layer.

    Args:
        rope: index into `LMConfig.ropes`; None turns nothing.
        window: a query sees keys less than so many positions back; None sees all.
        chunk: a query sees keys of its own stretch of so many positions; None sees all.
        moe: experts in place of the feed-forward layer.
        qk_norm: queries and keys are normalised, if the model has that at all.

    Raises:
        ValueError: if window or chunk is < 1, or both are given; the message names the field.
    """

    rope: int | None = 0
    window: int | None = None
    chunk: int | None = None
    moe: bool = False
    qk_norm: bool = True

    def __post_init__(self) -> None:
        for name in ("window", "chunk"):
            if getattr(self, name) is not None:
                _at_least(self, 1, name)
        if self.window is not None and self.chunk is not None:
            raise ValueError(f"Layer.chunk must be None beside window={self.window}, got {self.chunk}")


@dataclass(frozen=True, kw_only=True)
class LMConfig:
    """A Transformer language model: decoder, encoder (causal=False), or encoder and decoder (encoder=...).

    Args:
        vocab_size, d_model: of the embedding.
        n_heads, n_kv_heads, head_dim: of queries, of keys and values, and of each.
        d_ff: inner width of feed-forward layers that have no experts.
        layers: each layer's own settings.
        ropes: rotary tables that layers name by their index.
        context_length: the longest text.
        causal: a token sees those before it; False sees all.
        norm, norm_eps: "rms" has gains, "layer" gains and biases.
        norm_placement: "pre" x + f(norm(x)); "post" x + norm(f(x)); "both"; "residual" norm(x + f(x)).
        final_norm: one more behind the last layer.
        embed_norm: one more on the embeddings.
        qk_norm: of queries and keys before they are turned: "head" each head by itself, "full" all heads at once.
        attention_scale: of q k^T; None is 1 / sqrt(head_dim), or of MLA's nope_dim + rope_dim.
        softcap: bounds attention's scores to (-c, c) by c tanh(s / c).
        sinks: a learned logit of each head in the normaliser, without a value.
        qkv_bias, o_bias, ffn_bias: biases of these linear maps.
        temperature: (floor, slope): queries of layers without rotation times 1 + slope log(1 + floor((p + 1) / floor)).
        relative: (buckets, max_distance): a learned bias of the scores for each distance, shared by all layers.
        alibi: a bias of the scores that falls linearly with the distance.
        mla: latent attention in place of keys and values of each head.
        activation, gated: of the feed-forward layers; gated multiplies activation(gate) and up. "clamped_swiglu" is
            gated.
        moe: the experts of layers that have them.
        parallel: attention and feed-forward side by side, behind one norm: x + f(norm(x)) + g(norm(x)).
        learned_positions: rows of a learned table that is added to the embeddings; 0 has none.
        span_positions: rows of a second one, for positions inside of a blank to be filled; 0 has none.
        sinusoidal: add sinusoids to the embeddings.
        token_types: rows of a learned table for segments; 0 has none.
        embed_scale: factor of the embeddings.
        tied: the head is the embedding.
        logit_scale: factor of the final states before the head.
        logit_softcap: bounds logits as softcap does scores.
        mlm_head: a linear map, activation and norm before the head, which has a bias.
        encoder: of an encoder-decoder; its embedding is the decoder's.
        embed_dropout, attention_dropout, residual_dropout: shares dropped in training: of the embeddings, of
            attention's probabilities, and of what a layer's parts add to the stream. In evaluation nothing is dropped.

    Raises:
        ValueError: if a number is out of its range, or fields contradict each other; the message names the field.
        TypeError: if layers or ropes hold something else.
    """

    vocab_size: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    d_ff: int
    layers: tuple[Layer, ...]
    ropes: tuple[Rope, ...] = ()
    context_length: int = 2048
    causal: bool = True
    norm: NormKind = "rms"
    norm_eps: float = 1e-6
    norm_placement: Placement = "pre"
    final_norm: bool = True
    embed_norm: bool = False
    qk_norm: QKNormKind | None = None
    attention_scale: float | None = None
    softcap: float | None = None
    sinks: bool = False
    qkv_bias: bool = False
    o_bias: bool = False
    ffn_bias: bool = False
    temperature: tuple[float, float] | None = None
    relative: tuple[int, int] | None = None
    alibi: bool = False
    mla: MLA | None = None
    activation: Activation = "silu"
    gated: bool = True
    moe: MoE | None = None
    parallel: bool = False
    learned_positions: int = 0
    span_positions: int = 0
    sinusoidal: bool = False
    token_types: int = 0
    embed_scale: float = 1.0
    tied: bool = False
    logit_scale: float = 1.0
    logit_softcap: float | None = None
    mlm_head: bool = False
    encoder: LMConfig | None = None
    embed_dropout: float = 0.0
    attention_dropout: float = 0.0
    residual_dropout: float = 0.0

    def __post_init__(self) -> None:
        sizes = ("vocab_size", "d_model", "n_heads", "n_kv_heads", "head_dim", "d_ff", "context_length")
        _at_least(self, 1, *sizes)
        _at_least(self, 0, "learned_positions", "span_positions", "token_types")
        for name, allowed in (("norm", NormKind), ("norm_placement", Placement), ("activation", Activation)):
            _among(self, name, get_args(allowed))
        if self.qk_norm is not None:
            _among(self, "qk_norm", get_args(QKNormKind))
        for name, kind in (("layers", Layer), ("ropes", Rope)):
            if not isinstance(getattr(self, name), tuple) or not all(isinstance(x, kind) for x in getattr(self, name)):
                raise TypeError(f"LMConfig.{name} must be a tuple of {kind.__name__}, got {getattr(self, name)!r}")
        if not self.layers:
            raise ValueError("LMConfig.layers must hold at least one Layer, got ()")
        if self.n_heads % self.n_kv_heads:
            raise ValueError(f"LMConfig.n_kv_heads must divide n_heads={self.n_heads}, got {self.n_kv_heads}")
        for name in ("norm_eps", "embed_scale", "logit_scale"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"LMConfig.{name} must be >= 0 and finite, got {getattr(self, name)}")
        for name in ("embed_dropout", "attention_dropout", "residual_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"LMConfig.{name} must be in [0, 1), got {getattr(self, name)}")
        for name in ("attention_scale", "softcap", "logit_softcap"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"LMConfig.{name} must be > 0 and finite, or None, got {value}")
        self._check_layers()
        self._check_positions()
        self._check_together()

    def _check_layers(self) -> None:
        width = self.head_dim if self.mla is None else self.mla.rope_dim
        for i, layer in enumerate(self.layers):
            if layer.rope is not None and self.ropes and not 0 <= layer.rope < len(self.ropes):
                raise ValueError(
                    f"LMConfig.layers[{i}].rope must index one of {len(self.ropes)} ropes, got {layer.rope}"
                )
            if layer.rope is not None and not self.ropes:
                raise ValueError(f"LMConfig.layers[{i}].rope is {layer.rope}, and ropes is empty; None turns nothing")
            if layer.moe and self.moe is None:
                raise ValueError(f"LMConfig.layers[{i}].moe is True, and moe is None")
            if layer.chunk is not None and not self.causal:
                raise ValueError(f"LMConfig.layers[{i}].chunk needs a causal model")
        for i, rope in enumerate(self.ropes):
            if rope.dim > width:
                raise ValueError(f"LMConfig.ropes[{i}].dim must be <= {width}, the width of a head, got {rope.dim}")

    def _check_positions(self) -> None:
        if self.learned_positions and self.learned_positions < self.context_length:
            raise ValueError(
                f"LMConfig.learned_positions must be >= context_length={self.context_length}, or 0, got "
                f"{self.learned_positions}"
            )
        if self.relative is not None:
            buckets, distance = self.relative
            least = 2 if self.causal else 4
            if buckets < least or (not self.causal and buckets % 2):
                raise ValueError(f"LMConfig.relative needs >= {least} buckets, even if not causal, got {buckets}")
            side = buckets if self.causal else buckets // 2
            if distance <= side // 2:
                raise ValueError(f"LMConfig.relative needs a max_distance > {side // 2}, got {distance}")
        if self.temperature is not None and not self.temperature[0] > 0:
            raise ValueError(f"LMConfig.temperature needs a floor > 0, got {self.temperature[0]}")
        if self.sinusoidal and self.d_model % 2:
            raise ValueError(f"LMConfig.sinusoidal needs an even d_model, got {self.d_model}")

    def _check_together(self) -> None:
        if self.activation == "clamped_swiglu" and not self.gated:
            raise ValueError("LMConfig.gated must be True for activation 'clamped_swiglu', got False")
        if self.mlm_head and self.activation == "clamped_swiglu":
            raise ValueError("LMConfig.activation must be elementwise for mlm_head, got 'clamped_swiglu'")
        if self.parallel and self.norm_placement != "pre":
            raise ValueError(f"LMConfig.norm_placement must be 'pre' for parallel, got {self.norm_placement!r}")
        if self.parallel and self.encoder is not None:
            raise ValueError("LMConfig.parallel must be False for an encoder-decoder, got True")
        if self.mla is not None and (self.qk_norm is not None or self.n_kv_heads != self.n_heads):
            raise ValueError(
                f"LMConfig.mla needs qk_norm=None and n_kv_heads=n_heads, got {self.qk_norm!r} and {self.n_kv_heads}"
            )
        if self.alibi and self.relative is not None:
            raise ValueError("LMConfig.alibi must be False beside relative, got True")
        if self.encoder is not None:
            if self.encoder.causal or self.encoder.encoder is not None:
                raise ValueError("LMConfig.encoder must have causal=False and no encoder of its own")
            if (self.encoder.vocab_size, self.encoder.d_model) != (self.vocab_size, self.d_model):
                raise ValueError(
                    "LMConfig.encoder must have the decoder's vocab_size and d_model, whose embedding it shares, got "
                    f"{self.encoder.vocab_size} and {self.encoder.d_model}"
                )
            if not self.causal:
                raise ValueError("LMConfig.causal must be True for the decoder of an encoder-decoder, got False")


def _at_least(owner: Any, least: int, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{type(owner).__name__}.{name} must be an integer >= {least}, got {value!r}")


def _among(owner: Any, name: str, allowed: tuple[str, ...]) -> None:
    value = getattr(owner, name)
    if value not in allowed:
        names = ", ".join(map(repr, allowed))
        raise ValueError(f"{type(owner).__name__}.{name} must be one of {names}, got {value!r}")
