"""What every recommender is given, users by items, and what every one gives back."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from breadth.compilation import announced
from breadth.recommend.ranking_kernels import keep_best

_PARTS = 64  # parts of equal work that threads take, whatever their number
_USERS = 256  # users whose scores over all items are held at a time


class Recommendation(NamedTuple):
    """Items, best first, and their scores: shape (k,) for one user, (users, k) for several."""

    items: NDArray[np.int64]
    scores: NDArray[np.float64]


def read_interactions(X: Any, *, ratings: bool) -> sp.csr_array:
    """A matrix of users by items in CSR, float64, with sorted indices and no entry twice.

    Args:
        X: scipy sparse, or dense, shape (users, items). Dense ratings are NaN where there is none; a dense 0, and a
            stored 0 of interactions, is none.
        ratings: a stored 0 is a rating of 0, and an entry stored twice is an error; otherwise entries are summed.

    Raises:
        TypeError: if X is not numeric.
        ValueError: if X is not two-dimensional, is empty, holds infinity, a stored NaN, or (ratings) an entry twice.

    Warns:
        UserWarning: if ratings are dense, none is NaN and some are 0, which then are ratings of 0.
    """
    if sp.issparse(X):
        if X.ndim != 2:
            raise ValueError(f"X must be a matrix of users by items, got {X.ndim} dimensions")
        kept = sp.coo_array(X)
        n_given = kept.nnz
        kept = sp.csr_array(kept.astype(np.float64))
        if ratings and kept.nnz != n_given:
            raise ValueError(
                f"X stores {n_given - kept.nnz} ratings of a user and item that have one already; keep one of each"
            )
    else:
        try:
            dense = np.asarray(X, dtype=np.float64)
        except (TypeError, ValueError) as wrong:
            raise TypeError(f"X must be a numeric matrix of users by items: {wrong}") from wrong
        if dense.ndim != 2:
            raise ValueError(f"X must be a matrix of users by items, got shape {dense.shape}")
        rated = ~np.isnan(dense) if ratings else dense != 0
        if ratings and rated.all() and dense.size and (dense == 0).any():
            warnings.warn(
                f"X is dense and holds no NaN, so that all of its {dense.size} entries are ratings, the zeros too, and "
                "nothing is left to recommend: where 0 means not rated, give scipy.sparse.csr_array(X)",
                UserWarning,
                stacklevel=3,
            )
        user, item = np.nonzero(rated)
        kept = sp.csr_array((dense[user, item], (user, item)), shape=dense.shape)
    if 0 in kept.shape:
        raise ValueError(f"X has no {'users' if kept.shape[0] == 0 else 'items'}: its shape is {kept.shape}")
    if not np.isfinite(kept.data).all():
        raise ValueError("X holds NaN or infinity; leave out what was not observed instead of storing NaN")
    if not ratings:
        kept.eliminate_zeros()
    kept.sort_indices()
    return kept


def over_rows(kernel: Callable[..., Any], matrix: sp.csr_array, row_cost: float, threads: int, *rest: Any) -> list[Any]:
    """kernel(first, last, indptr, indices, *rest) on parts of the rows of equal work: entries + row_cost a row."""
    n = matrix.shape[0]
    cost = matrix.indptr + row_cost * np.arange(n + 1)
    borders = np.unique(np.r_[0, np.searchsorted(cost, np.linspace(0, cost[-1], _PARTS + 1)[1:-1]), n])
    parts = list(itertools.pairwise(borders))

    def work(part: tuple[Any, Any]) -> Any:
        return kernel(int(part[0]), int(part[1]), matrix.indptr, matrix.indices, *rest)

    with announced():
        done = [work(parts[0])]  # alone, so that two threads do not compile the same kernel
        if threads == 1:
            return done + [work(part) for part in parts[1:]]
        with ThreadPoolExecutor(threads) as pool:
            return done + list(pool.map(work, parts[1:]))


def check_indices(given: ArrayLike, n: int, name: str) -> tuple[NDArray[np.int64], bool]:
    """Row or column numbers as an array, and whether one alone was asked for.

    Raises:
        TypeError: if they are not integers.
        ValueError: if one is not in [0, n).
    """
    array = np.asarray(given)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name} must be row or column numbers of the fitted matrix, got {given!r}")
    if array.ndim > 1:
        raise ValueError(f"{name} must be one number or a list of numbers, got shape {array.shape}")
    flat = array.astype(np.int64).ravel()
    outside = (flat < 0) | (flat >= n)
    if outside.any():
        what = f"{name} must be in [0, {n}), got {flat[outside][0]}"
        raise ValueError(f"{what}; what is new since the fit goes to recommend_new, or into another fit")
    return flat, array.ndim == 0


def check_pairs(users: ArrayLike, items: ArrayLike, shape: tuple[int, int]) -> tuple[NDArray, NDArray, bool]:
    """Users and items of the pairs to predict, of equal length, and whether one pair alone was asked for.

    Raises:
        TypeError, ValueError: as `check_indices`; ValueError if there are not as many of the one as of the other.
    """
    user, alone = check_indices(users, shape[0], "users")
    item, one_item = check_indices(items, shape[1], "items")
    if len(user) != len(item):
        if len(user) != 1 and len(item) != 1:
            raise ValueError(f"users and items must pair up, got {len(user)} and {len(item)}")
        user, item = (a.copy() for a in np.broadcast_arrays(user, item))
    return user, item, alone and one_item


def recommend_best(
    scores: Callable[[slice], NDArray], seen: sp.csr_array, k: int, *, exclude_seen: bool, alone: bool
) -> Recommendation:
    """The k items with the largest scores for each row, largest first, of equal ones the lower item first.

    Args:
        scores: gives the scores of some rows, shape (rows of the slice, items).
        seen: what each row's user has, shape (rows, items).
        k: items at most, in [1, items].
        exclude_seen: leave these out.
        alone: there is one row, and the answer is that row's.

    Returns:
        Recommendation of shape (rows, k), with -1 and -inf where fewer than k are left; alone, of those that are left.

    Raises:
        ValueError: if k is out of its range.
    """
    n, m = seen.shape
    if not isinstance(k, int | np.integer) or isinstance(k, bool) or not 1 <= k <= m:
        raise ValueError(f"k must be in [1, {m}], the number of items, got {k!r}")
    item = np.empty((n, k), dtype=np.int64)
    best = np.empty((n, k))
    for first in range(0, n, _USERS):
        rows = slice(first, min(first + _USERS, n))
        block = np.array(scores(rows), dtype=np.float64, order="C")
        indptr = seen.indptr[first : rows.stop + 1]
        with announced():
            keep_best(block, indptr if exclude_seen else np.zeros_like(indptr), seen.indices, best[rows], item[rows])
    if alone:
        return Recommendation(item[0][item[0] >= 0], best[0][item[0] >= 0])
    return Recommendation(item, best)
