"""What attention heads do on data: spread evenly, stare at one key, or repeat each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from breadth.nn.attention.blocks import blocks, largest_logits
from breadth.nn.attention.contract import Form, check, four
from breadth.nn.attention.naive import attention_weights
from breadth.nn.probes.units import effective_rank


@dataclass(frozen=True, slots=True, eq=False)
class HeadActivity:
    """What each head did, on average over the batch and all queries that see a key.

    Attributes:
        entropy: of the weights in nats, -sum_j p_j log p_j, shape (H,); exp(entropy) is a number of keys.
        evenness: entropy over log of the number of keys seen, in [0, 1], shape (H,): 1 is uniform attention, 0 is all
            on one key. Over queries that see two keys or more; NaN without any.
        top: largest weight, in (0, 1], shape (H,).
        max_logit: largest scaled logit, before bias and soft cap, shape (H,): `largest_logits`.
        similarity: cosine of the weights of each two heads, shape (H, H): `head_similarity` over the batch.
        queries: how many see a key, those of all examples together.
    """

    entropy: Tensor
    evenness: Tensor
    top: Tensor
    max_logit: Tensor
    similarity: Tensor
    queries: int

    @property
    def redundancy(self) -> Tensor:
        """Cosine with the head that is most alike, shape (H,); 0 where there is one head."""
        others = self.similarity.clone().fill_diagonal_(0.0)
        return others.amax(1)

    def __str__(self) -> str:
        lines = [f"{'head':>4}{'entropy':>10}{'evenness':>10}{'top':>8}{'max logit':>11}{'redundancy':>12}"]
        columns = (self.entropy, self.evenness, self.top, self.max_logit, self.redundancy)
        for head, (entropy, evenness, top, logit, redundancy) in enumerate(zip(*columns, strict=True)):
            lines.append(f"{head:>4}{entropy:>10.3f}{evenness:>10.3f}{top:>8.3f}{logit:>11.4g}{redundancy:>12.3f}")
        return "\n".join(lines)


def head_activity(
    q: Tensor,
    k: Tensor,
    *,
    causal: bool = False,
    window: int | None = None,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    sinks: Tensor | None = None,
    softcap: float | None = None,
    scale: float | None = None,
    block: int | None = None,
) -> HeadActivity:
    """Entropy, evenness, largest weight and logit of each head, and how alike heads are, from queries and keys.

    Two ways to collapse: uniform attention (evenness 1), which averages all tokens, and attention that has fallen on
    one key (evenness 0), whose gradient vanishes. And heads at similarity 1 do the work of one.

    Args:
        q: queries, shape (B, H, L, E), as they meet the keys: after positions and normalisation.
        k: keys, shape (B, H_kv, S, E).
        causal, window, mask, bias, sinks, softcap, scale: as in `attend`. A sink counts as one more key.
        block: queries at a time, >= 1; None takes as many as have about a million scores, 16 at least.

    Returns:
        The activity of each head; of no query at all, NaN, and -inf for the logit.

    Raises:
        TypeError, ValueError: as `attend` says; ValueError if block < 1.

    Cost: O(B H L S (E + H)) time, with causal half and with a window O(B H L window (E + H)) of it; memory
        O(B H block S).
    References: Zhai et al. 2023, arXiv:2303.06296, section 3 (entropy collapse); Kimi Team 2025, arXiv:2507.20534,
        section 2.1 (largest logit); Voita et al. 2019, arXiv:1905.09418, section 4 (largest weight as confidence).
    Peer: NumPy over all weights at once, float64, 1e-12 (B); closed forms of uniform and one-hot attention (B).
    In production: log it every some hundred steps; entropy that falls to 0 comes before a loss that diverges.
    """
    q, k = q.detach(), k.detach()
    bias, sinks = (None if t is None else t.detach() for t in (bias, sinks))
    form = Form(causal, window, four(mask), four(bias), sinks, softcap, scale)
    check(q, k, k, form)
    batch, heads = q.shape[:2]
    of = {"dtype": torch.float64, "device": q.device}
    sums = torch.zeros(3, heads, **of)  # of entropy, evenness and largest weight
    seeing, choosing = torch.zeros(2, heads, **of)  # queries that see a key, and that have a choice
    products = torch.zeros(batch, heads, heads, **of)
    for p, n_seen in _weights(q, k, form, block):
        entropy = torch.special.entr(p).sum(-1)  # (B, H, n)
        if sinks is not None:
            entropy = entropy + torch.special.entr((1 - p.sum(-1)).clamp(min=0.0))
            n_seen = n_seen + (n_seen > 0)
        some, several = n_seen > 0, n_seen > 1
        sums[0] += entropy.sum((0, 2))
        sums[1] += (entropy / n_seen.clamp(min=2).double().log()).masked_fill(~several, 0.0).sum((0, 2))
        sums[2] += p.amax(-1).sum((0, 2))
        seeing += some.sum((0, 2))
        choosing += several.sum((0, 2))
        rows = p.flatten(2)
        products += rows @ rows.mT
    length = products.diagonal(dim1=1, dim2=2).sqrt()  # (B, H)
    cosines = products / (length[:, :, None] * length[:, None]).masked_fill(products == 0, 1.0)
    return HeadActivity(
        entropy=(sums[0] / seeing).cpu(),
        evenness=(sums[1] / choosing).cpu(),
        top=(sums[2] / seeing).cpu(),
        max_logit=largest_logits(q, k, causal=causal, window=window, mask=mask, scale=scale, block=block)
        .double()
        .cpu(),
        similarity=cosines.mean(0).cpu(),
        queries=int(seeing.amax()) if heads else 0,
    )


@dataclass(frozen=True, slots=True, eq=False)
class HeadRank:
    """How many directions the weights of each head use; both are means over the batch.

    Attributes:
        effective: `effective_rank` of the matrix of weights, shape (H,), in [1, min(L, S)].
        distance: `rank_one_distance` of it, shape (H,), in [0, 1]: 0 where every query spreads its weight alike.
    """

    effective: Tensor
    distance: Tensor


def head_rank(
    q: Tensor,
    k: Tensor,
    *,
    causal: bool = False,
    window: int | None = None,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    sinks: Tensor | None = None,
    softcap: float | None = None,
    scale: float | None = None,
) -> HeadRank:
    """Effective rank of each head's matrix of weights, and its distance to one with equal rows.

    The weights of a query sum to 1, so that a matrix of rank one has equal rows: what the head adds is the same for
    every token. A causal mask by itself makes a matrix of full rank; compare with uniform attention under that mask.

    Args:
        q, k, causal, window, mask, bias, sinks, softcap, scale: as of `head_activity`.

    Returns:
        Effective rank and distance by head.

    Raises:
        TypeError, ValueError: as `attend` says; ValueError if there is no example, query or key, or a weight is NaN.

    Cost: O(B H L S (E + min(L, S))) time: a singular value decomposition needs a whole matrix, which is in memory one
        head at a time, O(L S).
    References: Roy & Vetterli 2007, EUSIPCO, definition 1; Dong, Cordonnier & Loukas 2021, arXiv:2103.03404, section 2.
    Peer: closed forms of uniform, one-hot and block attention, float64, 1e-12 (B).
    """
    q, k = q.detach(), k.detach()
    bias, sinks = (None if t is None else t.detach() for t in (bias, sinks))
    form = Form(causal, window, four(mask), four(bias), sinks, softcap, scale)
    check(q, k, k, form)
    if not all(q.shape) or not k.shape[2]:
        raise ValueError(f"q and k must hold an example, a query and a key, got {tuple(q.shape)} and {tuple(k.shape)}")
    batch, heads, shared = *q.shape[:2], k.shape[1]
    found = torch.empty(2, batch, heads, dtype=torch.float64)
    mask, bias = (None if t is None else t.expand(batch, heads, *t.shape[2:]) for t in (form.mask, form.bias))
    for b in range(batch):
        for h in range(heads):
            one, g = (slice(b, b + 1), slice(h, h + 1)), h * shared // heads
            weights = attention_weights(
                q[one].double(), k[b : b + 1, g : g + 1].double(), causal=causal, window=window, softcap=softcap,
                mask=None if mask is None else mask[one], bias=None if bias is None else bias[one],
                sinks=None if sinks is None else sinks[h : h + 1], scale=scale,
            )[0, 0]  # fmt: skip
            found[0, b, h] = effective_rank(weights)
            found[1, b, h] = rank_one_distance(weights)
    return HeadRank(*found.mean(1))


def rank_one_distance(x: Tensor) -> Tensor:
    """Relative distance of rows from being all the same: |X - 1 m^T| / |X|, Frobenius norms, m the mean of the rows.

    1 m^T is the nearest matrix with equal rows. With tokens as rows, 0 is token uniformity, which no later layer that
    works on each token by itself can undo.

    Args:
        x: shape (..., rows, features).

    Returns:
        In [0, 1], shape (...), float64; 0 of zeros and of a single row, NaN where x is not finite.

    Raises:
        ValueError: if x has fewer than two axes, or no row or feature.
        TypeError: if x is not floating point.

    Cost: three passes over x.
    Deviations: the paper takes sqrt(|X|_1 |X|_inf), whose nearest m has no closed form, and the mean in experiments.
    References: Dong, Cordonnier & Loukas 2021, arXiv:2103.03404, section 2 (residual).
    Peer: NumPy's least squares by a constant row, float64, 1e-12 (B).
    """
    if not x.is_floating_point():
        raise TypeError(f"x must be floating point, got {x.dtype}")
    if x.ndim < 2 or 0 in x.shape[-2:]:
        raise ValueError(f"x must have shape (..., rows, features), each >= 1, got {tuple(x.shape)}")
    x = x.detach().double()
    top = x.abs().amax((-2, -1), keepdim=True)
    x = x / top.masked_fill(top == 0, 1.0)  # squares of 1e200 leave float64
    x0 = x - x[..., :1, :]  # equal rows give exactly 0, where a mean of them may be off by a rounding
    residual = torch.linalg.matrix_norm(x0 - x0.mean(-2, keepdim=True))
    size = torch.linalg.matrix_norm(x)
    return residual / size.masked_fill(size == 0, 1.0)


def _weights(q: Tensor, k: Tensor, form: Form, block: int | None) -> Iterator[tuple[Tensor, Tensor]]:
    """For each block of queries the weights (B, H, n, m), in float64, and the number of keys seen (B, H, n)."""
    batch, heads = q.shape[:2]
    for rows, columns, own in blocks(q, k, form, block=block):
        n, m = rows.stop - rows.start, columns.stop - columns.start
        p = attention_weights(
            q[:, :, rows].double(), k[:, :, columns].double(), mask=own.mask, bias=own.bias, sinks=own.sinks,
            softcap=own.softcap, scale=own.scale,
        )  # fmt: skip
        seen = torch.ones((), dtype=torch.bool, device=q.device) if own.mask is None else own.mask
        if own.bias is not None:
            seen = seen & (own.bias != -torch.inf)
        yield p, seen.expand(batch, heads, n, m).sum(-1)
