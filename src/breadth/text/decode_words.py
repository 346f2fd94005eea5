"""Decoders of tokens that mark where words begin, go on or end: WordPiece, Metaspace, and BPE with a suffix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from breadth.text.decode import Step


class _FirstToken:
    """A decoder that treats the first token in another way."""

    def __init__(self, first: Callable[[str], str], rest: Callable[[str], str]) -> None:
        self._change, self._rest, self.fused = first, rest, False
        self.settled = False

    def plain(self, token: str) -> str:
        return self._rest(token)

    def push(self, token: str) -> list[str]:
        text = self._change(token)
        self._change, self.settled = self._rest, True
        return [text]

    def end(self) -> list[str]:
        return []


_CLEANUP = (
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
    (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
)  # fmt: skip


@dataclass(frozen=True)
class WordPiece:
    """Words with spaces between them; a token with the prefix continues the one before it.

    Args:
        prefix: what a continuing token begins with.
        cleanup: also take out the spaces before punctuation and English contractions, token by token.

    References: Wu et al. 2016, section 4.1; Devlin et al. 2019.
    Peer: tokenizers.decoders.WordPiece, exact (A).
    """

    prefix: str = "##"
    cleanup: bool = True

    def begin(self, *, fused: bool = False) -> Step:
        """A fresh state."""
        return _FirstToken(self._cleaned, self._continued)

    def _continued(self, token: str) -> str:
        return self._cleaned(token[len(self.prefix) :] if token.startswith(self.prefix) else f" {token}")

    def _cleaned(self, token: str) -> str:
        for dirty, clean in _CLEANUP if self.cleanup else ():
            token = token.replace(dirty, clean)
        return token


@dataclass(frozen=True)
class Metaspace:
    """SentencePiece's marks back to spaces; those of the first token go, as the tokenizer had put one there.

    Args:
        replacement: the mark.
        prepend_scheme: `never` if the tokenizer puts no mark before the text: then the first token keeps its own.
        split_words: kept for the file.

    References: Kudo & Richardson 2018, section 3.3.
    Peer: tokenizers.decoders.Metaspace, exact (A).
    """

    replacement: str = "▁"
    prepend_scheme: str = "always"
    split_words: bool = True

    def begin(self, *, fused: bool = False) -> Step:
        """A fresh state."""
        first = " " if self.prepend_scheme == "never" else ""
        return _FirstToken(
            lambda token: token.replace(self.replacement, first), lambda token: token.replace(self.replacement, " ")
        )


@dataclass(frozen=True)
class BPEDecoder:
    """A mark at the ends of words to spaces between them.

    Args:
        suffix: the mark.

    References: Sennrich et al. 2016, section 3.2.
    Peer: tokenizers.decoders.BPEDecoder, exact (A).
    """

    suffix: str = "</w>"

    def begin(self, *, fused: bool = False) -> Step:
        """A fresh state."""
        return _WordEnds(self.suffix)


class _WordEnds:
    """Holds each token back until another follows: only then does its mark become a space."""

    def __init__(self, suffix: str) -> None:
        self._suffix, self.fused = suffix, False
        self._held: str | None = None
        self.settled = False

    def plain(self, token: str) -> None:
        return None

    def push(self, token: str) -> list[str]:
        held, self._held = self._held, token
        return [] if held is None else [held.replace(self._suffix, " ")]

    def end(self) -> list[str]:
        return [] if self._held is None else [self._held.replace(self._suffix, "")]
