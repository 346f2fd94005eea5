"""Token pruning: which tokens of a prompt matter, by attention or by a learned gate, and how many stay at which layer.

`LazyLM` (in lazy.py) runs a decoder under a schedule of these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor

Fall = Literal["linear", "cosine", "geometric"]


def attention_importance(probabilities: Tensor, *, queries: Literal["all", "last"] = "last") -> Tensor:
    """How much attention a token is given: s_j = 1/(H Q) sum_h sum_q A_hqj, over all queries q or the last alone.

    Args:
        probabilities: A, each row summing to 1, shape (..., heads, queries, keys).
        queries: "last" is what the next token depends on; "all" suits an encoder, where every token is an output. Under
            a causal mask "all" favours early tokens, which more queries see.

    Returns:
        Shape (..., keys), summing to 1.

    Raises:
        ValueError: if queries is unknown, or probabilities has fewer than three axes.

    Cost: O(size of probabilities) time; "last" reads one query.
    References: Kim et al. 2021, arXiv:2107.00910, section 3.2 (all); Fu et al. 2024, arXiv:2407.14057, section 3.2
        (last).
    Peer: a loop over heads and queries, float64, 1e-15 (B).
    In production: take "last" and one query's scores rather than all of A, as `LazyLM` does.
    """
    if queries not in ("all", "last"):
        raise ValueError(f"queries must be 'all' or 'last', got {queries!r}")
    if probabilities.dim() < 3:
        raise ValueError(f"probabilities must have shape (..., heads, queries, keys), got {tuple(probabilities.shape)}")
    return probabilities.mean((-3, -2)) if queries == "all" else probabilities[..., -1, :].mean(-2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prune:
    """What leaves after one layer; exactly one of keep, mass and threshold says how many stay.

    Args:
        after: the layer whose attention decides, counted from 0; the next one sees what stays.
        keep: share of all tokens so far that stays, in (0, 1]; at least one does. The same number for every text.
        mass: the fewest tokens whose importance sums to so much of the whole, in (0, 1]: a text where a few tokens have
            all the attention loses more.
        threshold: tokens below this importance leave, in [0, 1); a number, or what `ThresholdGate` learned.

    Raises:
        ValueError: if not exactly one is given, or a number is out of its range.

    Cost: sorting the tokens once.
    References: Fu et al. 2024, arXiv:2407.14057, section 3.2 (keep); Kim et al. 2021, arXiv:2107.00910, section 3.2
        (threshold); mass is nucleus sampling's rule on tokens of a prompt.
    Peer: a loop by the definitions, ties included (B).
    In production: keep where time is to be the same for every text, mass where accuracy is.
    """

    after: int
    keep: float | None = None
    mass: float | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("keep", "mass", "threshold") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"Prune takes exactly one of keep, mass and threshold, got {given or 'none'}")
        if self.after < 0:
            raise ValueError(f"after must be >= 0, got {self.after}")
        for name in ("keep", "mass"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise ValueError(f"{name} must be in (0, 1], got {value}")
        if self.threshold is not None and not 0 <= self.threshold < 1:
            raise ValueError(f"threshold must be in [0, 1), got {self.threshold}")

    def select(self, importance: Tensor, n_tokens: int | None = None) -> Tensor:
        """Places that stay, in order; of equal ones the later, and always the last, whose output is wanted.

        Args:
            importance: of the tokens that are still there, >= 0, shape (n,), n >= 1.
            n_tokens: of which `keep` is a share, those that left before among them; None means n.

        Returns:
            int64, shape (kept,), ascending.

        Raises:
            ValueError: if importance has another shape, or is negative or NaN anywhere.
        """
        if importance.dim() != 1 or not len(importance):
            raise ValueError(f"importance must have shape (n >= 1,), got {tuple(importance.shape)}")
        if not (importance >= 0).all():
            raise ValueError("importance must be >= 0 everywhere and not NaN")
        n = len(importance)
        last = importance.new_full((), torch.inf)
        ranked = torch.cat((importance[:-1], last[None])).flip(0).argsort(descending=True, stable=True)
        ranked = n - 1 - ranked  # most important first
        if self.keep is not None:
            count = max(1, math.ceil(self.keep * (n if n_tokens is None else n_tokens) - 1e-9))
        elif self.mass is not None:
            sums = importance.double()[ranked].cumsum(0)
            count = int((sums < self.mass * sums[-1] * (1 - 1e-12)).sum()) + 1
        else:
            assert self.threshold is not None
            count = 1 + int((importance[ranked[1:]] >= self.threshold).sum())
        return ranked[:count].sort().values


Schedule = tuple[Prune, ...]


def static_schedule(after: int, keep: float) -> Schedule:
    """All pruning at one layer, the same share of every text.

    Args:
        after: the layer, >= 0. Early layers' attention says little of what later ones need.
        keep: share that stays, in (0, 1].

    Returns:
        A schedule of one `Prune`.

    Raises:
        ValueError: if a number is out of its range.

    References: Fu et al. 2024, arXiv:2407.14057, section 4 (static token pruning, as a baseline).
    Peer: as of `Prune`.
    """
    return (Prune(after=after, keep=keep),)


def layer_wise_schedule(
    n_layers: int, *, begin: int = 0, step: int = 1, end_keep: float, fall: Fall = "linear"
) -> Schedule:
    """A share that falls layer by layer, from 1 before `begin` to end_keep after the last pruning layer.

    With t = i / n after the i-th of n pruning layers: "linear" keeps 1 - (1 - e) t, "cosine" e + (1 - e)
    (1 + cos(pi t)) / 2, which falls slowly at both ends, "geometric" e^t, the same share of what is left at each layer.

    Args:
        n_layers: of the model, >= 2.
        begin: first layer that prunes, in [0, n_layers - 2].
        step: layers from one pruning to the next, >= 1.
        end_keep: e, in (0, 1].
        fall: form of the fall.

    Returns:
        A `Prune` for each pruning layer.

    Raises:
        ValueError: if a number is out of its range, or fall is unknown.

    References: Fu et al. 2024, arXiv:2407.14057, section 3.2 (progressive: more tokens stay in earlier layers).
    Peer: the formulas at both ends and in the middle (B).
    """
    if fall not in get_args(Fall):
        raise ValueError(f"fall must be one of {', '.join(map(repr, get_args(Fall)))}, got {fall!r}")
    if n_layers < 2 or not 0 <= begin <= n_layers - 2:
        raise ValueError(f"begin must be in [0, n_layers - 2] with n_layers >= 2, got {begin} and {n_layers}")
    if step < 1:
        raise ValueError(f"step must be >= 1, got {step}")
    layers = range(begin, n_layers - 1, step)  # the last layer's output is of the last token alone

    def share(t: float) -> float:
        match fall:
            case "linear":
                return 1 - (1 - end_keep) * t
            case "cosine":
                return end_keep + (1 - end_keep) * (1 + math.cos(math.pi * t)) / 2
            case _:
                return end_keep**t

    if not 0 < end_keep <= 1:
        raise ValueError(f"end_keep must be in (0, 1], got {end_keep}")
    return tuple(Prune(after=layer, keep=share((i + 1) / len(layers))) for i, layer in enumerate(layers))


def dynamic_schedule(n_layers: int, *, begin: int = 0, step: int = 1, mass: float) -> Schedule:
    """As many tokens as hold so much of the attention, at each pruning layer: what stays depends on the text.

    Args:
        n_layers, begin, step: as of `layer_wise_schedule`.
        mass: share of the importance that stays at each layer, in (0, 1].

    Returns:
        A `Prune` for each pruning layer.

    Raises:
        ValueError: if a number is out of its range.

    References: Kim et al. 2021, arXiv:2107.00910, section 3.2 (what stays depends on the text).
    Peer: as of `Prune`.
    """
    shape = layer_wise_schedule(n_layers, begin=begin, step=step, end_keep=1.0)
    return tuple(Prune(after=prune.after, mass=mass) for prune in shape)


def check_schedule(schedule: Schedule, n_layers: int) -> dict[int, Prune]:
    """The schedule by layer.

    Raises:
        ValueError: if layers do not ascend, one is the model's last or beyond, or a share of tokens rises.
    """
    layers = [prune.after for prune in schedule]
    if layers != sorted(set(layers)):
        raise ValueError(f"schedule must prune after ascending layers, got {layers}")
    if layers and layers[-1] >= n_layers - 1:
        raise ValueError(f"schedule prunes after layer {layers[-1]}: behind the last of {n_layers} there is no other")
    shares = [prune.keep for prune in schedule if prune.keep is not None]
    if any(later > earlier for earlier, later in pairwise(shares)):
        raise ValueError(f"schedule must not keep more in later layers, got shares {shares}")
    return {prune.after: prune for prune in schedule}
