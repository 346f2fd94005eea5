"""Okapi BM25 and its variants over an inverted file."""

from __future__ import annotations

import json
import os
import secrets
import zipfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, get_args

import numpy as np
import scipy.sparse as sp
from numpy.typing import DTypeLike, NDArray

from breadth.compilation import announced
from breadth.text import bm25_kernels as kernels
from breadth.text.analysis import Analyzer
from breadth.text.arguments import check_integer, check_iterable, check_number
from breadth.text.terms import TermTable
from breadth.text.whole_file import writable

Variant = Literal["lucene", "robertson", "atire", "bm25l", "bm25+"]
FORMS = {
    "lucene": kernels.RATIO,
    "robertson": kernels.RATIO,
    "atire": kernels.ATIRE,
    "bm25l": kernels.BM25L,
    "bm25+": kernels.BM25PLUS,
}
DELTA = {"bm25l": 0.5, "bm25+": 1.0}
_DAMAGED = (ValueError, KeyError, TypeError, OSError, EOFError, NotImplementedError)  # what readers raise at bad bytes


class Found(NamedTuple):
    """Documents that share a term with a query, best first, equal scores in the order of their addition."""

    ids: NDArray[np.int64]  # numbers of documents as they were added, shape (found,)
    scores: NDArray[np.floating]  # shape (found,)


class BM25:
    """Documents ranked by the sum over a query's terms of idf(t) f(tf), with tf saturating and scaled by length.

    With L = 1 - b + b |d| / mean |d|, and a sum over terms that d holds:

        lucene     ln(1 + (n - df + 1/2) / (df + 1/2))            tf / (tf + k1 L)
        robertson  max(0, ln((n - df + 1/2) / (df + 1/2)))        tf / (tf + k1 L)
        atire      ln(n / df)                                     (k1 + 1) tf / (tf + k1 L)
        bm25l      ln((n + 1) / (df + 1/2))                       (k1 + 1)(c + delta) / (k1 + c + delta), c = tf / L
        bm25+      ln((n + 1) / df)                               (k1 + 1) tf / (tf + k1 L) + delta

    Args:
        variant: one of these.
        k1: how late the term frequency saturates, >= 0; 0 counts only whether a term occurs.
        b: how much long documents are held back, in [0, 1].
        delta: floor of bm25l and bm25+, >= 0; None takes the papers' 0.5 and 1.
        tokenize: function from a document or query to its terms; documents may then be anything, such as lists of
            terms with tokenize=list. None takes lower-case words of two characters or more.
        stop_words: words to leave out, or "english"; only without tokenize.
        stem: function from a word to its stem, called once for each distinct word.
        dtype: np.float32 or np.float64, of scores.

    Raises:
        ValueError: if a parameter is out of its range, or stop_words comes with tokenize.

    Cost: adding, one pass over the text; the first search after it, one over all postings, since n, df and mean length
        have changed; a search, one over the postings of its terms. 8 bytes a posting, and 4 or 8 for its weight.
    Deviations:
        1. A document gains nothing from terms that it lacks, as the papers sum. rank_bm25 and bm25s add the floor of
           bm25l and bm25+ there too, so that their delta shifts all scores of bm25+ alike and ranks nothing anew.
        2. Documents that share no term with the query, or only terms of weight 0, are not found; others fill up with
           arbitrary ones.
        3. "robertson" sets negative idf to 0, as bm25s does; the weight of 1976 is negative beyond half the documents.
    References: Robertson & Zaragoza 2009, Foundations and Trends in IR 3(4), eq. 3.15; Lv & Zhai 2011, CIKM, eq. 7
        (bm25+), and SIGIR, eq. 7 (bm25l); Kamphuis et al. 2020, ECIR, table 1 (variants).
    Peer: bm25s, every variant, float64, 1e-12 (A).
    In production: use it as the first stage of search and the baseline of any embedding; "lucene" with stemming is what
        search servers run.

    Example:
        >>> index = BM25()
        >>> index.add(["a cat sat", "dogs bark", "cat and dog"])
        >>> index.search("cat", k=2).ids.tolist()
        [0, 2]
    """

    def __init__(
        self,
        *,
        variant: Variant = "lucene",
        k1: float = 1.5,
        b: float = 0.75,
        delta: float | None = None,
        tokenize: Callable[[Any], Iterable[str]] | None = None,
        stop_words: Literal["english"] | Iterable[str] | None = None,
        stem: Callable[[str], str] | None = None,
        dtype: DTypeLike = np.float32,
    ):
        if variant not in get_args(Variant):
            raise ValueError(f"variant must be one of {', '.join(map(repr, get_args(Variant)))}, got {variant!r}")
        for name, value in (("k1", k1), ("b", b), ("delta", 0.0 if delta is None else delta)):
            check_number(name, value)
        if stem is not None and not callable(stem):
            raise TypeError(f"stem must be a function from a word to its stem or None, got {stem!r}")
        if tokenize is not None and not callable(tokenize):
            raise TypeError(f"tokenize must be a function from a document to its terms or None, got {tokenize!r}")
        if not 0 <= k1 < np.inf:
            raise ValueError(f"k1 must be >= 0 and finite, got {k1}")
        if not 0 <= b <= 1:
            raise ValueError(f"b must be in [0, 1], got {b}")
        if delta is not None and not 0 <= delta < np.inf:
            raise ValueError(f"delta must be >= 0 and finite, got {delta}")
        if tokenize is not None and stop_words is not None:
            raise ValueError("stop_words belongs to the words that are found without tokenize; drop them in tokenize")
        if np.dtype(dtype) not in (np.float32, np.float64):
            raise ValueError(f"dtype must be np.float32 or np.float64, got {dtype!r}")
        self.variant: Variant = variant
        self.k1, self.b = float(k1), float(b)
        self.delta = float(DELTA.get(variant, 0.0) if delta is None else delta)
        self.stem = stem
        self.dtype = np.dtype(dtype)
        self._tokenize, self._stop_words = tokenize, stop_words
        analyzer = Analyzer(analyzer=tokenize) if tokenize is not None else Analyzer(stop_words=stop_words)
        self._words = TermTable(analyzer)  # as they stand in documents
        self._stems = TermTable(Analyzer(analyzer=list)) if stem is not None else self._words
        self._stem_of = np.empty(0, np.int32)  # word -> its stem
        self._counts = sp.csr_matrix((0, 0), dtype=np.int32)  # (documents, terms)
        self._index: _Index | None = None

    def __len__(self) -> int:
        """How many documents there are."""
        return self._counts.shape[0]

    def add(self, documents: Iterable[Any]) -> None:
        """Add documents behind those that are there; they are numbered on.

        Args:
            documents: strings, or what `tokenize` takes. One without a term is never found, and counts in n.

        Raises:
            TypeError: if a document is no string; the message names it, and nothing is added.
        """
        found = self._words.count(documents)
        terms = found.terms
        if self.stem is not None and terms.size:
            new = np.arange(len(self._stem_of), int(terms.max()) + 1)
            stems = self._stems.extend([self.stem(word) for word in self._words.strings(new)])
            self._stem_of = np.concatenate([self._stem_of, stems])
            terms = self._stem_of[terms]
        width = max(self._counts.shape[1], int(terms.max()) + 1 if terms.size else 0)
        rows = (found.counts.astype(np.int32), terms, found.indptr)
        fresh = sp.csr_matrix(rows, shape=(len(found.indptr) - 1, width))
        fresh.sum_duplicates()  # words of one stem
        before = self._counts
        before.resize(before.shape[0], width)
        self._counts = sp.vstack([before, fresh], format="csr", dtype=np.int32)
        self._index = None

    def search(self, query: Any, k: int = 10) -> Found:
        """The best documents for one query.

        Args:
            query: a string, or what `tokenize` takes; a term that comes twice counts twice.
            k: how many, in [1, len(self)].
        """
        return self.search_batch([query], k)[0]

    def search_batch(self, queries: Sequence[Any], k: int = 10, *, n_threads: int = 1) -> list[Found]:
        """The best documents for each query, the same for any number of threads.

        Args:
            queries: strings, or what `tokenize` takes.
            k: how many for each, in [1, len(self)].
            n_threads: threads over the queries, >= 1.

        Raises:
            ValueError: if k or n_threads is out of range.
            TypeError: if queries is a single string.
        """
        if isinstance(queries, str):
            raise TypeError("queries must be a list, got a single string; use search for one query")
        check_iterable("queries", queries, "a list")
        check_integer("n_threads", n_threads, 1)
        if not isinstance(k, Integral) or isinstance(k, bool):
            raise TypeError(f"k must be an integer, got {k!r}")
        if not 1 <= k <= len(self):
            hint = "" if len(self) else "; there are none yet: add some first"
            raise ValueError(f"k must be in [1, {len(self)}], the number of documents, got {k}{hint}")
        index = self._built()
        terms, ends = self._query_terms(queries)
        n = len(ends)
        ids, scores, found = np.empty((n, k), np.int64), np.empty((n, k), self.dtype), np.empty(n, np.int64)

        def part(first: int, stop: int) -> None:
            total = np.zeros(len(self), self.dtype)
            postings = (index.starts, index.documents, index.weights)
            kernels.best(terms, ends, first, stop, *postings, total, ids, scores, found)

        bounds = np.linspace(0, n, min(n_threads, max(n, 1)) + 1).astype(int).tolist()
        with announced():
            if len(bounds) == 2:
                part(*bounds)
            else:
                with ThreadPoolExecutor(len(bounds) - 1) as pool:
                    list(pool.map(part, bounds[:-1], bounds[1:]))
        return [Found(ids[q, : found[q]], scores[q, : found[q]]) for q in range(n)]

    def scores(self, query: Any) -> NDArray[np.floating]:
        """The score of every document for one query, shape (documents,)."""
        index = self._built()
        total = np.zeros(len(self), self.dtype)
        kernels.add_scores(self._query_terms([query])[0], index.starts, index.documents, index.weights, total)
        return total

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to one file (NumPy's .npz), or replace it; a crash on the way leaves the old file.

        Args:
            path: the file. `tokenize` and `stem` are functions and are not written; `load` takes them.

        Raises:
            TypeError: if a term is no string.
            OSError: if the folder does not exist or cannot be written to, or `path` is a folder, device or pipe.
        """
        terms = self._stems.strings(np.arange(self._counts.shape[1]))
        if not all(isinstance(term, str) for term in terms):
            raise TypeError("terms must be strings to be saved; tokenize gives others")
        about = {
            **{name: getattr(self, name) for name in ("variant", "k1", "b", "delta")},
            "dtype": self.dtype.str,
            "functions": [name for name, f in (("tokenize", self._tokenize), ("stem", self.stem)) if f is not None],
            "stop_words": sorted(self._words.analyzer.stops),
            "terms": terms,
        }
        target = writable(path)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        counts = {"data": self._counts.data, "indices": self._counts.indices, "indptr": self._counts.indptr}
        try:
            with temporary.open("xb") as file:
                np.savez(file, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **counts)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        tokenize: Callable[[Any], Iterable[str]] | None = None,
        stem: Callable[[str], str] | None = None,
    ) -> Self:
        """Read what `save` wrote.

        Args:
            path: the file.
            tokenize: the function that the index was made with, if it was.
            stem: likewise.

        Raises:
            ValueError: if the file is no such index, or a function that it was made with is missing or one too many.
        """
        with Path(path).open("rb") as file:
            try:
                with np.load(file, allow_pickle=False) as stored:
                    about = json.loads(stored["about"].tobytes())
                    data, indices, indptr = stored["data"], stored["indices"], stored["indptr"]
                    counts = sp.csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, len(about["terms"])))
                    counts.check_format(full_check=True)
                    options = {name: about[name] for name in ("variant", "k1", "b", "delta", "dtype")}
                    functions, stop_words = about["functions"], about["stop_words"] or None
            except (
                ValueError,
                KeyError,
                TypeError,
                OSError,
                EOFError,
                NotImplementedError,
                zipfile.BadZipFile,
            ) as error:
                raise ValueError(f"{os.fspath(path)!r} is not a BM25 index, or is damaged ({error})") from error
        for name, given in (("tokenize", tokenize), ("stem", stem)):
            if (name in functions) != (given is not None):
                had = "with" if given is None else "without"
                raise ValueError(f"{os.fspath(path)!r} was made {had} a function {name}; load it {had} one too")
        index = cls(**options, tokenize=tokenize, stem=stem, stop_words=stop_words)
        numbers = index._stems.extend(about["terms"])
        # the table may begin with stop words: columns take the numbers that the terms have now
        width = int(numbers.max(initial=-1)) + 1
        counts = sp.csr_matrix((counts.data, numbers[counts.indices], counts.indptr), shape=(counts.shape[0], width))
        counts.sort_indices()
        index._counts = counts
        return index

    def _query_terms(self, queries: Sequence[Any]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        if self.stem is None:
            return self._words.look_up(queries)
        # a query's word may be new and its stem known
        lists = [[self.stem(word) for word in self._words.analyzer(query)] for query in queries]
        return self._stems.look_up(lists)

    def _built(self) -> _Index:
        if self._index is None:
            if not len(self):
                raise ValueError("the index holds no documents; add some before a search")
            with announced():
                self._index = self._build()
        return self._index

    def _build(self) -> _Index:
        X = self._counts
        n, n_terms = X.shape
        df = np.bincount(X.indices, minlength=n_terms)
        starts = np.concatenate([[0], np.cumsum(df)])
        documents, frequencies = np.empty(X.nnz, np.int32), np.empty(X.nnz, np.int32)
        kernels.invert(X.indices, X.data, X.indptr[1:], starts, documents, frequencies)
        lengths = np.asarray(X.sum(axis=1), np.float64).ravel()
        weights = np.empty(X.nnz, self.dtype)
        with np.errstate(divide="ignore"):  # stop words and terms of no document: idf is not used
            idf = _idf(self.variant, n, df)
        form = (FORMS[self.variant], self.k1, self.b, self.delta)
        kernels.weigh_postings(starts, documents, frequencies, lengths, lengths.mean(), idf, *form, weights)
        return _Index(starts, documents, weights)


class _Index(NamedTuple):
    starts: NDArray[np.int64]  # (terms + 1,)
    documents: NDArray[np.int32]  # (postings,)
    weights: NDArray[np.floating]  # (postings,)


def _idf(variant: Variant, n: int, df: NDArray[np.int64]) -> NDArray[np.float64]:
    rare = (n - df + 0.5) / (df + 0.5)
    if variant == "lucene":
        return np.log1p(rare)
    if variant == "robertson":
        return np.log(np.maximum(rare, 1.0))
    if variant == "atire":
        return np.log(n / df)
    return np.log((n + 1) / (df + 0.5)) if variant == "bm25l" else np.log((n + 1) / df)
