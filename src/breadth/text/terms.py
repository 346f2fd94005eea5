"""From documents to counts of terms: the analysis that tf-idf, hashing and BM25 share.

The usual analyses (words by `\\w\\w+` and its like, n-grams of characters) run in kernels; any other, with a pattern or
function of the user's, runs in Python and is counted in a kernel. Both give the same terms and counts.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from breadth.compilation import announced
from breadth.text import tfidf_kernels as kernels
from breadth.text.analysis import Analyzer
from breadth.text.arguments import check_iterable
from breadth.text.tfidf_kernels import ABSENT, EMPTY, SPACE, WORD

CHUNK = 1 << 18  # bytes of text counted at a time


class Counts(NamedTuple):
    """How often each document holds each term: rows in no order, as `indptr` divides them."""

    terms: NDArray[np.int32]  # (entries,)
    counts: NDArray[np.int64]  # (entries,)
    indptr: NDArray[np.int64]  # (documents + 1,)


class _Numbers(dict):
    """Numbers of terms in the order in which they were first asked for."""

    def __missing__(self, term: Any) -> int:
        self[term] = number = len(self)
        return number


class TermTable:
    """The terms met so far, numbered as they came; or, when frozen, those of a given vocabulary.

    Args:
        analyzer: how documents become terms.
        vocabulary: term -> column; documents are counted in its columns and other terms ignored. None: open.
    """

    def __init__(self, analyzer: Analyzer, vocabulary: Mapping[Any, int] | None = None):
        self.analyzer = analyzer
        self.vocabulary = vocabulary
        self._numbers = _Numbers()  # of terms that Python finds
        self._n_stop = 0
        self._column: NDArray | None = None
        if not analyzer.in_kernels:
            return
        self._slots = np.full(1 << 10, EMPTY, np.uint64)
        self._record = np.zeros((0, 4), np.int64)
        self._arena = np.zeros(0, np.uint8)
        self._size = np.zeros(2, np.int64)
        stops = sorted(analyzer.stops)
        self._intern(stops, whole=True)
        self._n_stop = len(stops)
        if vocabulary is not None:
            strings = [s if isinstance(s, str) else "" for s in vocabulary]  # "" is no term, and no other can occur
            numbers = self._intern(strings, whole=analyzer.analyzer != "word")
            self._column = np.full(self._size[0], ABSENT, np.int32)
            self._column[numbers] = np.fromiter(vocabulary.values(), np.int32, len(strings))

    def freeze(self, vocabulary: Mapping[Any, int], numbers: NDArray) -> None:
        """From now on count in the columns of a vocabulary alone; `numbers` are its terms', in the order of columns."""
        self.vocabulary = vocabulary
        if self.analyzer.in_kernels:
            self._column = np.full(self._size[0], ABSENT, np.int32)
            self._column[numbers] = np.arange(len(numbers))

    def count(self, documents: Iterable[Any]) -> Counts:
        """Count the terms of documents; an open table learns the new ones.

        Raises:
            TypeError: if documents is a single string, or one of them is no string.
        """
        if isinstance(documents, str | bytes):
            raise TypeError("documents must be a list of strings, got a single one; put it into a list")
        check_iterable("documents", documents, "a list of strings")
        if self.analyzer.in_kernels:
            # calls at a time count in places of their own
            record = self._record.copy() if self._column is not None else None
            with announced():
                parts = [self._count_bytes(*chunk, record) for chunk in _chunks(documents, self.analyzer)]
        else:
            parts = [self._count_listed(documents)]
        if not parts:
            return Counts(np.empty(0, np.int32), np.empty(0, np.int64), np.zeros(1, np.int64))
        sizes = np.concatenate([np.diff(p.indptr) for p in parts])
        return Counts(
            np.concatenate([p.terms for p in parts]),
            np.concatenate([p.counts for p in parts]),
            np.concatenate([[0], np.cumsum(sizes)]),
        )

    def look_up(self, documents: Iterable[Any]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Numbers of the words of documents in their order, ABSENT for one not met before, and each document's end.

        Nothing is learned or written, so that any number of threads may look up at a time.
        """
        if not self.analyzer.in_kernels:
            flat: list[int] = []
            listed_ends: list[int] = []
            for document in documents:
                flat += [self._numbers.get(term, ABSENT) for term in self.analyzer(document)]
                listed_ends.append(len(flat))
            return np.array(flat, np.int32), np.array(listed_ends, np.int64)
        numbers, ends, n = [np.empty(0, np.int32)], [np.empty(0, np.int64)], 0
        for data, data_ends in _chunks(documents, self.analyzer):
            spans, span_ends = _word_spans(data, data_ends, self.analyzer.least or 1)
            found = np.empty(len(spans), np.int32)
            kernels.intern_spans(data, spans, self._slots, self._record, self._arena, self._size, True, found)
            found[(found >= 0) & (found < self._n_stop)] = ABSENT
            numbers.append(found)
            ends.append(span_ends + n)
            n += len(found)
        return np.concatenate(numbers), np.concatenate(ends)

    def extend(self, strings: Sequence[str]) -> NDArray[np.int32]:
        """Numbers of words, of which the table learns the new ones."""
        if self.analyzer.in_kernels:
            return self._intern(strings, whole=True)
        return np.array([self._numbers[s] for s in strings], np.int32)

    def strings(self, numbers: NDArray) -> list[Any]:
        """The terms of these numbers."""
        if not self.analyzer.in_kernels:
            every = list(self._numbers)
            return [every[i] for i in numbers]
        data, ends = self.spelled(numbers)
        text = data.tobytes()
        bounds = [0, *ends.tolist()]
        if text.isascii():
            whole = text.decode("ascii")
            return [whole[a:b] for a, b in itertools.pairwise(bounds)]
        return [text[a:b].decode("utf-8", "surrogatepass") for a, b in itertools.pairwise(bounds)]

    def spelled(self, numbers: NDArray) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The UTF-8 of the terms of these numbers, one behind the other, and where each ends."""
        if not self.analyzer.in_kernels:
            return _joined([_encoded(s) for s in self.strings(numbers)])
        ends = np.empty(len(numbers), np.int64)
        kernels.spelled_ends(numbers, self._record, ends)
        data = np.empty(ends[-1] if ends.size else 0, np.uint8)
        kernels.spell(numbers, self._record, self._arena, ends, data)
        return data, ends

    def _reserve(self, n_terms: int, n_bytes: int) -> None:
        """Room for so many terms and bytes more; what is not written to costs no memory."""
        terms, used = self._size.tolist()
        self._record = _longer(self._record, terms, terms + n_terms)
        self._arena = _longer(self._arena, used, used + n_bytes)

    def _intern(self, strings: Sequence[str], *, whole: bool) -> NDArray[np.int32]:
        """Numbers of terms; one that is not `whole` is the chain of its words."""
        split = [[s] if whole else s.split(" ") for s in strings]
        data, ends = _joined([_encoded(word) for words in split for word in words])
        words, out = np.empty(len(ends), np.int32), np.empty(len(split), np.int32)
        spans = np.column_stack([np.concatenate([[0], ends])[:-1], ends])
        self._reserve(2 * len(ends), len(data))
        self._slots = kernels.intern_spans(
            data, spans, self._slots, self._record, self._arena, self._size, False, words
        )
        chain_ends = np.cumsum(np.fromiter(map(len, split), np.int64, len(split)))
        self._slots = kernels.intern_chains(words, chain_ends, self._slots, self._record, self._size, out)
        return out

    def _count_bytes(
        self, data: NDArray[np.uint8], ends: NDArray[np.int64], record: NDArray[np.int64] | None
    ) -> Counts:
        low, high = self.analyzer.ngram_range
        if self.analyzer.analyzer == "word":
            text, spans, span_ends = data, *_word_spans(data, ends, self.analyzer.least or 1)
        else:
            text, spans, span_ends = _char_spans(data, ends, low, high, within=self.analyzer.analyzer == "char_wb")
            low = high = 1  # the spans are the n-grams
        frozen = record is not None
        if record is None:
            self._reserve(len(spans) * high, int((spans[:, 1] - spans[:, 0]).sum()))
            record = self._record
        numbers = np.empty(len(spans), np.int32)
        self._slots = kernels.intern_spans(text, spans, self._slots, record, self._arena, self._size, frozen, numbers)
        room = len(spans) * (high - low + 1)
        found, counts, out_ends = np.empty(room, np.int32), np.empty(room, np.int64), np.empty(ends.size, np.int64)
        self._slots = kernels.count_grams(
            *(numbers, span_ends, self._n_stop, low, high, frozen),
            *(self._slots, record, self._size, found, counts, out_ends),
        )
        indptr = np.concatenate([[0], out_ends])
        found, counts = found[: indptr[-1]].copy(), counts[: indptr[-1]].copy()
        if self._column is None:
            return Counts(found, counts, indptr)
        columns = self._column[found]
        known = columns != ABSENT
        return Counts(columns[known], counts[known], np.concatenate([[0], np.cumsum(known)])[indptr])

    def _count_listed(self, documents: Iterable[Any]) -> Counts:
        analyze, number = self.analyzer, self._numbers.__getitem__
        texts = callable(analyze.analyzer) or analyze.preprocessor is not None
        flat: list[int] = []
        ends: list[int] = []
        for i, document in enumerate(documents):
            if not texts:
                _check(document, i)
            terms = analyze(document)
            if self.vocabulary is None:
                flat += map(number, terms)
            else:
                get = self.vocabulary.get
                flat += [column for term in terms if (column := get(term)) is not None]
            ends.append(len(flat))
        size = len(self._numbers) if self.vocabulary is None else len(self.vocabulary)
        found, counts = np.empty(len(flat), np.int32), np.empty(len(flat), np.int64)
        out_ends, record = np.empty(len(ends), np.int64), np.zeros((size, 4), np.int64)
        kernels.count_grams(
            *(np.array(flat, np.int32), np.array(ends, np.int64), 0, 1, 1, True),
            *(np.empty(0, np.uint64), record, np.zeros(2, np.int64), found, counts, out_ends),
        )
        indptr = np.concatenate([[0], out_ends])
        return Counts(found[: indptr[-1]], counts[: indptr[-1]], indptr)


@functools.cache
def classes() -> NDArray[np.uint8]:
    """WORD and SPACE of each code point as `re` sees them, shape (2^21,): what four bytes of UTF-8 can name."""
    everything = np.arange(0x110000, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    table = np.zeros(1 << 21, np.uint8)
    for kind, pattern in ((WORD, r"\w+"), (SPACE, r"\s+")):
        for run in re.finditer(pattern, everything):
            table[run.start() : run.end()] |= kind
    table.flags.writeable = False
    return table


def _chunks(documents: Iterable[Any], analyzer: Analyzer) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """UTF-8 of prepared documents, about CHUNK bytes at a time, and where each document ends."""
    held: list[bytes] = []
    size = 0
    plain = analyzer.preprocessor is None
    for i, document in enumerate(documents):
        if plain:
            _check(document, i)
        held.append(_encoded(analyzer.prepare(document)))
        size += len(held[-1])
        if size >= CHUNK:
            yield _joined(held)
            held, size = [], 0
    if held:
        yield _joined(held)


def _word_spans(
    data: NDArray[np.uint8], ends: NDArray[np.int64], least: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and end of each word, and how many words there are by the end of each document."""
    spans = np.empty(((data.size + ends.size) // (least + 1) + ends.size, 2), np.int64)
    span_ends = np.empty(ends.size, np.int64)
    kernels.word_spans(data, ends, classes(), least, spans, span_ends)
    return spans[: span_ends[-1]], span_ends


def _char_spans(
    data: NDArray[np.uint8], ends: NDArray[np.int64], low: int, high: int, *, within: bool
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """A text, start and end of each n-gram in it, and how many there are by the end of each document."""
    if within:
        text = np.empty(3 * data.size, np.uint8)  # a word of one letter has two spaces of its own, and had one before
        unit_ends, doc_units = np.empty(data.size, np.int64), np.empty(ends.size, np.int64)
        unit_ends = unit_ends[: kernels.pad(data, ends, classes(), text, unit_ends, doc_units)]
    else:
        text, unit_ends = np.empty(data.size, np.uint8), np.empty(ends.size, np.int64)
        kernels.squeeze(data, ends, classes(), text, unit_ends)
        doc_units = np.arange(1, ends.size + 1)
    size = int(unit_ends[-1]) if unit_ends.size else 0
    spans = np.empty((size * (high - low + 1), 2), np.int64)
    span_ends = np.empty(unit_ends.size, np.int64)
    kernels.char_spans(text, unit_ends, low, high, within, spans, span_ends)
    span_ends = np.concatenate([[0], span_ends])[doc_units]
    return text, spans[: span_ends[-1]], span_ends


def _check(document: Any, i: int) -> None:
    if not isinstance(document, str):
        hint = "decode it" if isinstance(document, bytes) else "drop it, or put '' in its place"
        raise TypeError(f"documents must be strings, but document {i} is {document!r:.60}; {hint}")


def _joined(parts: list[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    ends = np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)))
    return np.frombuffer(b"".join(parts), np.uint8), ends


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # a lone surrogate is no letter, but a part of character n-grams


def _longer(array: NDArray, used: int, size: int) -> NDArray:
    """The array with room for `size` entries at least, twice as many as before where it grows."""
    if len(array) >= size:
        return array
    longer = np.zeros((max(size, 2 * len(array)), *array.shape[1:]), array.dtype)
    longer[:used] = array[:used]
    return longer
