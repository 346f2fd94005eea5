"""Decoders: tokens back to text, one token at a time.

Each begins a `Step` whose `push(token)` gives the text that is certain by then, in the parts that the next decoder will
take as its tokens, and whose `end()` gives the rest: decoding a list and decoding a stream are one thing. Names and
fields are those of the `decoder` object of a `tokenizer.json`.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from breadth.text.byte_alphabet import CHAR_TO_BYTE
from breadth.text.matching import Pattern, Regex, substituted


class Step(Protocol):
    """The state of a decoder within one text.

    Attributes:
        fused: whether the parts it gives are stretches of one text rather than tokens.
        settled: whether nothing that came before matters any more: `push(token)` would give `plain(token)`, unless
            that is None, and leave it so.
    """

    fused: bool

    @property
    def settled(self) -> bool: ...

    def plain(self, token: str) -> str | None:
        """What a token reads as where nothing before it matters; None for one that may wait for what comes behind."""
        ...

    def push(self, token: str) -> list[str]:
        """Take a token and give the parts that no later token can change."""
        ...

    def end(self) -> list[str]:
        """Give what was held back."""
        ...


@runtime_checkable
class Decoder(Protocol):
    """Begins the decoding of a text."""

    def begin(self, *, fused: bool = False) -> Step:
        """A fresh state; `fused` if what comes are stretches of one text rather than tokens."""
        ...


def decode_tokens(decoder: Decoder | None, tokens: Iterable[str]) -> str:
    """Text of tokens; without a decoder they are joined by spaces.

    Args:
        decoder: what undoes the pre-tokenizer.
        tokens: as the vocabulary writes them.

    Returns:
        The text.

    Cost: O(tokens), about a microsecond each.
    Peer: tokenizers.decoders, exact (A).
    """
    if decoder is None:
        return " ".join(tokens)
    step = decoder.begin()
    parts = [part for token in tokens for part in step.push(token)]
    return "".join(parts + step.end())


class _EachToken:
    """A decoder that changes each token by itself."""

    def __init__(self, change: Callable[[str], str], *, fused: bool) -> None:
        self._change, self.fused = change, fused
        self.settled = True

    def plain(self, token: str) -> str:
        return self._change(token)

    def push(self, token: str) -> list[str]:
        return [self._change(token)]

    def end(self) -> list[str]:
        return []


class _Whole:
    """A decoder that has to see the whole text."""

    def __init__(self, change: Callable[[str], str]) -> None:
        self._change, self._parts, self.fused = change, list[str](), True
        self.settled = False

    def plain(self, token: str) -> None:
        return None

    def push(self, token: str) -> list[str]:
        self._parts.append(token)
        return []

    def end(self) -> list[str]:
        return [self._change("".join(self._parts))]


@dataclass(frozen=True)
class ByteLevel:
    """Tokens in GPT-2's alphabet of bytes to the text that their bytes are; what is no UTF-8 becomes U+FFFD.

    A token with a character outside the alphabet, which only an added token can have, stands for its own UTF-8.

    Args:
        add_prefix_space: kept for the file.
        trim_offsets: kept for the file.
        use_regex: kept for the file.

    References: Radford et al. 2019, section 2.2.
    Peer: tokenizers.decoders.ByteLevel, exact (A).
    """

    add_prefix_space: bool = True
    trim_offsets: bool = True
    use_regex: bool = True

    def begin(self, *, fused: bool = False) -> Step:
        """A fresh state."""
        return _Bytes()


def token_bytes(token: str) -> bytes:
    """What a token in the alphabet of bytes stands for; its own UTF-8 if a character is not of the alphabet."""
    try:
        return bytes(map(CHAR_TO_BYTE.__getitem__, token))
    except KeyError:
        return token.encode()


class _Bytes:
    def __init__(self) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self.fused = True

    @property
    def settled(self) -> bool:
        return not self._utf8.getstate()[0]  # bytes that do not make a character yet

    def plain(self, token: str) -> str | None:
        try:
            return token_bytes(token).decode()
        except UnicodeDecodeError:
            return None

    def push(self, token: str) -> list[str]:
        return [self._utf8.decode(token_bytes(token))]

    def end(self) -> list[str]:
        return [self._utf8.decode(b"", final=True)]


@dataclass(frozen=True)
class ByteFallback:
    """Runs of tokens `<0x00>` to `<0xFF>` to the text that their bytes are; U+FFFD for each byte of a run that is none.

    References: Kudo & Richardson 2018 (`--byte_fallback` of google/sentencepiece).
    Peer: tokenizers.decoders.ByteFallback, exact (A).
    """

    def begin(self, *, fused: bool = False) -> Step:
        """A fresh state."""
        return _ByteRuns(fused=fused)


def _byte_of(token: str) -> int | None:
    """The byte that a token `<0x00>` to `<0xFF>` stands for."""
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        try:
            return int(token[3:5], 16)
        except ValueError:
            pass  # a token that looks like one
    return None


class _ByteRuns:
    """Holds a run of bytes back until it ends: only then is it known to be text."""

    def __init__(self, *, fused: bool) -> None:
        self._run, self.fused = bytearray(), fused

    @property
    def settled(self) -> bool:
        return not self._run

    def plain(self, token: str) -> str | None:
        return token if _byte_of(token) is None else None

    def push(self, token: str) -> list[str]:
        byte = _byte_of(token)
        if byte is None:
            return [*self.end(), token]
        self._run.append(byte)
        return []

    def end(self) -> list[str]:
        if not self._run:
            return []
        try:
            parts = [self._run.decode("utf-8")]
        except UnicodeDecodeError:
            parts = ["\N{REPLACEMENT CHARACTER}"] * len(self._run)
        self._run.clear()
        return parts


@dataclass(frozen=True)
class Fuse:
    """Tokens to one text, so that the decoders after this one see the whole.

    Peer: tokenizers.decoders.Fuse, exact (A).
    """

    def begin(self, *, fused: bool = False) -> Step:
        """A fresh state."""
        return _EachToken(str, fused=True)


@dataclass(frozen=True)
class Strip:
    """Drop a character at the ends of each token, or of the whole text after `Fuse`.

    Args:
        content: the character.
        start: at most so many at the beginning.
        stop: at most so many at the end.

    Raises:
        ValueError: if content is not one character, or a number is negative.

    Peer: tokenizers.decoders.Strip, exact (A).
    """

    content: str = " "
    start: int = 0
    stop: int = 0

    def __post_init__(self) -> None:
        if len(self.content) != 1 or self.start < 0 or self.stop < 0:
            raise ValueError(
                "content must be one character, start and stop >= 0, "
                f"got {self.content!r}, {self.start} and {self.stop}"
            )

    def begin(self, *, fused: bool = False) -> Step:
        """A fresh state."""
        return _StripEnds(self) if fused else _EachToken(self.stripped, fused=False)

    def stripped(self, token: str) -> str:
        """A token without the character at its ends."""
        leading = min(self.start, len(token) - len(token.lstrip(self.content)))
        trailing = min(self.stop, len(token) - len(token.rstrip(self.content)))
        return token[leading : max(len(token) - trailing, leading)]


class _StripEnds:
    """Strips one text that comes in stretches: what could be its end is held back."""

    def __init__(self, strip: Strip) -> None:
        self._content, self._to_drop, self._stop = strip.content, strip.start, strip.stop
        self._held = ""
        self.fused = True

    @property
    def settled(self) -> bool:
        return not self._to_drop and not self._stop

    def plain(self, token: str) -> str:
        return token

    def push(self, token: str) -> list[str]:
        while self._to_drop and token:
            if token[0] != self._content:
                self._to_drop = 0
            else:
                token, self._to_drop = token[1:], self._to_drop - 1
        text = self._held + token
        trailing = min(self._stop, len(text) - len(text.rstrip(self._content)))
        self._held = text[len(text) - trailing :]
        return [text[: len(text) - trailing]]

    def end(self) -> list[str]:
        return []


@dataclass(frozen=True)
class Replace:
    """Put one text for each match of a pattern, within each token.

    Args:
        pattern: a literal string, or `Regex`.
        content: what takes its place, literally.

    Peer: tokenizers.decoders.Replace, exact (A).
    """

    pattern: Pattern
    content: str

    def begin(self, *, fused: bool = False) -> Step:
        """A fresh state."""
        if fused and (isinstance(self.pattern, Regex) or len(self.pattern) > 1):
            return _Whole(self._replaced)  # a match may go from one stretch into the next
        return _EachToken(self._replaced, fused=fused)

    def _replaced(self, token: str) -> str:
        return substituted(self.pattern, token, self.content)


@dataclass(frozen=True)
class Sequence:
    """Decoders one after the other.

    Args:
        decoders: in the order in which they act.

    Peer: tokenizers.decoders.Sequence, exact (A).
    """

    decoders: tuple[Decoder, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "decoders", tuple(self.decoders))

    def begin(self, *, fused: bool = False) -> Step:
        """A fresh state."""
        steps: list[Step] = []
        for decoder in self.decoders:
            steps.append(decoder.begin(fused=fused))
            fused = steps[-1].fused
        return _Chain(steps, fused=fused)


class _Chain:
    def __init__(self, steps: list[Step], *, fused: bool) -> None:
        self._steps, self.fused = steps, fused

    @property
    def settled(self) -> bool:
        return all(step.settled for step in self._steps)

    def plain(self, token: str) -> str | None:
        text: str | None = token
        for step in self._steps:
            text = None if text is None else step.plain(text)
        return text

    def push(self, token: str) -> list[str]:
        return self._through(0, [token])

    def end(self) -> list[str]:
        parts: list[str] = []
        for i, step in enumerate(self._steps):
            parts += self._through(i + 1, step.end())
        return parts

    def _through(self, first: int, parts: list[str]) -> list[str]:
        for step in self._steps[first:]:
            parts = [part for token in parts for part in step.push(token)]
        return parts
