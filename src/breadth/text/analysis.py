"""How a document becomes a list of terms: preparation, tokens, stop words and n-grams, in plain Python."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

WORDS = r"(?u)\b\w\w+\b"
_WORD_RUNS = re.compile(r"(?:\(\?u\))?(?:\\b)?((?:\\w)+)\+(?:\\b)?")  # all of them match whole runs of \w


@dataclass(frozen=True)
class Analyzer:
    """How a document becomes a list of terms; calling it gives the list.

    Args:
        analyzer: "word", n-grams of tokens; "char", of characters, runs of white space being one space; "char_wb", of
            characters inside words with a space on either side; or a function from a document to its terms.
        lowercase: turn documents to lower case first.
        strip_accents: "ascii" keeps what NFKD leaves in ASCII, "unicode" drops combining marks after NFKD; or a
            function; None keeps accents.
        preprocessor: function in place of lowercase and strip_accents.
        tokenizer: function from a text to its tokens in place of token_pattern.
        token_pattern: regular expression of a token, of the one group in it if there is one.
        stop_words: tokens to drop before n-grams are formed; "english" takes scikit-learn's list.
        ngram_range: smallest and largest n.

    Raises:
        ValueError: if a choice is not among these, ngram_range is not 1 <= low <= high, or token_pattern has
            two groups.
        TypeError: if stop_words is another string than "english", or a document is no string.
    """

    analyzer: Literal["word", "char", "char_wb"] | Callable[[Any], Iterable[Any]] = "word"
    lowercase: bool = True
    strip_accents: Literal["ascii", "unicode"] | Callable[[str], str] | None = None
    preprocessor: Callable[[Any], str] | None = None
    tokenizer: Callable[[str], Iterable[str]] | None = None
    token_pattern: str = WORDS
    stop_words: Literal["english"] | Iterable[str] | None = None
    ngram_range: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if not callable(self.analyzer) and self.analyzer not in ("word", "char", "char_wb"):
            raise ValueError(f"analyzer must be 'word', 'char', 'char_wb' or a function, got {self.analyzer!r}")
        if not callable(self.strip_accents) and self.strip_accents not in (None, "ascii", "unicode"):
            raise ValueError(
                f"strip_accents must be 'ascii', 'unicode', a function or None, got {self.strip_accents!r}"
            )
        pair = self.ngram_range
        if not isinstance(pair, list | tuple) or [isinstance(n, Integral) for n in pair] != [True, True]:
            raise ValueError(f"ngram_range must be two integers (low, high), got {pair!r}")
        object.__setattr__(self, "ngram_range", tuple(pair))
        low, high = pair
        if not 1 <= low <= high:
            raise ValueError(f"ngram_range must be (low, high) with 1 <= low <= high, got {self.ngram_range}")
        if isinstance(self.stop_words, str) and self.stop_words != "english":
            raise TypeError(f"stop_words must be 'english' or a list of words, got the string {self.stop_words!r}")
        for name in ("preprocessor", "tokenizer"):
            if getattr(self, name) is not None and not callable(getattr(self, name)):
                raise TypeError(f"{name} must be a function or None, got {getattr(self, name)!r}")
        if self.tokenizer is None and _compiled(self.token_pattern).groups > 1:
            raise ValueError(f"token_pattern must have at most one group, got {self.token_pattern!r}")

    @functools.cached_property
    def stops(self) -> frozenset[str]:
        """The stop words, where the analysis has any."""
        if self.stop_words is None or self.analyzer != "word":
            return frozenset()
        if self.stop_words == "english":
            from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

            return ENGLISH_STOP_WORDS
        return frozenset(self.stop_words)

    def prepare(self, document: Any) -> str:
        """A document in the form that tokens are found in."""
        if self.preprocessor is not None:
            return self.preprocessor(document)
        text = document.lower() if self.lowercase else document
        if self.strip_accents is None:
            return text
        if callable(self.strip_accents):
            return self.strip_accents(text)
        return _to_ascii(text) if self.strip_accents == "ascii" else _without_marks(text)

    def __call__(self, document: Any) -> list[Any]:
        if callable(self.analyzer):
            return list(self.analyzer(document))
        text = self.prepare(document)
        low, high = self.ngram_range
        if self.analyzer == "char":
            text = re.sub(r"\s\s+", " ", text)
            return [text[i : i + n] for n in range(low, high + 1) for i in range(len(text) - n + 1)]
        if self.analyzer == "char_wb":
            return [gram for word in text.split() for gram in _padded_grams(word, low, high)]
        tokens = list(self._tokens(text))
        if stops := self.stops:
            tokens = [token for token in tokens if token not in stops]
        if high == 1:
            return tokens
        return [" ".join(tokens[i : i + n]) for n in range(low, high + 1) for i in range(len(tokens) - n + 1)]

    @functools.cached_property
    def _tokens(self) -> Callable[[str], Iterable[str]]:
        return self.tokenizer if self.tokenizer is not None else re.compile(self.token_pattern).findall

    @functools.cached_property
    def least(self) -> int | None:
        """Characters of the shortest word where words are whole runs of them, which a kernel finds; else None."""
        runs = _WORD_RUNS.fullmatch(self.token_pattern) if self.tokenizer is None else None
        return len(runs[1]) // 2 if runs is not None else None

    @property
    def in_kernels(self) -> bool:
        """Whether kernels do the whole analysis after `prepare`."""
        return self.analyzer in ("char", "char_wb") or (self.analyzer == "word" and self.least is not None)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, TypeError) as error:
        raise ValueError(f"token_pattern must be a regular expression, got {pattern!r} ({error})") from None


def _padded_grams(word: str, low: int, high: int) -> list[str]:
    word = f" {word} "
    if len(word) <= low:
        return [word]
    return [word[i : i + n] for n in range(low, min(high, len(word)) + 1) for i in range(len(word) - n + 1)]


def _to_ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")


def _without_marks(text: str) -> str:
    if text.isascii():
        return text
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
