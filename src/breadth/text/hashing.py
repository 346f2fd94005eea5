"""Terms hashed into a fixed number of columns: no vocabulary to learn, to hold or to ship."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import DTypeLike
from sklearn.base import BaseEstimator

from breadth.text.analysis import WORDS, Analyzer
from breadth.text.terms import TermTable
from breadth.text.tfidf import ANALYSIS, NORMS, Accents, Kind, Stops
from breadth.text.weight_kernels import murmur3, weigh


class HashingVectorizer(BaseEstimator):
    """Counts of terms in the columns that their hashes name: x_dj = sum of s(t) tf(d, t) over terms t with h(t) = j.

    h(t) = |m(t)| mod n_features and s(t) = sign of m(t), with m the signed 32-bit MurmurHash3 of the term's UTF-8. The
    signs let terms that collide cancel on average, so that products of rows keep their expectation.

    Args:
        strip_accents, lowercase, preprocessor, tokenizer, stop_words, token_pattern, ngram_range, analyzer: as in
            CountVectorizer; terms are strings.
        n_features: columns, in [1, 2^31).
        binary: 1 in place of whatever a column sums to, before the norm.
        norm: "l2", "l1", or None to leave rows as they are.
        alternate_sign: count with signs; False adds them all.
        dtype: np.float64 or np.float32.

    Raises:
        ValueError: if n_features, norm or dtype is out of range, or there is no document.
        TypeError: if a document or a term is no string.

    Cost: as CountVectorizer; the distinct terms of one call are held while it runs, and hashed once each.
    Deviations: as CountVectorizer's.
    References: Weinberger et al. 2009, ICML, eq. 2; MurmurHash3_x86_32 (A. Appleby), seed 0.
    Peer: sklearn.feature_extraction.text.HashingVectorizer, exact before the norm, 1e-12 after (A).
    In production: use it for streams and for vocabularies that outgrow memory; with TfidfVectorizer a column can be
        read back as its term, here it cannot.
    """

    def __init__(
        self,
        *,
        strip_accents: Accents = None,
        lowercase: bool = True,
        preprocessor: Callable[[Any], str] | None = None,
        tokenizer: Callable[[str], Iterable[str]] | None = None,
        stop_words: Stops = None,
        token_pattern: str = WORDS,
        ngram_range: tuple[int, int] = (1, 1),
        analyzer: Kind = "word",
        n_features: int = 2**20,
        binary: bool = False,
        norm: Literal["l1", "l2"] | None = "l2",
        alternate_sign: bool = True,
        dtype: DTypeLike = np.float64,
    ):
        self.strip_accents = strip_accents
        self.lowercase = lowercase
        self.preprocessor = preprocessor
        self.tokenizer = tokenizer
        self.stop_words = stop_words
        self.token_pattern = token_pattern
        self.ngram_range = ngram_range
        self.analyzer = analyzer
        self.n_features = n_features
        self.binary = binary
        self.norm = norm
        self.alternate_sign = alternate_sign
        self.dtype = dtype

    def fit(self, X: object = None, y: object = None) -> Self:
        """Check the parameters; there is nothing to learn.

        Args:
            X: ignored.
            y: ignored.
        """
        self._analysis()
        return self

    def partial_fit(self, X: object = None, y: object = None) -> Self:
        """As `fit`."""
        return self.fit()

    def fit_transform(self, X: Iterable[Any], y: object = None) -> sp.csr_matrix:
        """As `transform`."""
        return self.transform(X)

    def transform(self, X: Iterable[Any]) -> sp.csr_matrix:
        """Hash the terms of documents.

        Args:
            X: strings; a generator will do.

        Returns:
            Shape (documents, n_features); a column in which terms cancelled is stored as 0.
        """
        table = TermTable(self._analysis())
        found = table.count(X)
        if len(found.indptr) == 1:
            raise ValueError("X must hold at least one document, got none")
        n_terms = int(found.terms.max()) + 1 if found.terms.size else 0
        hashed = np.empty(n_terms, np.int32)
        murmur3(*table.spelled(np.arange(n_terms)), hashed)
        columns = (np.abs(hashed.astype(np.int64)) % self.n_features).astype(np.int32)
        counts = found.counts.astype(self.dtype)
        if self.alternate_sign:
            counts *= np.where(hashed < 0, -1, 1).astype(np.int8)[found.terms]
        wide = found.indptr[-1] > np.iinfo(np.int32).max
        index = np.int64 if wide else np.int32
        rows = (counts, columns[found.terms].astype(index, copy=False), found.indptr.astype(index))
        hashes = sp.csr_matrix(rows, shape=(len(found.indptr) - 1, self.n_features))
        hashes.sum_duplicates()
        if self.binary:
            hashes.data.fill(1)
        weigh(hashes.data, hashes.indices, hashes.indptr, np.empty(0), False, NORMS[self.norm])
        return hashes

    def build_analyzer(self) -> Callable[[Any], list[Any]]:
        """The function from a document to the list of its terms, in plain Python."""
        return self._analysis()

    def _analysis(self) -> Analyzer:
        if not 1 <= self.n_features < 2**31:
            raise ValueError(f"n_features must be in [1, 2^31), got {self.n_features}")
        if self.norm not in NORMS:
            raise ValueError(f"norm must be 'l1', 'l2' or None, got {self.norm!r}")
        if np.dtype(self.dtype) not in (np.float32, np.float64):
            raise ValueError(f"dtype must be np.float64 or np.float32, got {self.dtype!r}")
        return Analyzer(ngram_range=self.ngram_range, **{name: getattr(self, name) for name in ANALYSIS})

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array, tags.requires_fit = True, False, False
        return tags
