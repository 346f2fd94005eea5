"""When a text ends: stop strings across the borders of tokens, and stops by what a text means."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import ArrayLike


class StopStrings:
    """A text that comes in pieces, up to the first stop string; only what could still become one is held back.

    The stop string that is complete first ends the text, of two that are complete at once the longer. What `push` and
    `end` release is the text before it, whatever the pieces were.

    Args:
        strings: to stop at; none of them empty. None at all releases everything.
        include: release the stop string too.

    Attributes:
        found: the stop string that ended the text, or None.
        held: what has not been released yet.

    Raises:
        ValueError: if a string is empty.

    Cost: O(len(piece) + longest stop string) for a piece and each string.
    References: Knuth, Morris & Pratt 1977, SIAM J. Comput. 6 (what is held is the longest suffix that is a prefix).
    Peer: str.find on the whole text, whatever its pieces, exact (B).
    In production: use it in front of whoever reads a stream: what is sent cannot be taken back.
    """

    def __init__(self, strings: Sequence[str], *, include: bool = False) -> None:
        if "" in strings:
            raise ValueError("stop strings must not be empty")
        self.strings = tuple(strings)
        self.include = include
        self.found: str | None = None
        self.held = ""

    def push(self, piece: str) -> str:
        """Take a piece and release the text that no stop string can begin in any more.

        Args:
            piece: what follows.

        Returns:
            The released text; nothing once a stop string was found.
        """
        if self.found is not None:
            return ""
        text = self.held + piece
        # (where it ends, where it begins, it) of each string's first occurrence
        met = [(text.find(s) + len(s), text.find(s), s) for s in self.strings if s in text]
        if met:
            end, begin, self.found = min(met)
            self.held = ""
            return text[: end if self.include else begin]
        longest = max((len(s) for s in self.strings), default=1) - 1
        for begin in range(max(0, len(text) - longest), len(text)):
            if any(s.startswith(text[begin:]) for s in self.strings):
                self.held = text[begin:]
                return text[:begin]
        self.held = ""
        return text

    def end(self) -> str:
        """What was held back, now that nothing follows."""
        text, self.held = self.held, ""
        return text


class Decoder(Protocol):
    """What makes text of ids: a `breadth.text.Tokenizer`, or any other object with `decode`."""

    def decode(self, ids: Any) -> str: ...


NO_TEXT = "\ufffd"  # in place of half a character, and of an id that is no token's


class TextStream:
    """Text of ids one by one, never half a character.

    With a `breadth.text.Tokenizer` it is a `DecodeStream`. For other tokenizers the ids since the last whole character
    are decoded with those of the stretch before it, and a text that ends in U+FFFD, which half a character decodes to,
    waits for more.

    Embeddings are often padded to a round number of rows, so that a model may choose an id that is no token's. Its text
    is U+FFFD, and the first one is told in a UserWarning; other tokenizers do with it what they do.

    Args:
        tokenizer: with `decode(ids) -> str`.

    Cost: O(1) amortised for an id; for other tokenizers a `decode` of the last few.
    References: Yergeau 2003, RFC 3629, section 3 (which bytes begin and continue a character).
    Peer: decode of all ids, any bytes (B).
    """

    def __init__(self, tokenizer: Decoder) -> None:
        self._tokenizer, self._decode = tokenizer, tokenizer.decode
        self._ids: list[int] = []
        self._before = self._done = 0  # of the ids, those before `before` are settled, those before `done` released
        self._warned = False
        ours = hasattr(tokenizer, "decode_bytes") and hasattr(tokenizer, "tokens_of")
        self._stream = self._begin() if ours else None

    def push(self, i: int) -> str:
        """Take an id and give the text that is certain by then."""
        if self._stream is not None:
            try:
                return self._stream.step(i)
            except ValueError as error:
                return self._without_token(error)
        self._ids.append(i)
        text = self._new()
        if text.endswith(NO_TEXT):
            return ""
        if text:
            self._before, self._done = self._done, len(self._ids)
        return text

    def end(self) -> str:
        """What was held back."""
        return self._stream.end() if self._stream is not None else self._new()

    def _begin(self) -> Any:
        from breadth.text.stream import DecodeStream

        return DecodeStream(cast(Any, self._tokenizer), skip_special_tokens=True)

    def _without_token(self, error: ValueError) -> str:
        if not self._warned:
            warnings.warn(f"the model chose an id without a token, whose text is U+FFFD: {error}", stacklevel=2)
            self._warned = True
        text, self._stream = self.end() + NO_TEXT, self._begin()
        return text

    def _new(self) -> str:
        released = self._decode(self._ids[self._before : self._done])
        return self._decode(self._ids[self._before :])[len(released) :]


# the text and the generated ids so far -> whether to stop
Callback = Callable[[str, Sequence[int]], Any]


class ClassifierStop:
    """Stop when a classifier of the text so far is certain enough: a guard against what must not go on.

    To be given as `callback`. A text that was already streamed cannot be taken back: for safety, release what a check
    has passed.

    Args:
        score: text -> probability, of what is not wanted or of being finished.
        threshold: stop at this probability or above, in (0, 1].
        every: check after each so many tokens, >= 1.
        window: look at the last so many characters only; None means all.

    Attributes:
        probability: of the last check; None before the first.

    Raises:
        ValueError: if an argument is out of its range.

    Cost: a call of the classifier for each check.
    References: Xu et al. 2020, arXiv:2010.07079 (a safety classifier beside a generator).
    Peer: none: what it does is call the classifier (C).
    In production: use it with a moderation model behind `score`.
    """

    def __init__(
        self, score: Callable[[str], float], *, threshold: float = 0.5, every: int = 1, window: int | None = None
    ) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold must be in (0, 1], got {threshold}")
        if every < 1:
            raise ValueError(f"every must be >= 1, got {every}")
        self.score, self.threshold, self.every, self.window = score, threshold, every, window
        self.probability: float | None = None

    def __call__(self, text: str, ids: Sequence[int]) -> bool:
        """Whether to stop."""
        if len(ids) % self.every:
            return False
        self.probability = float(self.score(text if self.window is None else text[-self.window :]))
        return self.probability >= self.threshold


class SimilarityStop:
    """Stop when the text means what one of some examples does: the cosine of embeddings reaches a threshold.

    To be given as `callback`, for example with the answer that was asked for, or with a topic to keep away from.

    Args:
        embed: texts -> vectors, shape (texts, d), none of them 0.
        examples: texts to compare with, at least one.
        threshold: stop at this cosine or above, in [-1, 1].
        every: check after each so many tokens, >= 1.
        window: look at the last so many characters only; None means all.

    Attributes:
        similarity: the largest cosine of the last check; None before the first.

    Raises:
        ValueError: if an argument is out of its range, or there is no example.

    Cost: an embedding for each check.
    References: Reimers & Gurevych 2019, arXiv:1908.10084, section 3 (cosine of sentence embeddings).
    Peer: sklearn.metrics.pairwise.cosine_similarity of the same vectors (A).
    In production: use it with a sentence-embedding model and `every` of a sentence's length.
    """

    def __init__(
        self,
        embed: Callable[[list[str]], ArrayLike],
        examples: Sequence[str],
        *,
        threshold: float = 0.8,
        every: int = 1,
        window: int | None = None,
    ) -> None:
        if not examples:
            raise ValueError("examples must hold at least one text")
        if not -1 <= threshold <= 1:
            raise ValueError(f"threshold must be in [-1, 1], got {threshold}")
        if every < 1:
            raise ValueError(f"every must be >= 1, got {every}")
        self.embed, self.threshold, self.every, self.window = embed, threshold, every, window
        self._examples = _unit(embed(list(examples)))
        self.similarity: float | None = None

    def __call__(self, text: str, ids: Sequence[int]) -> bool:
        """Whether to stop."""
        if len(ids) % self.every:
            return False
        part = text if self.window is None else text[-self.window :]
        self.similarity = float((self._examples @ _unit(self.embed([part]))[0]).max())
        return self.similarity >= self.threshold


def _unit(vectors: ArrayLike) -> np.ndarray:
    found = np.asarray(vectors, dtype=np.float64)
    norm = np.linalg.norm(found, axis=-1, keepdims=True)
    return found / np.where(norm == 0, 1, norm)  # a vector of 0 is like nothing: cosine 0
