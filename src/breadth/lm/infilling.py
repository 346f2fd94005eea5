"""Autoregressive blank infilling: a text with blanks is seen as a whole, and what belongs in them is written in order.

One causal model reads and writes: which token sees which is a mask, and each token has two positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

IGNORED = -100  # targets that torch's cross entropy leaves out


class Infilling(NamedTuple):
    """What to call a model with, and what it should say; L tokens.

        model(x.ids[None], positions=x.positions[None], spans=x.spans[None], mask=x.mask)

    Attributes:
        ids: part A, the text with each span as one blank, then part B, the spans each with a start before it; (L,).
        positions: place in part A; for part B that of its blank; (L,).
        spans: 0 in part A; 1, 2, ... inside each span of part B; (L,).
        mask: bool, (L, L): part A sees part A, part B sees part A and what of part B is before.
        targets: the token that follows inside of its span, and the end behind the last; -100 in part A; (L,).
    """

    ids: Tensor
    positions: Tensor
    spans: Tensor
    mask: Tensor
    targets: Tensor


def blank_infilling(
    text: Tensor | Sequence[int],
    spans: Sequence[tuple[int, int]],
    *,
    blank_id: int,
    start_id: int,
    end_id: int,
    order: Sequence[int] | None = None,
) -> Infilling:
    """Blank out spans of a text, and append them in an order.

    Args:
        text: ids, (T,).
        spans: of tokens that are blanked out, start and one past the end of each; in order, none empty, none touching
            another.
        blank_id: stands for a span in part A.
        start_id: stands before each span of part B.
        end_id: is predicted behind each.
        order: in which spans are written, a permutation; None writes them from left to right. GLM draws one at random,
            so that what a span says may lean on those that follow it in the text.

    Returns:
        ids, both positions, the mask and the targets.

    Raises:
        ValueError: if spans overlap, touch, are empty or leave the text, or order is no permutation.

    Cost: O(L^2) for the mask.
    References: Du et al. 2022, arXiv:2103.10360, section 2.1 and figure 2.
    Peer: figure 2 of the paper, token by token (B).
    In production: use it to study; models of today are trained from left to right, and fill blanks by special tokens.
    """
    tokens = torch.as_tensor(text, dtype=torch.int64)
    _check_spans(len(tokens), spans)
    order = range(len(spans)) if order is None else order
    if sorted(order) != list(range(len(spans))):
        raise ValueError(f"order must be a permutation of 0 .. {len(spans) - 1}, got {list(order)}")
    ids, places, end = [], [], 0
    for start, stop in spans:
        ids += [tokens[end:start], torch.tensor([blank_id])]
        places.append(sum(len(part) for part in ids) - 1)
        end = stop
    ids.append(tokens[end:])
    n = sum(len(part) for part in ids)
    positions, inside = [torch.arange(n)], [torch.zeros(n, dtype=torch.int64)]
    targets = [torch.full((n,), IGNORED)]
    for s in order:
        span = tokens[slice(*spans[s])]
        ids.append(torch.cat((torch.tensor([start_id]), span)))
        positions.append(torch.full((len(span) + 1,), places[s]))
        inside.append(torch.arange(1, len(span) + 2))
        targets.append(torch.cat((span, torch.tensor([end_id]))))
    joined = torch.cat(ids)
    mask = torch.ones(len(joined), len(joined), dtype=torch.bool).tril()
    mask[:n, :n] = True
    return Infilling(joined, torch.cat(positions), torch.cat(inside), mask, torch.cat(targets))


def draw_spans(
    length: int, *, share: float = 0.15, mean: float = 3.0, generator: torch.Generator | None = None
) -> list[tuple[int, int]]:
    """Spans of lengths from a Poisson law at random places, until share of the tokens is in one.

    Args:
        length: of the text, >= 1.
        share: in (0, 1]; as many tokens are drawn as are just no fewer, if there is room between spans.
        mean: of the lengths, > 0; a length of 0 is drawn again.
        generator: of the numbers; None takes torch's own.

    Returns:
        Start and one past the end of each span, in order, a token or more between two.

    Raises:
        ValueError: if a number is out of its range.

    Cost: O(length).
    Deviations: the lengths are drawn first, and then one of all ways to place them, each as likely as another; what
        does not fit with a token between two spans is left out.
    References: Du et al. 2022, arXiv:2103.10360, section 2.1 (Poisson with mean 3, 15 %).
    Peer: enumeration of all placements, chi-square (B).
    """
    if length < 1 or not 0 < share <= 1 or not mean > 0:
        raise ValueError(f"length must be >= 1, share in (0, 1], mean > 0, got {length}, {share}, {mean}")
    wanted, sizes = max(round(share * length), 1), []
    while sum(sizes) < wanted:
        size = int(torch.poisson(torch.tensor(mean), generator=generator))
        size = min(size, wanted - sum(sizes))
        if size and sum(sizes) + size + len(sizes) > length:
            break
        if size:
            sizes.append(size)
    free = length - sum(sizes)  # tokens that are in no span; gaps between them, before and behind, take one span each
    gaps = torch.randperm(free + 1, generator=generator)[: len(sizes)].sort().values.tolist()
    spans, taken = [], 0
    for gap, size in zip(gaps, sizes, strict=True):
        spans.append((gap + taken, gap + taken + size))
        taken += size
    return spans


def _check_spans(length: int, spans: Sequence[tuple[int, int]]) -> None:
    if not spans:
        raise ValueError("spans must hold at least one")
    before = -1
    for start, stop in spans:
        if not before < start < stop <= length:
            raise ValueError(
                f"spans must be in order, not empty, inside of the text of {length} tokens and a token apart, got "
                f"{list(spans)}"
            )
        before = stop
