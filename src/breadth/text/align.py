"""Which original characters each character of a normalised text stands for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Source = NDArray[np.int64]
"""For each new character, the index of the old character whose place it takes; -1 for one before all of them."""


@dataclass(slots=True)
class Piece:
    """A stretch of normalised text, and the original characters that it stands for.

    Attributes:
        text: the normalised characters.
        spans: begin and end in the original text of each character, shape (characters, 2); None when nobody asks.
        start: where in the original text the piece begins; without spans, exact only at 0.
    """

    text: str
    spans: NDArray[np.int64] | None = None
    start: int = 0

    @classmethod
    def original(cls, text: str, start: int = 0) -> Self:
        """A piece of text that nothing has changed yet, beginning at character `start` of the whole."""
        begins = np.arange(start, start + len(text))
        return cls(text, np.stack((begins, begins + 1), axis=1), start)

    @property
    def followed(self) -> NDArray[np.int64]:
        """The spans of a piece that was made with them."""
        if self.spans is None:
            raise ValueError("nobody followed where the characters of this piece come from; use Piece.original")
        return self.spans

    def cut(self, begin: int, end: int) -> Piece:
        """The characters [begin, end)."""
        if self.spans is None:
            return Piece(self.text[begin:end], None, self.start + begin)
        start = int(self.spans[begin, 0]) if begin < end else self.start + begin
        return Piece(self.text[begin:end], self.spans[begin:end], start)

    def rewritten(self, text: str, source: Source | None) -> Piece:
        """The piece with other characters; `source` says whose place each of them takes, None that none has moved."""
        if self.spans is None or source is None:
            return Piece(text, self.spans, self.start)
        if not len(self.spans):
            return Piece(text, np.full((len(text), 2), self.start), self.start)
        spans = self.spans[source]
        spans[source < 0] = self.start
        return Piece(text, spans, self.start)


def expanded(counts: Sequence[int] | NDArray[np.int64]) -> Source:
    """Source when character i became `counts[i]` characters."""
    return np.repeat(np.arange(len(counts)), counts)


def prepended(n_new: int, n_old: int) -> Source:
    """Source when `n_new` characters were put before the first of `n_old`: they share its place."""
    return np.concatenate((np.zeros(n_new, dtype=np.int64), np.arange(n_old)))


def replaced(text: str, spans: Iterable[tuple[int, int]], content: str) -> tuple[str, Source]:
    """Put `content` for each span of a text; its characters take the place of the last one that they replace."""
    parts: list[str] = []
    sources: list[Source] = [np.empty(0, dtype=np.int64)]
    done = 0
    for begin, end in spans:
        parts += text[done:begin], content
        sources += np.arange(done, begin), np.full(len(content), end - 1)
        done = end
    parts.append(text[done:])
    sources.append(np.arange(done, len(text)))
    return "".join(parts), np.concatenate(sources)


def from_changes(changes: Iterable[int]) -> Source:
    """Source from a list of edits, one for each new character.

    An edit is 1 if the character is new and shares the place of the one before it, 0 if it replaces the next old
    character, and -n if it replaces that one and n more after it.
    """
    source = []
    at = 0
    for change in changes:
        if change > 0:
            source.append(at - 1)
        else:
            source.append(at)
            at += 1 - change
    return np.array(source, dtype=np.int64)
