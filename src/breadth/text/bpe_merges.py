"""Vocabularies and merges checked and turned to arrays, and merges found again from a vocabulary of ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from breadth.text.bpe_encoder import hash_table, joined
from breadth.text.byte_alphabet import printable_to_bytes

Merge = tuple[str, str]
_MOST_ID = (1 << 31) - 1


def checked_vocab(vocab: Mapping[str, int]) -> dict[str, int]:
    """A copy in the order of ids.

    Raises:
        ValueError: if it is empty, two tokens have one id, or an id is not in [0, 2^31).
    """
    if not vocab:
        raise ValueError("vocab is empty; a model needs at least one token")
    owner: dict[int, str] = {}
    for token, i in vocab.items():
        if isinstance(i, bool) or not isinstance(i, (int, np.integer)) or not 0 <= i < _MOST_ID:
            raise ValueError(f"ids must be integers in [0, 2^31 - 1), got {i!r} for {token!r}")
        if i in owner:
            raise ValueError(f"ids must be different, got {i} for both {owner[i]!r} and {token!r}")
        owner[int(i)] = token
    return {owner[i]: i for i in sorted(owner)}


def merge_arrays(
    vocab: Mapping[str, int], merges: Sequence[Merge], prefix: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """left << 32 | right, and rank << 32 | joined, of each merge; the right part loses its prefix in the joined token.

    Raises:
        ValueError: if a part or the joined token is not in the vocabulary, or a merge comes twice.
    """
    keys, values = np.empty(len(merges), dtype=np.int64), np.empty(len(merges), dtype=np.int64)
    ranks: dict[int, int] = {}
    for rank, (left, right) in enumerate(merges):
        whole = left + right[len(prefix) :]
        try:
            key = vocab[left] << 32 | vocab[right]
            values[rank] = rank << 32 | vocab[whole]
        except KeyError as error:
            part = "result" if error.args[0] == whole and left in vocab and right in vocab else "part"
            raise ValueError(
                f"merges[{rank}], {left!r} and {right!r}, contradicts the vocabulary: its {part} {error.args[0]!r} "
                "is no token; are merges and vocab of one model?"
            ) from None
        if ranks.setdefault(key, rank) != rank:
            raise ValueError(
                f"merges must be different, got {left!r} and {right!r} at {ranks[key]} and again at {rank}"
            )
        keys[rank] = key
    return keys, values


def rank_arrays(ranks: Mapping[bytes, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The same for tokens with ranks: every cut of a token into two tokens is a merge of the token's rank."""
    from breadth.text.bpe_encode_merge_kernels import splits
    from breadth.text.bpe_train_merge_kernels import place_tokens

    spelling, ends = joined(ranks)
    ids = np.fromiter(ranks.values(), dtype=np.int64, count=len(ranks))
    lookup = np.full(1 << (2 * len(ranks)).bit_length(), -1, dtype=np.int32)
    place_tokens(spelling, ends, lookup, len(ranks))
    nothing = np.empty(0, dtype=np.int64)
    n = splits(spelling, ends, lookup, ids, nothing, nothing)
    keys, values = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    splits(spelling, ends, lookup, ids, keys, values)
    return keys, values


def merges_of_ranks(vocab: Mapping[str, int]) -> list[Merge]:
    """The pair that each token is merged from by merges of lower rank; none for a token that stays in more parts."""
    from breadth.text.bpe_encode_merge_kernels import parents

    ranks = {printable_to_bytes(token): i for token, i in vocab.items()}
    spelling, ends = joined(ranks)
    ids = np.fromiter(ranks.values(), dtype=np.int64, count=len(ranks))
    alphabet = np.array([ranks[bytes([byte])] for byte in range(256)], dtype=np.int32)
    found = np.empty((len(ranks), 2), dtype=np.int32)
    parents(spelling, ends, ids, alphabet, hash_table(*rank_arrays(ranks)), found)
    tokens = {i: token for token, i in vocab.items()}
    return [(tokens[left], tokens[right]) for left, right in found[np.argsort(ids)].tolist() if left >= 0]
