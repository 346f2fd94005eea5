"""Counting the words of a corpus, on threads, in memory that grows with the number of different words."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from breadth.text.arguments import check_integer, check_iterable
from breadth.text.byte_alphabet import read_only, utf8_bytes
from breadth.text.patterns import Splitter

_BATCH_CHARACTERS = 1 << 20  # of text that a thread cuts and counts at a time


class WordCounts(NamedTuple):
    """Different words and how often each occurs.

    Args:
        data: the words one behind the other, uint8, shape (bytes,).
        ends: byte end of each word in `data`, shape (words,).
        counts: occurrences of each word, >= 1, shape (words,).
    """

    data: NDArray[np.uint8]
    ends: NDArray[np.int64]
    counts: NDArray[np.int64]


class WordCounter:
    """A hash table from words to counts; one thread uses it at a time."""

    def __init__(self) -> None:
        self._table = np.full(1 << 14, -1, dtype=np.int32)  # slot -> word
        self._hashes = np.empty(1 << 13, dtype=np.uint64)
        self._ends = np.empty(1 << 13, dtype=np.int64)
        self._counts = np.empty(1 << 13, dtype=np.int64)
        self._data = np.empty(1 << 17, dtype=np.uint8)
        self._n = 0

    def add(self, data: NDArray[np.uint8], ends: NDArray[np.int64], weights: NDArray[np.int64] | None = None) -> None:
        """Count words once each, or as often as their weights say."""
        from breadth.text.bpe_train_kernels import count_words, place_words

        data = read_only(data)
        weights = np.empty(0, dtype=np.int64) if weights is None else weights
        done = 0
        while True:
            done, self._n = count_words(
                data, ends, weights, done, self._table, self._hashes, self._ends, self._counts, self._data, self._n
            )
            if done == ends.size:
                return
            # no room for the next word
            length = int(ends[done] - (ends[done - 1] if done else 0))
            if 2 * (self._n + 1) > self._table.size:
                self._table = np.full(4 * self._table.size, -1, dtype=np.int32)
                words = self._table.size // 2
                self._hashes, self._ends, self._counts = (
                    grown(array, words) for array in (self._hashes, self._ends, self._counts)
                )
                place_words(self._table, self._hashes, self._n)
            else:
                self._data = grown(self._data, 2 * (self._data.size + length))

    def result(self) -> WordCounts:
        """What has been counted so far; views of this counter's memory, which `add` goes on writing to."""
        n = self._n
        size = int(self._ends[n - 1]) if n else 0
        return WordCounts(self._data[:size], self._ends[:n], self._counts[:n])


def grown(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """A longer array that begins with an array's rows; what follows is not set."""
    longer = np.empty((rows, *array.shape[1:]), dtype=array.dtype)
    longer[: len(array)] = array
    return longer


Cut = Callable[[Sequence[str]], tuple[NDArray[np.uint8], NDArray[np.int64]]]


def cut_by_pattern(split: Splitter) -> Cut:
    """A function from texts to their words' bytes and ends, by one call of a splitter for all of them."""

    def cut(texts: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        parts = [utf8_bytes(text) for text in texts]
        data = np.concatenate(parts)
        return data, split(data, np.cumsum([part.size for part in parts]))

    return cut


def cut_by_text(split: Callable[[str], tuple[NDArray[np.uint8], NDArray[np.int64]]]) -> Cut:
    """The same from a pre-tokenizer's `split`, one call a text."""

    def cut(texts: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        parts = [split(text) for text in texts]
        starts = np.cumsum([0, *(data.size for data, _ in parts[:-1])])
        ends = [ends + start for (_, ends), start in zip(parts, starts, strict=True)]
        return np.concatenate([data for data, _ in parts]), np.concatenate(ends)

    return cut


def training_threads(n_threads: int | None) -> int:
    """As many threads as were asked for, or for None as there are processors; raises for fewer than one."""
    if n_threads is None:
        return os.cpu_count() or 1
    check_integer("n_threads", n_threads, 1)
    return int(n_threads)


def count_corpus(texts: Iterable[str], cut: Cut, *, n_threads: int) -> WordCounts:
    """Count the words of every text.

    Args:
        texts: any number of texts, read once, a few megabytes at a time.
        cut: takes some texts and gives the bytes of all their words and where each ends.
        n_threads: threads that cut and count, >= 1; the counts do not depend on it, the order of words may.

    Returns:
        Each different word with its count.

    Raises:
        TypeError: if `texts` is one text, or holds something else than texts.
        ValueError: if a text holds a lone surrogate.

    Cost: O(bytes) time; O(bytes of different words) memory.
    """
    if isinstance(texts, str):
        raise TypeError("texts is one str; give an iterable of texts, such as [text] or the lines of a file")
    check_iterable("texts", texts, "an iterable of texts, such as [text] or the lines of a file")
    counters: queue.SimpleQueue[WordCounter] = queue.SimpleQueue()
    for _ in range(n_threads):
        counters.put(WordCounter())

    def count(batch: list[str]) -> None:
        data, ends = cut(batch)
        counter = counters.get()
        try:
            counter.add(data, ends)
        finally:
            counters.put(counter)

    batches = _batches(texts)
    if n_threads == 1:
        for batch in batches:
            count(batch)
    else:
        with ThreadPoolExecutor(n_threads) as pool:
            while some := list(islice(batches, 8 * n_threads)):  # so that an endless generator is not read at once
                list(pool.map(count, some))
    total = counters.get()
    for _ in range(n_threads - 1):
        total.add(*counters.get().result())
    return total.result()


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Texts in groups of about a megabyte."""
    some: list[str] = []
    size = 0
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts must hold str, got {type(text).__name__} at {i}; decode bytes, read files")
        if not text.isascii():
            try:
                utf8_bytes(text)
            except ValueError as error:
                raise ValueError(f"texts[{i}]: {error}") from None
        some.append(text)
        size += len(text)
        if size >= _BATCH_CHARACTERS:
            yield some
            some, size = [], 0
    if some:
        yield some
