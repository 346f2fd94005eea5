"""The arrays behind BPE encoding, and the caches that threads borrow."""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breadth.text.byte_alphabet import CHAR_TO_BYTE, read_only

_FIRST_ROWS, _MOST_ROWS = 1 << 12, 1 << 19  # 128 KB to 16 MB a thread
_NONE = np.iinfo(np.int64).max
AT_ONCE = 1 << 18  # bytes of a text up to which one call scans and encodes it, in arrays that a thread keeps
_NO_KINDS, _NO_STATES = read_only(np.empty(0, dtype=np.uint8)), np.empty(0, dtype=np.int32)
_NO_STOPS = np.empty(0, dtype=np.int64)
_NO_SEED = np.uint64(0)


class UnknownSymbolError(ValueError):
    """A word has a byte or character that the vocabulary cannot express; `place` is its byte in the data."""

    def __init__(self, place: int) -> None:
        super().__init__(f"no token for what is at byte {place}")
        self.place = place


@dataclass(frozen=True)
class Options:
    """How words become symbols; see `BPE`. `unk` is an id, -1 for none."""

    byte_level: bool
    byte_fallback: bool
    fuse_unk: bool
    unk: int
    prefix: str
    suffix: str


@functools.cache
def _kernels() -> ModuleType:
    """Numba is imported where it is first needed."""
    from breadth.text import bpe_encode_kernels

    return bpe_encode_kernels


@functools.cache
def _compiled() -> tuple[Callable[..., tuple[int, int, int]], int, int]:
    """`encode_words` as compiled for the arrays that `encode_text` has, with two of the words that it answers.

    Looking up which compiled function fits the types of twenty arguments takes Numba half as long as the call.
    """
    from numba import types

    kernels = _kernels()
    # numba asks what kind of array each argument is; for one that cannot be written to that takes microseconds
    read = types.Array(types.uint8, 1, "C", readonly=True)
    ints, ids, words = types.int64[::1], types.int32[::1], types.uint64[:, ::1]
    table, number = types.int64[:, ::1], types.int64
    signature = (
        read, ints, read, ids, number, number, ids, ints, words, ids, ints, words, ids, table, table, ids, ids, ints,
        types.float64, types.uint64,
    )  # fmt: skip
    kernels.encode_words.compile(signature)
    return kernels.encode_words.get_overload(signature), kernels.DONE, kernels.UNKNOWN


class _Cache:
    """Words that one thread has met, with their ids."""

    def __init__(self, rows: int = _FIRST_ROWS) -> None:
        self.rows = np.zeros((rows, 4), dtype=np.uint64)
        self.pool = np.empty(4 * rows, dtype=np.int32)
        self.used = np.zeros(2, dtype=np.int64)
        self.ids, self.ends = np.empty(AT_ONCE + 2, dtype=np.int32), np.empty(AT_ONCE + 3, dtype=np.int64)
        self.end = np.empty(1, dtype=np.int64)  # of a text that is one word

    def make_room(self) -> None:
        """Four times the rows, or none of the words once that is too many."""
        from breadth.text.bpe_encode_kernels import POOLED, move_rows

        if len(self.rows) >= _MOST_ROWS:
            self.rows[:] = 0
            self.used[:] = 0
            return
        larger = _Cache(4 * len(self.rows))
        move_rows(self.rows, larger.rows)
        pooled = int(self.used[POOLED])
        larger.pool[:pooled] = self.pool[:pooled]
        self.rows, self.pool, self.used[:] = larger.rows, larger.pool, self.used


class Encoder:
    """Encodes words by merge ranks; one object serves any number of threads.

    Args:
        vocab: token -> id, as spelt in the vocabulary.
        keys: left << 32 | right of each merge.
        values: rank << 32 | joined of each merge.
        options: how words become symbols.
        whole_words: a word that is a token gets its id, whatever merges say.
    """

    def __init__(
        self,
        vocab: Mapping[str, int],
        keys: NDArray[np.int64],
        values: NDArray[np.int64],
        options: Options,
        *,
        whole_words: bool,
    ) -> None:
        from breadth.text import bpe_encode_merge_kernels as merge
        from breadth.text.bpe_encode_kernels import keep_tokens

        self._pairs = hash_table(keys, values)
        tokens, _ = spelt_bytes(vocab, byte_level=options.byte_level)
        self._alphabet = np.full(256, -1, dtype=np.int32)
        characters: dict[int, int] = {}
        if options.byte_level:
            for char, byte in CHAR_TO_BYTE.items():
                self._alphabet[byte] = vocab.get(char, -1)
        else:
            if options.byte_fallback:
                self._alphabet[:] = [vocab.get(f"<0x{byte:02X}>", -1) for byte in range(256)]
            characters = _characters(vocab, options.prefix, options.suffix)
        self._characters = hash_table(
            np.fromiter(characters.keys(), dtype=np.int64, count=len(characters)),
            np.fromiter(characters.values(), dtype=np.int64, count=len(characters)),
        )
        self._sizes = _sizes(vocab, tokens, options, self._alphabet)
        self._settings = np.zeros(merge.FUSE_UNK + 1, dtype=np.int64)
        self._settings[[merge.BYTE_LEVEL, merge.PREFIXED, merge.SUFFIXED, merge.BYTE_FALLBACK]] = (
            options.byte_level, bool(options.prefix), bool(options.suffix), options.byte_fallback,
        )  # fmt: skip
        self._settings[[merge.UNK, merge.FUSE_UNK]] = options.unk, options.fuse_unk
        self._whole = _Cache(1)
        if whole_words:
            data, ends = joined(tokens.keys())
            self._whole = _Cache(1 << (2 * len(tokens) + 2).bit_length())
            self._whole.pool = np.empty(data.size + 2 * len(tokens), dtype=np.int32)
            ids = np.fromiter(tokens.values(), dtype=np.int32, count=len(tokens))
            keep_tokens(data, ends, ids, self._whole.rows, self._whole.pool, self._whole.used)
        self._caches: collections.deque[_Cache] = collections.deque()  # its pop and append are atomic
        self._fixed = (
            self._whole.rows, self._whole.pool, self._pairs, self._characters, self._alphabet, self._sizes,
            self._settings,
        )  # fmt: skip
        self.encode(np.empty(0, dtype=np.uint8), np.empty(0, dtype=np.int64), with_ends=False, dropout=0.0, seed=0)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_caches": collections.deque()}  # a copy learns its words itself

    def encode(
        self, data: NDArray[np.uint8], ends: NDArray[np.int64], *, with_ends: bool, dropout: float, seed: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int64] | None]:
        """Ids of words, and the byte end of each if asked for; `UnknownSymbolError` where there is none."""
        encode_words, done, unknown = _compiled()
        # kernels are compiled for one kind of array
        data, ends = read_only(np.ascontiguousarray(data, np.uint8)), np.ascontiguousarray(ends, np.int64)
        ids = np.empty(data.size + 2, dtype=np.int32)  # as many as bytes at the most, and room to overshoot
        stops = np.empty(data.size if with_ends else 0, dtype=np.int64)
        try:
            cache = self._caches.pop()
        except IndexError:
            cache = _Cache()
        try:
            word = n = 0
            while True:
                status, word, n = encode_words(
                    data, ends, _NO_KINDS, _NO_STATES, word, n, ids, stops, cache.rows, cache.pool, cache.used,
                    *self._fixed, float(dropout), np.uint64(seed),
                )  # fmt: skip
                if status == done:
                    break
                if status == unknown:
                    raise UnknownSymbolError(int(word))
                cache.make_room()
        finally:
            self._caches.append(cache)
        ids.resize(n, refcheck=False)  # gives the rest of its memory back
        if with_ends:
            stops.resize(n, refcheck=False)
        return ids, stops if with_ends else None

    def encode_text(
        self,
        data: NDArray[np.uint8],
        tables: tuple[NDArray[np.uint8], NDArray[np.int32]] | None,
        listed: Callable[[NDArray[np.int32]], list[int]],
    ) -> list[int] | None:
        """Ids of a text of 1 to AT_ONCE bytes, cut by a scanner's tables (None: one word); None where a byte has none.

        One call of a kernel, no array made: for a short text, what surrounds the kernel would take longer than it, and
        for others fresh memory for words and ids is a sixth of the time. `listed` makes a list of the ids.
        """
        encode_words, done, unknown = _compiled()
        kinds, states = tables or (_NO_KINDS, _NO_STATES)
        try:
            cache = self._caches.pop()
        except IndexError:
            cache = _Cache()
        try:
            ends = cache.ends
            if tables is None:
                ends = cache.end
                ends[0] = data.size
            word = n = 0
            while True:
                status, word, n = encode_words(
                    data, ends, kinds, states, word, n, cache.ids, _NO_STOPS, cache.rows, cache.pool, cache.used,
                    *self._fixed, 0.0, _NO_SEED,
                )  # fmt: skip
                if status == done:
                    return listed(cache.ids[:n])
                if status == unknown:
                    return None
                cache.make_room()
        finally:
            self._caches.append(cache)


def spelt_bytes(vocab: Mapping[str, int], *, byte_level: bool) -> tuple[dict[bytes, int], list[str]]:
    """The bytes that each token stands for, and the tokens that stand for none: not in the byte-level alphabet."""
    if not byte_level:
        return {token.encode("utf-8", "surrogatepass"): i for token, i in vocab.items()}, []
    tokens: dict[bytes, int] = {}
    others = []
    for token, i in vocab.items():
        try:
            tokens[bytes(map(CHAR_TO_BYTE.__getitem__, token))] = i
        except KeyError:
            others.append(token)
    return tokens, others


def joined(parts: Iterable[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Bytes one behind the other, and where each ends."""
    parts = list(parts)
    ends = np.cumsum(np.fromiter(map(len, parts), dtype=np.int64, count=len(parts)))
    return np.frombuffer(b"".join(parts), dtype=np.uint8), ends


def hash_table(keys: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
    """An open-addressing table from keys to values."""
    from breadth.text.bpe_encode_merge_kernels import place_values

    table = np.empty((1 << max(4, (2 * len(keys)).bit_length()), 2), dtype=np.int64)
    table[:, 0], table[:, 1] = -1, _NONE
    place_values(keys, values, table)
    return table


def _characters(vocab: Mapping[str, int], prefix: str, suffix: str) -> dict[int, int]:
    """form << 32 | code point -> id; form 1 has the prefix, form 2 the suffix, form 3 both."""
    characters = {}
    for form in range(4 if prefix or suffix else 1):
        before, behind = prefix if form & 1 else "", suffix if form & 2 else ""
        for token, i in vocab.items():
            if len(token) == len(before) + 1 + len(behind) and token.startswith(before) and token.endswith(behind):
                characters[form << 32 | ord(token[len(before)])] = i
    return characters


def _sizes(
    vocab: Mapping[str, int], tokens: Mapping[bytes, int], options: Options, alphabet: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Bytes of text that each id stands for; -1 where that depends on the word."""
    sizes = np.full(max(vocab.values()) + 1, -1, dtype=np.int32)
    prefix, suffix = options.prefix.encode(), options.suffix.encode()
    for token, i in tokens.items():
        bare = token.removesuffix(suffix) if suffix else token
        sizes[i] = len(bare.removeprefix(prefix) if prefix else bare)
    if options.byte_fallback:
        sizes[alphabet[alphabet >= 0]] = 1
    if options.unk >= 0:
        sizes[options.unk] = -1
    return sizes
