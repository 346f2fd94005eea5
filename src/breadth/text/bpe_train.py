"""BPE training: from counted words to a vocabulary and its merges."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from breadth.compilation import announced
from breadth.text.arguments import check_integer
from breadth.text.bpe_train_words import WordCounts, grown
from breadth.text.byte_alphabet import BYTE_TO_CHAR

Progress = Callable[[int, int], None]
_POINTS = 0x110000
_MERGES_A_CALL = 500  # between two reports of progress, and between two chances to interrupt


class Merges(NamedTuple):
    """What BPE training finds.

    Args:
        vocab: token -> id.
        merges: pairs of tokens, the first merged first.
    """

    vocab: dict[str, int]
    merges: list[tuple[str, str]]


def train_merges(
    words: WordCounts,
    *,
    vocab_size: int,
    byte_level: bool = True,
    min_frequency: int = 0,
    special_tokens: Sequence[str] = (),
    initial_alphabet: Collection[str] = (),
    limit_alphabet: int | None = None,
    continuing_subword_prefix: str | None = None,
    end_of_word_suffix: str | None = None,
    max_token_length: int | None = None,
    progress: Progress | None = None,
) -> Merges:
    """Byte-pair encoding: give the most frequent pair of neighbouring symbols a token, until there are enough.

    Ids: special tokens, then the alphabet by code point, then its forms with prefix or suffix, then merges in order.
    Among pairs of equal count the one with the smaller ids, left then right, comes first.

    Args:
        words: different words and how often each occurs; merges never cross words.
        vocab_size: tokens to stop at, special tokens and alphabet included, >= 1.
        byte_level: words are bytes and tokens are spelt in GPT-2's alphabet, all of whose 256 characters are tokens;
            else words are UTF-8 and symbols are characters.
        min_frequency: smallest count of a pair that is merged, >= 0.
        special_tokens: the first tokens, in this order; never split, merged into or found in text.
        initial_alphabet: characters that are tokens even if no word has them.
        limit_alphabet: keep this many characters at the most, the most frequent; those of `initial_alphabet` count as
            most frequent. A character that is not kept is taken out of its words, as if it had not been there.
        continuing_subword_prefix: put before every symbol but the first of a word (`##`).
        end_of_word_suffix: put behind the last symbol of a word (`</w>`).
        max_token_length: pairs are counted that give a token of fewer symbols than this (two symbols always are).
        progress: called now and then with (tokens so far, vocab_size).

    Returns:
        The vocabulary and its merges; fewer than `vocab_size` tokens if pairs run out.

    Raises:
        ValueError: if an argument is out of its range, or special tokens repeat.

    Cost: O(n log n) time for n symbols in different words; about 120 bytes a symbol.
    Deviations: counts are int64 (the peer's are int32 and overflow at 2^31). Where `limit_alphabet` has to choose
        between characters of one count, and for the ids of forms with prefix or suffix, the peer's order changes from
        run to run; here the smaller code point comes first.
    References: Sennrich et al. 2016, arXiv:1508.07909, algorithm 1; Gage 1994.
    Peer: tokenizers.trainers.BpeTrainer, vocabulary and merges in order, exact (A).
    In production: use it through `BPE.train`, which counts the words and returns a ready tokenizer.
    """
    from breadth.text import bpe_train_merge_kernels as kernels
    from breadth.text.bpe_train_kernels import write_symbols

    _check(vocab_size, min_frequency, special_tokens, limit_alphabet, max_token_length)
    prefix, suffix = continuing_subword_prefix or "", end_of_word_suffix or ""
    points, ends = _characters(words, byte_level)
    alphabet = {*BYTE_TO_CHAR, *initial_alphabet} if byte_level else set(initial_alphabet)
    vocab, forms = _alphabet(
        points, ends, words.counts, special_tokens, alphabet, limit_alphabet, prefix, suffix
    )  # (forms, code points)
    symbols = np.empty((points.size, 4), dtype=np.int32)
    symbols = symbols[: write_symbols(points, ends, forms, bool(prefix), bool(suffix), symbols)]

    n_pairs = min(len(symbols), len(vocab) ** 2)
    table = _pair_table(2 * n_pairs)
    nodes = np.empty((2 * len(symbols) + 2, 2), dtype=np.int32)
    touched = np.empty((n_pairs + 2, 2), dtype=np.int64)
    heap = np.empty((2 * n_pairs + 2, 3), dtype=np.int64)
    state = np.zeros(kernels.NEEDED + 1, dtype=np.int64)
    kernels.count_pairs(symbols, words.counts, table, nodes, touched, heap, state)

    encoded = [token.encode() for token in vocab]
    n_tokens = max(vocab_size, len(vocab))
    spelling_ends = np.zeros(n_tokens + 1, dtype=np.int64)
    spelling_ends[: len(vocab)] = np.cumsum([len(token) for token in encoded])
    spelling = grown(np.frombuffer(b"".join(encoded), dtype=np.uint8), int(spelling_ends.max()) + 16 * n_tokens + 64)
    lookup = np.full(_power_of_two(2 * n_tokens), -1, dtype=np.int32)
    kernels.place_tokens(spelling, spelling_ends, lookup, len(vocab))
    lengths = np.ones(n_tokens, dtype=np.int64)
    lengths[: len(special_tokens)] = [len(token) for token in special_tokens]
    merges = np.empty((n_tokens + 64, 3), dtype=np.int32)
    state[kernels.TOKENS] = len(vocab)
    prefix_bytes = np.frombuffer(prefix.encode(), dtype=np.uint8)
    longest = np.iinfo(np.int64).max if max_token_length is None else max_token_length
    while True:
        with announced():
            status = kernels.merge_pairs(
                symbols, words.counts, table, nodes, touched, heap, state, spelling, spelling_ends, lookup, lengths,
                prefix_bytes, merges, vocab_size, max(min_frequency, 1), longest, _MERGES_A_CALL,
            )  # fmt: skip
        if progress is not None:
            progress(int(state[kernels.TOKENS]), vocab_size)
        if status == kernels.DONE:
            break
        if status == kernels.NO_ROOM:
            more = int(state[kernels.NEEDED])
            nodes, heap, touched = (
                grown(array, int(1.5 * (used + more)) + 2) if used + more > len(array) else array
                for array, used in (
                    (nodes, int(state[kernels.NODES])), (heap, int(state[kernels.HEAP])), (touched, 0),
                )
            )  # fmt: skip
            if 2 * (int(state[kernels.PAIRS]) + 2 * more) > len(table):
                small, table = table, _pair_table(2 * (int(state[kernels.PAIRS]) + 2 * more))
                kernels.place_pairs(small, table)
            if 2 * int(spelling_ends[state[kernels.TOKENS] - 1]) > spelling.size:
                spelling = grown(spelling, 2 * spelling.size)
            if state[kernels.MERGES] == len(merges):
                merges = grown(merges, 2 * len(merges))
    tokens = _spelt(spelling, spelling_ends[: state[kernels.TOKENS]])
    # a pair that came up twice, because a merge made a token that was there before, has its last rank
    last = {(int(a), int(b)): rank for rank, (a, b, _) in enumerate(merges[: state[kernels.MERGES]])}
    in_order = sorted(last, key=last.__getitem__)
    return Merges({token: i for i, token in enumerate(tokens)}, [(tokens[a], tokens[b]) for a, b in in_order])


def _check(
    vocab_size: int,
    min_frequency: int,
    special_tokens: Sequence[str],
    limit_alphabet: int | None,
    max_token_length: int | None,
) -> None:
    if isinstance(special_tokens, str):
        raise TypeError(f"special_tokens is one str; give a sequence such as [{special_tokens!r}]")
    if not all(isinstance(token, str) for token in special_tokens):
        raise TypeError(f"special_tokens must hold str, got {list(special_tokens)}")
    if len(set(special_tokens)) < len(special_tokens) or "" in special_tokens:
        raise ValueError(f"special_tokens must be different and not empty, got {list(special_tokens)}")
    for name, value, least in (
        ("vocab_size", vocab_size, 1),
        ("min_frequency", min_frequency, 0),
        ("limit_alphabet", limit_alphabet, 1),
        ("max_token_length", max_token_length, 1),
    ):
        if value is not None or name in ("vocab_size", "min_frequency"):
            check_integer(name, value, least)


def _characters(words: WordCounts, byte_level: bool) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Code points of the words' characters and where each word ends among them."""
    if len(words.data) >= 1 << 31:
        raise ValueError(
            f"the different words have {len(words.data):,} bytes, and training takes fewer than 2^31; "
            "split the texts into shorter words, or train on a sample"
        )
    if byte_level:
        printable = np.array([ord(char) for char in BYTE_TO_CHAR], dtype=np.int32)
        return printable[words.data], words.ends
    points = np.frombuffer(words.data.tobytes().decode("utf-8").encode("utf-32-le"), dtype=np.int32)
    # characters that have begun before each byte: (bytes + 1,)
    begun = np.append(0, np.cumsum((words.data & 0xC0) != 0x80))
    return points, begun[words.ends]


def _alphabet(
    points: NDArray[np.int32],
    ends: NDArray[np.int64],
    counts: NDArray[np.int64],
    special_tokens: Sequence[str],
    initial: Iterable[str],
    limit: int | None,
    prefix: str,
    suffix: str,
) -> tuple[dict[str, int], NDArray[np.int32]]:
    """First tokens, and the id of each code point in its four forms (-1: none), shape (1 or 4, code points)."""
    from breadth.text.bpe_train_kernels import count_characters

    n_forms = 4 if prefix or suffix else 1
    totals = np.zeros(_POINTS, dtype=np.int64)
    seen = np.zeros((n_forms, _POINTS if n_forms > 1 else 1), dtype=np.bool_)
    count_characters(points, ends, counts, totals, seen, bool(prefix), bool(suffix))
    for char in initial:
        if len(char) != 1:
            raise ValueError(f"initial_alphabet must hold single characters, got {char!r}")
        totals[ord(char)] = np.iinfo(np.int64).max
    kept = np.flatnonzero(totals)
    if limit is not None and kept.size > limit:
        kept = np.sort(kept[np.argsort(-totals[kept], kind="stable")[:limit]])
    vocab = {token: i for i, token in enumerate(special_tokens)}
    for point in kept:
        vocab.setdefault(chr(point), len(vocab))
    forms = np.full((n_forms, _POINTS), -1, dtype=np.int32)
    plain = [char for char in vocab if len(char) == 1]
    for char in plain:
        forms[0, ord(char)] = vocab[char]
    for char in sorted(plain) if n_forms > 1 else ():
        for form in range(1, 4):
            if seen[form, ord(char)]:
                spelt = (prefix if form & 1 else "") + char + (suffix if form & 2 else "")
                forms[form, ord(char)] = vocab.setdefault(spelt, len(vocab))
    return vocab, forms


def _pair_table(rows: int) -> NDArray[np.int64]:
    table = np.empty((_power_of_two(rows), 4), dtype=np.int64)
    table[:, 0] = -1
    return table


def _power_of_two(least: int) -> int:
    return 1 << max(10, int(least - 1).bit_length())


def _spelt(spelling: NDArray[np.uint8], ends: NDArray[np.int64]) -> list[str]:
    data = spelling.tobytes()
    return [data[start:end].decode() for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)]
