"""A byte trie over strings, as WordPiece and Unigram models walk it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from breadth.text.trie_kernels import MAX_STATES, build_double_array


class Trie(NamedTuple):
    """A double array: `unit` (uint32) holds base, end flag and label of a state, `value` (int32) its key's number."""

    unit: NDArray[np.uint32]
    value: NDArray[np.int32]


def build_trie(keys: Sequence[bytes], numbers: Sequence[int] | NDArray[np.integer]) -> Trie:
    """Build the trie of unique, non-empty byte strings.

    Args:
        keys: byte strings, in any order.
        numbers: the value of each key, >= 0.

    Returns:
        The double array.

    Raises:
        ValueError: if a key is empty or occurs twice, or the trie would need more than 2^22 states.

    Cost: O(total bytes) expected time after sorting; 8 bytes a state.
    References: Aoe 1989, IEEE TSE 15(9); Yata, Oono, Morita, Fuketa & Aoe 2007, IPM 43(1).
    Peer: a dictionary of all prefixes, in its test (B).
    """
    order = sorted(range(len(keys)), key=keys.__getitem__)
    for before, after in itertools.pairwise(order):
        if keys[before] == keys[after]:
            raise ValueError(f"keys must be unique, but {keys[after]!r} stands at {before} and at {after}")
    if order and not keys[order[0]]:
        raise ValueError(f"keys must not be empty, but key {order[0]} is")
    data = np.frombuffer(b"".join([keys[i] for i in order]), dtype=np.uint8)
    ends = np.cumsum([len(keys[i]) for i in order], dtype=np.int64)
    unit, value = build_double_array(data, ends, np.asarray(numbers, dtype=np.int32)[order])
    if len(unit) == 0:
        raise ValueError(f"keys need more than {MAX_STATES} trie states ({len(data)} bytes in {len(keys)} keys)")
    return Trie(unit, value)
