"""Token uniformity with depth: whether a stack of layers makes all tokens of a sequence the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from breadth.nn.attention.multi_head import MultiheadAttention
from breadth.nn.gated import FeedForward
from breadth.nn.probes.attention import rank_one_distance
from breadth.nn.probes.hooks import Layers, select, unchanged, watching
from breadth.nn.probes.units import effective_rank
from breadth.nn.residual import Residual

Parts = Literal["attention", "attention, ffn", "attention, skip", "attention, ffn, skip"]


@dataclass(frozen=True, slots=True)
class TokenSpread:
    """How different the tokens are behind one call of one layer; means over the batch."""

    name: str
    distance: float  # rank_one_distance of the tokens
    rank: float  # effective_rank of the tokens


@dataclass(frozen=True, slots=True)
class Collapse:
    """Result of `rank_collapse`.

    Attributes:
        start: distance of the input, NaN where it is no sequence of vectors.
        layers: one entry a call, in the order of the forward pass.
        threshold: distance under which tokens count as the same.
    """

    start: float
    layers: tuple[TokenSpread, ...]
    threshold: float

    @property
    def collapsed_at(self) -> int | None:
        """Number of the first layer, from 0, behind which all tokens are the same to the end; None if none is."""
        first = None
        for i, layer in enumerate(self.layers):
            if not layer.distance < self.threshold:
                first = None
            elif first is None:
                first = i
        return first

    def __str__(self) -> str:
        width = max(len(layer.name) for layer in self.layers) + 2
        lines = [f"{'layer':{width}}{'distance':>12}{'rank':>10}"]
        lines += [f"{layer.name:{width}}{layer.distance:>12.3g}{layer.rank:>10.2f}" for layer in self.layers]
        at = self.collapsed_at
        verdict = "tokens stay apart" if at is None else f"tokens are the same from {self.layers[at].name!r} on"
        lines.append(f"{verdict} (distance < {self.threshold:g})")
        return "\n".join(lines)


def rank_collapse(model: nn.Module, x: Tensor, *, layers: Layers, threshold: float = 1e-3) -> Collapse:
    """How far the tokens of a sequence are from being all the same, behind each layer of a model.

    With X_l the tokens behind layer l and R_l their distance from the nearest 1 m^T, relative to |X_l|: softmax sees
    scores only up to a constant a query, so that attention alone maps a small R to O(R^3), and R falls doubly
    exponentially with depth, as R^(3^l). A skip connection keeps R, whatever attention does; a layer that works on each
    token alone multiplies it by at most its Lipschitz constant, and normalisation of each token changes little.

    Args:
        model: called once on x, in the mode (training or not) that it is in; its buffers stay as they are.
        x: input, with the batch first.
        layers: names of submodules, or classes of them, whose outputs are (batch, tokens, features). A module that is
            called n times is n layers.
        threshold: relative distance, in (0, 1), below which tokens count as the same.

    Returns:
        Distance and effective rank behind each layer, and where the tokens have become the same.

    Raises:
        ValueError: if threshold is out of range, layers picks nothing or is not called, or an output has other axes or
            is not finite.

    Cost: a forward pass, and a singular value decomposition an example and layer.
    Deviations: Frobenius norms; see `rank_one_distance`.
    References: Dong, Cordonnier & Loukas 2021, arXiv:2103.03404, sections 2 (attention alone) and 3 (skips, MLPs,
        layer normalisation); Noci et al. 2022, arXiv:2206.03126 (at initialisation).
    Peer: stacks whose distances are known: averaging by a share a gives (1 - a)^l, with a skip (1 - a / 2)^l, with a
        feed-forward layer of slope s (s (1 - a))^l, float64, 1e-12; the cube of the distance for random weights (B).
    In production: use it where a deep stack without skips, or with scaled-down branches, does not train.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold must be in (0, 1), got {threshold}; it is a relative distance")
    chosen = select(model, layers)
    found: list[TokenSpread] = []

    def see(name: str, output: Tensor) -> None:
        if output.ndim != 3 or not output.numel():
            raise ValueError(
                f"layer {name!r} must give (batch, tokens, features), each >= 1, got {tuple(output.shape)}"
            )
        distance = rank_one_distance(output).mean().item()
        found.append(TokenSpread(name, distance, math.fsum(map(effective_rank, output)) / len(output)))

    with torch.no_grad(), unchanged(model), watching(chosen, see):
        model(x)
    if not found:
        raise ValueError(f"none of the layers {list(chosen)} was called")
    vectors = x.ndim == 3 and x.is_floating_point()
    return Collapse(rank_one_distance(x).mean().item() if vectors else math.nan, tuple(found), threshold)


class AttentionBlock(nn.Module):
    """Self-attention, and on wish a feed-forward layer behind it, each with or without a skip connection.

    Without skips the output of each part replaces its input: what `rank_collapse` shows to lose all but one direction.

    Args:
        d_model: width of input and output.
        num_heads: of the attention.
        ffn: have a feed-forward layer, of inner width 4 d_model.
        skip: add each part to its input, else put it in its place.
        norm: makes a normaliser from a width, before each part; None has none.

    Attributes:
        parts: attention, and the feed-forward layer.

    Raises:
        ValueError: if num_heads does not divide d_model.

    Cost: that of the attention, and 16 d_model^2 operations a position for the feed-forward layer.
    References: Dong, Cordonnier & Loukas 2021, arXiv:2103.03404, sections 2 and 3.
    Peer: as `rank_collapse` (B).
    In production: use `TransformerBlock`.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        *,
        ffn: bool = True,
        skip: bool = True,
        norm: Callable[[int], nn.Module] | None = None,
    ):
        super().__init__()
        parts: list[nn.Module] = [_Attention(d_model, num_heads)]
        if ffn:
            parts.append(FeedForward(d_model))
        if norm is not None:
            parts = [nn.Sequential(norm(d_model), part) for part in parts]
        self.parts = nn.Sequential(*(Residual(part) if skip else part for part in parts))

    def forward(self, x: Tensor) -> Tensor:
        """Shape of x, (B, L, d_model)."""
        return self.parts(x)


def collapse_by_parts(
    x: Tensor,
    *,
    depth: int = 12,
    num_heads: int = 4,
    norm: Callable[[int], nn.Module] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    threshold: float = 1e-3,
) -> dict[Parts, tuple[Collapse, ...]]:
    """Rank collapse of randomly initialised stacks with and without feed-forward layers and skip connections.

    Args:
        x: tokens, shape (batch, tokens, d_model).
        depth: blocks, >= 1.
        num_heads: of each attention, a divisor of d_model.
        norm: as of `AttentionBlock`.
        seeds: of the weights, which are each layer's own first ones; the same seed gives all four their own.
        threshold: as of `rank_collapse`.

    Returns:
        For each of the four kinds of stack the collapse of each seed.

    Raises:
        ValueError: if x has other axes, depth < 1, there is no seed, or as `rank_collapse` says.

    Cost: four forward passes a seed.
    References: Dong, Cordonnier & Loukas 2021, arXiv:2103.03404, section 4 (which has trained weights too).
    Peer: as `rank_collapse` (B).
    """
    if x.ndim != 3 or not x.is_floating_point() or not x.numel():
        raise ValueError(f"x must be floating point of shape (batch, tokens, d_model), got {tuple(x.shape)}, {x.dtype}")
    if depth < 1 or not seeds:
        raise ValueError(f"depth must be >= 1 and seeds must hold one or more, got {depth} and {list(seeds)}")
    kinds: dict[Parts, dict[str, bool]] = {
        "attention": {"ffn": False, "skip": False},
        "attention, ffn": {"ffn": True, "skip": False},
        "attention, skip": {"ffn": False, "skip": True},
        "attention, ffn, skip": {"ffn": True, "skip": True},
    }
    found: dict[Parts, tuple[Collapse, ...]] = {}
    for kind, parts in kinds.items():
        runs = []
        for seed in seeds:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                stack = nn.Sequential(
                    *(AttentionBlock(x.shape[2], num_heads, norm=norm, **parts) for _ in range(depth))
                )
            runs.append(rank_collapse(stack.to(x), x, layers=AttentionBlock, threshold=threshold))
        found[kind] = tuple(runs)
    return found


class _Attention(nn.Module):
    """Self-attention whose output is a tensor, for stacks."""

    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.self_attn = MultiheadAttention(d_model, num_heads, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.self_attn(x)[0]
