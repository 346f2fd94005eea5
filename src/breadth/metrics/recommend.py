"""Scores of recommendations and of retrieval: what the first k of each list hold of what the user wanted.

A list is given best first, so that its order decides between tied scores; `top_k` makes lists of scores.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence, Sized
from numbers import Integral
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breadth.metrics import checks
from breadth.metrics.checks import Floats

Relevant = Sequence[Collection[Hashable]]
Recommended = Sequence[Sequence[Hashable]] | NDArray
Empty = Literal["raise", "skip"] | float


class _Hits(NamedTuple):
    hit: NDArray[np.bool_]  # (lists, k) whether the item of that rank is wanted
    wanted: NDArray[np.int64]  # (lists,) how many are


def top_k(y_score: ArrayLike, k: int, *, exclude: ArrayLike | None = None) -> NDArray[np.int64]:
    """The k items of greatest score of each user, best first; tied scores in the order of the columns.

    Args:
        y_score: scores, shape (users, items); infinities are allowed.
        k: items wanted, in [1, items].
        exclude: True for items not to recommend, shape (users, items): those already seen.

    Returns:
        Columns, shape (users, k); -1 fills a list whose user has fewer items left.

    Raises:
        ValueError: if k is out of range, scores are empty or hold NaN, or shapes differ.

    Cost: O(users items).
    References: none: a partial sort.
    Peer: numpy.argsort(kind="stable"), equal (B).
    In production: the order of columns must not know the answer: shuffle items sorted by popularity, or say so.
    """
    score = checks.numbers("y_score", y_score, ndim=(2,), finite=False)
    n, m = score.shape
    if not isinstance(k, Integral) or not 1 <= k <= m:
        raise ValueError(f"k must be a whole number in [1, {m}], got {k!r}")
    out = np.zeros((n, m), bool) if exclude is None else np.asarray(exclude, bool)
    if out.shape != (n, m):
        raise ValueError(f"exclude must have the shape of y_score, {(n, m)}, got {out.shape}")
    order = np.lexsort((-score, out), axis=1)[:, :k]  # stable: excluded ones last, then by score
    return np.where(np.take_along_axis(out, order, 1), -1, order)


def precision_at_k(relevant: Relevant, recommended: Recommended, *, k: int = 10, empty: Empty = "raise") -> float:
    """Share of the first k that are wanted, averaged over users: |first k and wanted| / k.

    Args:
        relevant: what each user wants, one collection of items a user.
        recommended: lists of items, best first, one a user, without repetition; -1 of `top_k` is no item.
        k: ranks that count, >= 1; a shorter list counts as if filled with unwanted items.
        empty: of a user who wants nothing: "raise", "skip", or the score to give.

    Returns:
        Float in [0, 1].

    Raises:
        ValueError: if there are no users, lists differ in number or repeat an item, a user wants nothing (for "raise"),
            or an argument is out of range.

    Cost: O(users k).
    References: Herlocker et al. 2004, "Evaluating collaborative filtering recommender systems", section 4.2.
    Peer: ranx "precision@k", 1e-12 (A).
    In production: its ceiling is (number wanted) / k, which differs between users; read recall beside it.
    """
    hits = _hits(relevant, recommended, k)
    return _mean(hits.hit.sum(1) / k, hits.wanted, empty)


def recall_at_k(relevant: Relevant, recommended: Recommended, *, k: int = 10, empty: Empty = "raise") -> float:
    """Share of what is wanted that the first k hold, averaged over users: |first k and wanted| / |wanted|.

    Args:
        relevant, recommended, k, empty: as for `precision_at_k`.

    Returns:
        Float in [0, 1].

    Raises:
        ValueError: as `precision_at_k`.

    Cost: O(users k).
    References: Herlocker et al. 2004, section 4.2.
    Peer: ranx "recall@k", 1e-12 (A).
    In production: say whether items seen in training were left out of the lists.
    """
    hits = _hits(relevant, recommended, k)
    return _mean(hits.hit.sum(1) / np.maximum(hits.wanted, 1), hits.wanted, empty)


def hit_rate_at_k(relevant: Relevant, recommended: Recommended, *, k: int = 10, empty: Empty = "raise") -> float:
    """Share of users whose first k hold at least one wanted item.

    Args:
        relevant, recommended, k, empty: as for `precision_at_k`.

    Returns:
        Float in [0, 1].

    Raises:
        ValueError: as `precision_at_k`.

    Cost: O(users k).
    References: Deshpande & Karypis 2004, "Item-based top-N recommendation algorithms", section 6.2.
    Peer: ranx "hit_rate@k", 1e-12 (A).
    In production: with one held-out item a user it is recall.
    """
    hits = _hits(relevant, recommended, k)
    return _mean(np.where(hits.hit.any(1), 1.0, 0.0), hits.wanted, empty)


def mean_average_precision(
    relevant: Relevant,
    recommended: Recommended,
    *,
    k: int | None = None,
    over: Literal["wanted", "reachable"] = "wanted",
    empty: Empty = "raise",
) -> float:
    """Precision at the rank of each wanted item, averaged over those wanted, then over users.

    AP@k = sum_{r <= k} [item r is wanted] (hits up to r) / r, over |wanted| or min(|wanted|, k). Tied scores are ranked
    as the list has them (`top_k`: in the order of columns); `average_precision_score` accepts them together.

    Args:
        relevant, recommended, empty: as for `precision_at_k`.
        k: ranks that count, >= 1; None takes the whole lists.
        over: "wanted" divides by all that is wanted (TREC); "reachable" by no more than k of them (Kaggle).

    Returns:
        Float in [0, 1].

    Raises:
        ValueError: as `precision_at_k`.

    Cost: O(users k).
    References: Buckley & Voorhees 2000, "Evaluating evaluation measure stability"; Manning, Raghavan & Schütze 2008,
        eq. 8.8.
    Peer: ranx "map@k", 1e-12 (A); sklearn.metrics.average_precision_score on whole lists without ties, 1e-12 (A).
    In production: say k and what it is divided by.
    """
    checks.one_of("over", over, ("wanted", "reachable"))
    hits = _hits(relevant, recommended, _longest(recommended) if k is None else k)
    precision = np.cumsum(hits.hit, axis=1) / np.arange(1, hits.hit.shape[1] + 1)
    most = hits.wanted if over == "wanted" or k is None else np.minimum(hits.wanted, k)
    return _mean((precision * hits.hit).sum(1) / np.maximum(most, 1), hits.wanted, empty)


def mean_reciprocal_rank(
    relevant: Relevant, recommended: Recommended, *, k: int | None = None, empty: Empty = "raise"
) -> float:
    """One over the rank of the first wanted item, 0 where there is none, averaged over users.

    Args:
        relevant, recommended, empty: as for `precision_at_k`.
        k: ranks that count, >= 1; None takes the whole lists.

    Returns:
        Float in [0, 1].

    Raises:
        ValueError: as `precision_at_k`.

    Cost: O(users k).
    References: Voorhees 1999, "The TREC-8 question answering track report".
    Peer: ranx "mrr@k", 1e-12 (A).
    In production: for questions with one answer; it does not see what comes after the first.
    """
    hits = _hits(relevant, recommended, _longest(recommended) if k is None else k)
    first = hits.hit.argmax(1)
    return _mean(np.where(hits.hit.any(1), 1 / (first + 1), 0.0), hits.wanted, empty)


def _hits(relevant: Relevant, recommended: Recommended, k: int) -> _Hits:
    if not isinstance(k, Integral) or k < 1:
        raise ValueError(f"k must be a whole number >= 1, got {k!r}")
    if len(relevant) == 0:
        raise ValueError("relevant is empty; a score needs at least one user")
    if len(relevant) != len(recommended):
        raise ValueError(f"recommended has {len(recommended)} lists and relevant {len(relevant)}; they must be alike")
    if isinstance(recommended, np.ndarray):
        recommended = recommended[:, :k].tolist()
    hit = np.zeros((len(relevant), k), bool)
    wanted = np.empty(len(relevant), np.int64)
    for user, (wants, row) in enumerate(zip(relevant, recommended, strict=True)):
        if isinstance(wants, str) or isinstance(row, str):
            raise ValueError(f"user {user}: give a collection of items, not the text {wants!r}, {row!r}")
        if not isinstance(wants, Iterable) or not isinstance(row, Iterable):
            raise ValueError(f"user {user}: give a collection of items, not {wants!r}, {row!r}")
        goal = wants if isinstance(wants, set | frozenset) else set(_items(wants))
        wanted[user] = len(goal)
        first = row[:k]
        distinct = {item for item in first if item != -1}
        if len(distinct) != sum(item != -1 for item in first):
            raise ValueError(f"user {user}: the list repeats an item: {list(first)[:10]}")
        for rank, item in enumerate(first):
            if item in goal:
                hit[user, rank] = True
    return _Hits(hit, wanted)


def _longest(recommended: Recommended) -> int:
    return max((len(row) if isinstance(row, Sized) else 1 for row in recommended), default=1) or 1


def _items(wants: Collection[Hashable]) -> Collection[Hashable]:
    return wants.tolist() if isinstance(wants, np.ndarray) else wants


def _mean(scores: Floats, wanted: NDArray[np.int64], empty: Empty) -> float:
    nothing = wanted == 0
    if nothing.any():
        if empty == "raise":
            raise ValueError(
                f"relevant: {int(nothing.sum())} of {len(wanted)} users want nothing, the first is user "
                f"{int(nothing.argmax())}; say empty='skip', or the score to give them"
            )
        if empty == "skip":
            scores = scores[~nothing]
            if not len(scores):
                raise ValueError("relevant: no user wants anything")
        elif isinstance(empty, str) or not 0 <= empty <= 1:
            raise ValueError(f"empty must be 'raise', 'skip' or a score in [0, 1], got {empty!r}")
        else:
            scores = np.where(nothing, float(empty), scores)
    return float(np.mean(scores))
