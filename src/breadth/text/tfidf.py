"""Counts of terms and tf-idf weights, as scikit-learn computes them and several times as fast."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from numbers import Integral
from typing import Any, Literal, Self, cast

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, DTypeLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_array

from breadth.text.analysis import WORDS, Analyzer
from breadth.text.arguments import check_integer, check_iterable
from breadth.text.terms import Counts, TermTable
from breadth.text.weight_kernels import L1, L2, NO_NORM, weigh

ANALYSIS = ("analyzer", "lowercase", "strip_accents", "preprocessor", "tokenizer", "token_pattern", "stop_words")
NORMS = {None: NO_NORM, "l1": L1, "l2": L2}

Kind = Literal["word", "char", "char_wb"] | Callable[[Any], Iterable[Any]]
Accents = Literal["ascii", "unicode"] | Callable[[str], str] | None
Stops = Literal["english"] | Iterable[str] | None


class CountVectorizer(BaseEstimator):
    """How often each document holds each term of a vocabulary.

    Args:
        strip_accents: "ascii", "unicode", a function, or None to keep accents.
        lowercase: turn documents to lower case first.
        preprocessor: function from a document to its text, in place of the two above.
        tokenizer: function from a text to its tokens, in place of token_pattern.
        stop_words: tokens to drop before n-grams are formed; "english" takes scikit-learn's list.
        token_pattern: regular expression of a token, or of the one group in it.
        ngram_range: smallest and largest n of the n-grams.
        analyzer: "word", "char", "char_wb" (characters inside words, a space on either side), or a function from a
            document to its terms, which may be anything hashable.
        max_df: drop terms that more documents hold: a count, or a share in [0, 1] if a float.
        min_df: drop terms that fewer documents hold: a count, or a share in [0, 1] if a float.
        max_features: keep the terms that occur most often in all, so many at most; None keeps all.
        vocabulary: terms, or a mapping from terms to columns 0..n-1, to count instead of learning them.
        binary: 1 where a term occurs at all.
        dtype: of the matrix.

    Attributes:
        vocabulary_: term -> column, columns in the order of the sorted terms.
        fixed_vocabulary_: whether the vocabulary was given.

    Raises:
        ValueError: if a choice is unknown, a limit out of range, the vocabulary empty, repeated or with gaps, or no
            term is left.
        TypeError: if a document is no string; the message names the first such.

    Cost: one pass over the text, then a sort of each row; a table of the distinct terms, about 60 bytes each, and
        16 bytes an entry. Patterns other than runs of `\\w` and functions run in Python and take as long as they take.
    Deviations:
        1. Documents are strings: no files, no decoding of bytes; None, NaN and bytes are errors that name the document,
           unless a preprocessor or an analyzer of one's own takes them.
        2. Options without effect beside others (token_pattern beside tokenizer) give no warning.
    References: Salton & Buckley 1988, Information Processing & Management 24(5), term frequency.
    Peer: sklearn.feature_extraction.text.CountVectorizer, exact (A).
    In production: use it before naive Bayes or topic models; for linear models and search take TfidfVectorizer.
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
        max_df: float | int = 1.0,
        min_df: float | int = 1,
        max_features: int | None = None,
        vocabulary: Mapping[Any, int] | Iterable[Any] | None = None,
        binary: bool = False,
        dtype: DTypeLike = np.int64,
    ):
        self.strip_accents = strip_accents
        self.lowercase = lowercase
        self.preprocessor = preprocessor
        self.tokenizer = tokenizer
        self.stop_words = stop_words
        self.token_pattern = token_pattern
        self.ngram_range = ngram_range
        self.analyzer = analyzer
        self.max_df = max_df
        self.min_df = min_df
        self.max_features = max_features
        self.vocabulary = vocabulary
        self.binary = binary
        self.dtype = dtype

    def fit(self, raw_documents: Iterable[Any], y: object = None) -> Self:
        """Learn the vocabulary.

        Args:
            raw_documents: strings; a generator will do.
            y: ignored.
        """
        self.fit_transform(raw_documents)
        return self

    def fit_transform(self, raw_documents: Iterable[Any], y: object = None) -> sp.csr_matrix:
        """Learn the vocabulary and count its terms; shape (documents, terms), each row in the order of columns."""
        for name in ("max_df", "min_df"):
            value = getattr(self, name)
            if not hasattr(value, "__float__") or value < 0 or (not isinstance(value, Integral) and value > 1):
                raise ValueError(f"{name} must be an integer >= 0 or a share in [0, 1], got {value}")
        if self.max_features is not None:
            check_integer("max_features", self.max_features, 1)
        if self.vocabulary is not None:
            self._adopt(self.vocabulary)
            return self.transform(raw_documents)
        table = TermTable(self._analysis())
        found = table.count(raw_documents)
        numbers = np.flatnonzero(np.bincount(found.terms))
        if not numbers.size:
            raise ValueError("empty vocabulary: the documents hold no term, or stop words only")
        strings = table.strings(numbers)
        order = sorted(range(len(strings)), key=strings.__getitem__)
        column = np.empty(numbers[-1] + 1, np.int32)
        column[numbers[order]] = np.arange(len(order))
        X = self._matrix(found._replace(terms=column[found.terms]), len(order))
        kept = self._kept(X)
        self.vocabulary_ = {strings[order[j]]: i for i, j in enumerate(kept.tolist())}
        self.fixed_vocabulary_ = False
        self._lookup = None
        if 2 * len(kept) >= len(order):  # else the next transform makes a smaller table
            table.freeze(self.vocabulary_, numbers[order][kept])
            self._lookup = table
        return X if len(kept) == len(order) else X[:, kept]

    def transform(self, raw_documents: Iterable[Any]) -> sp.csr_matrix:
        """Count the vocabulary's terms; shape (documents, terms). Other terms are left out."""
        if not hasattr(self, "vocabulary_"):
            if self.vocabulary is None:
                raise NotFittedError("this CountVectorizer has no vocabulary yet; call fit, or give one to it")
            self._adopt(self.vocabulary)
        if self._lookup is None or self._lookup.analyzer != self._analysis():
            self._lookup = TermTable(self._analysis(), self.vocabulary_)
        return self._matrix(self._lookup.count(raw_documents), len(self.vocabulary_))

    def inverse_transform(self, X: ArrayLike | sp.spmatrix) -> list[NDArray]:
        """The terms with a non-zero entry in each row.

        Args:
            X: counts or weights, shape (documents, terms).

        Returns:
            An array of terms for each document, in the order of columns.
        """
        terms = np.array(list(self.get_feature_names_out()))
        rows = sp.csr_matrix(check_array(X, accept_sparse="csr"), copy=True)
        if rows.shape[1] != len(terms):
            raise ValueError(f"X must have a column for each of the {len(terms)} terms, got {rows.shape[1]}")
        rows.eliminate_zeros()
        rows.sort_indices()
        return [terms[rows.indices[a:b]] for a, b in zip(rows.indptr, rows.indptr[1:], strict=False)]

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """The terms in the order of columns, shape (terms,).

        Args:
            input_features: ignored.
        """
        if not hasattr(self, "vocabulary_"):
            raise NotFittedError("this CountVectorizer has no vocabulary yet; call fit first")
        names = np.empty(len(self.vocabulary_), object)
        for term, column in self.vocabulary_.items():
            names[column] = term
        return names

    def build_analyzer(self) -> Callable[[Any], list[Any]]:
        """The function from a document to the list of its terms, in plain Python."""
        return self._analysis()

    def _analysis(self) -> Analyzer:
        return Analyzer(ngram_range=self.ngram_range, **{name: getattr(self, name) for name in ANALYSIS})

    def _adopt(self, vocabulary: Mapping[Any, int] | Iterable[Any]) -> None:
        if isinstance(vocabulary, Mapping):
            terms = dict(vocabulary)
            if sorted(terms.values()) != list(range(len(terms))):
                raise ValueError(
                    f"vocabulary must map its {len(terms)} terms to the columns 0..{len(terms) - 1}, each once"
                )
        else:
            check_iterable("vocabulary", vocabulary, "a list of terms or a mapping from terms to columns")
            listed = sorted(vocabulary) if isinstance(vocabulary, set | frozenset) else list(vocabulary)
            terms = {term: column for column, term in enumerate(listed)}
            if len(terms) < len(listed):
                twice = next(term for column, term in enumerate(listed) if terms[term] != column)
                raise ValueError(f"vocabulary must hold each term once, but {twice!r} comes again")
        if not terms:
            raise ValueError("vocabulary must hold at least one term, got none")
        self.vocabulary_, self.fixed_vocabulary_, self._lookup = terms, True, None

    def _matrix(self, found: Counts, n_terms: int) -> sp.csr_matrix:
        index = np.int64 if max(len(found.terms), n_terms) > np.iinfo(np.int32).max else np.int32
        data = np.ones(len(found.counts), self.dtype) if self.binary else found.counts.astype(self.dtype, copy=False)
        shape = (len(found.indptr) - 1, n_terms)
        X = sp.csr_matrix((data, found.terms.astype(index, copy=False), found.indptr.astype(index)), shape=shape)
        X.sort_indices()
        return X

    def _kept(self, X: sp.csr_matrix) -> NDArray[np.int64]:
        """Columns that the limits on documents and terms keep, ascending."""
        n = X.shape[0]
        most, fewest = (v if isinstance(v, Integral) else v * n for v in (self.max_df, self.min_df))
        if most < fewest:
            raise ValueError(f"max_df must allow as many documents as min_df asks for, got {most} < {fewest}")
        documents = np.bincount(X.indices, minlength=X.shape[1])
        kept = np.flatnonzero((documents <= most) & (documents >= fewest))
        if self.max_features is not None and kept.size > self.max_features:
            total = np.asarray(X.sum(axis=0)).ravel()[kept]
            kept = np.sort(kept[np.argsort(-total)[: self.max_features]])
        if not kept.size:
            raise ValueError("after pruning, no terms remain; lower min_df or raise max_df")
        return kept

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(cast(Mapping[str, Any], super().__getstate__()))
        return state | ({"_lookup": None} if "_lookup" in state else {})  # large, and soon made again

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        return tags


class TfidfVectorizer(BaseEstimator):
    """Documents as rows of tf-idf weights: w_dt = tf(d, t) idf(t), each row to length 1.

    tf is the count, or 1 + ln count (sublinear); idf(t) = ln((1 + n) / (1 + df(t))) + 1, without the two ones under the
    logarithm if not smooth. n documents, df(t) of them with term t.

    Args:
        strip_accents, lowercase, preprocessor, tokenizer, stop_words, token_pattern, ngram_range, analyzer, max_df,
            min_df, max_features, vocabulary, binary: as in CountVectorizer.
        dtype: np.float64 or np.float32, of the matrix; the weights of either are computed in float64.
        norm: "l2", "l1", or None to leave rows as they are.
        use_idf: multiply by idf.
        smooth_idf: count one document more that holds every term, so that no df is 0.
        sublinear_tf: take 1 + ln count.

    Attributes:
        vocabulary_: term -> column, columns in the order of the sorted terms.
        idf_: shape (terms,); absent without use_idf.
        fixed_vocabulary_: whether the vocabulary was given.

    Raises:
        ValueError: as CountVectorizer; also if norm or dtype is none of these, or smooth_idf is off while a term of a
            given vocabulary occurs in no document.

    Cost: CountVectorizer's, and one pass over the entries.
    Deviations: CountVectorizer's; and an idf of ln(n / 0) is an error, where scikit-learn puts infinity.
    References: Spärck Jones 1972, Journal of Documentation 28(1); Manning, Raghavan & Schütze 2008, section 6.2.2 and
        eq. 6.13 (sublinear tf); scikit-learn's constants.
    Peer: sklearn.feature_extraction.text.TfidfVectorizer, float64, 1e-12 (A).
    In production: use it with a linear model as the baseline that any text classifier must beat, and with min_df=2 or
        more to keep misspellings out; sublinear_tf=True suits long documents.
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
        max_df: float | int = 1.0,
        min_df: float | int = 1,
        max_features: int | None = None,
        vocabulary: Mapping[Any, int] | Iterable[Any] | None = None,
        binary: bool = False,
        dtype: DTypeLike = np.float64,
        norm: Literal["l1", "l2"] | None = "l2",
        use_idf: bool = True,
        smooth_idf: bool = True,
        sublinear_tf: bool = False,
    ):
        self.strip_accents = strip_accents
        self.lowercase = lowercase
        self.preprocessor = preprocessor
        self.tokenizer = tokenizer
        self.stop_words = stop_words
        self.token_pattern = token_pattern
        self.ngram_range = ngram_range
        self.analyzer = analyzer
        self.max_df = max_df
        self.min_df = min_df
        self.max_features = max_features
        self.vocabulary = vocabulary
        self.binary = binary
        self.dtype = dtype
        self.norm = norm
        self.use_idf = use_idf
        self.smooth_idf = smooth_idf
        self.sublinear_tf = sublinear_tf

    def fit(self, raw_documents: Iterable[Any], y: object = None) -> Self:
        """Learn the vocabulary and idf.

        Args:
            raw_documents: strings; a generator will do.
            y: ignored.
        """
        self._learn(raw_documents)
        return self

    def fit_transform(self, raw_documents: Iterable[Any], y: object = None) -> sp.csr_matrix:
        """Learn vocabulary and idf, and weigh the same documents; shape (documents, terms)."""
        return self._weigh(self._learn(raw_documents))

    def transform(self, raw_documents: Iterable[Any]) -> sp.csr_matrix:
        """Weights of documents by the vocabulary and idf that were learned; shape (documents, terms)."""
        return self._weigh(self._fitted().transform(raw_documents))

    def inverse_transform(self, X: ArrayLike | sp.spmatrix) -> list[NDArray]:
        """The terms with a non-zero weight in each row.

        Args:
            X: weights, shape (documents, terms).
        """
        return self._fitted().inverse_transform(X)

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """The terms in the order of columns, shape (terms,).

        Args:
            input_features: ignored.
        """
        return self._fitted().get_feature_names_out()

    def build_analyzer(self) -> Callable[[Any], list[Any]]:
        """The function from a document to the list of its terms, in plain Python."""
        return self._counter().build_analyzer()

    @property
    def vocabulary_(self) -> dict[Any, int]:
        return self._fitted().vocabulary_

    @property
    def fixed_vocabulary_(self) -> bool:
        return self._fitted().fixed_vocabulary_

    def _counter(self) -> CountVectorizer:
        names = CountVectorizer().get_params(deep=False).keys() - {"dtype"}
        return CountVectorizer(**{name: getattr(self, name) for name in names})

    def _fitted(self) -> CountVectorizer:
        if not hasattr(self, "counter_"):
            raise NotFittedError("this TfidfVectorizer is not fitted yet; call fit first")
        return self.counter_

    def _learn(self, raw_documents: Iterable[Any]) -> sp.csr_matrix:
        if self.norm not in NORMS:
            raise ValueError(f"norm must be 'l1', 'l2' or None, got {self.norm!r}")
        if np.dtype(self.dtype) not in (np.float32, np.float64):
            raise ValueError(f"dtype must be np.float64 or np.float32, got {self.dtype!r}")
        counter = self._counter()
        X = counter.fit_transform(raw_documents)
        if self.use_idf:
            n, documents = X.shape[0], np.bincount(X.indices, minlength=X.shape[1])
            one = int(self.smooth_idf)
            if not one and not documents.all():
                lost = counter.get_feature_names_out()[documents == 0][0]
                raise ValueError(
                    f"no document holds the term {lost!r}, so that its idf is infinite; use smooth_idf=True"
                )
            self.idf_ = np.log((n + one) / (documents + one)) + 1.0
        elif hasattr(self, "idf_"):
            del self.idf_
        self.counter_ = counter
        return X

    def _weigh(self, X: sp.csr_matrix) -> sp.csr_matrix:
        X = sp.csr_matrix((X.data.astype(self.dtype), X.indices, X.indptr), shape=X.shape)
        idf = self.idf_ if self.use_idf else np.empty(0)
        weigh(X.data, X.indices, X.indptr, idf, bool(self.sublinear_tf), NORMS[self.norm])
        return X

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        return tags
