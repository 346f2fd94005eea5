"""Repeated substrings of a text, by a suffix array."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from breadth.text.suffix_array_kernels import adjacent_prefixes


def suffix_array(symbols: NDArray[np.integer], *, depth: int | None = None) -> NDArray[np.int64]:
    """Starts of all suffixes in the order of the suffixes, by doubling the length that is compared.

    Args:
        symbols: the text as non-negative integers below 2^31, shape (n,).
        depth: compare this many symbols at least, and leave what is equal by then in any order; None compares all.

    Returns:
        A permutation of range(n).

    Raises:
        ValueError: if a symbol is negative or at least 2^31, or depth < 1.

    Cost: O(n log n log(longest repeat)) time; four arrays of n 64-bit integers.
    References: Manber & Myers 1993, SIAM J. Comput. 22(5), section 3; here each round sorts pairs of ranks.
    Peer: sorted(range(n), key=suffix) (B).
    """
    if depth is not None and depth < 1:
        raise ValueError(f"depth must be at least 1, got {depth}")
    n = len(symbols)
    depth = n if depth is None else min(depth, n)
    rank = symbols.astype(np.int64)
    if n and not (rank.min() >= 0 and rank.max() < 1 << 31):
        raise ValueError(f"symbols must be in [0, 2^31), got from {rank.min()} to {rank.max()}")
    bits = int(rank.max() + 1).bit_length() if n else 1
    width = max(1, min(62 // bits, depth))  # this many symbols fit one key
    key = np.zeros(n, dtype=np.int64)
    for offset in range(width):
        key <<= bits
        key[: n - offset] |= rank[offset:] + 1  # 0 is the end of the text
    while True:
        order = np.argsort(key)
        if width >= depth:
            return order
        ordered = key[order]
        rank[order] = np.concatenate(([1], 1 + np.cumsum(ordered[1:] != ordered[:-1])))
        if rank[order[-1]] == n:  # all ranks differ
            return order
        key = rank << 32
        key[: max(n - width, 0)] |= rank[width:]
        width *= 2


def common_prefixes(symbols: NDArray[np.int32], order: NDArray[np.int64], *, longest: int) -> NDArray[np.int32]:
    """Length of the prefix that each suffix shares with the one before it, counted up to `longest`.

    Args:
        symbols: the text, shape (n,).
        order: its suffix array, shape (n,).
        longest: where counting ends, >= 1.

    Returns:
        Lengths, shape (n,); the first is 0.

    Raises:
        ValueError: if longest < 1.

    Cost: O(n longest) time at worst.
    References: Manber & Myers 1993, SIAM J. Comput. 22(5), section 4.
    Peer: comparison of slices, in its test (B).
    """
    if longest < 1:
        raise ValueError(f"longest must be at least 1, got {longest}")
    return adjacent_prefixes(symbols, order, longest)
