"""Normalizers: what a tokenizer does to a text before it splits it, and where each character of the result comes from.

Each is a function from text to text, with `align(text)` for the same text and the old index of each new character.
Names and fields are those of the `normalizer` object of a `tokenizer.json`.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Literal, Protocol, get_args, runtime_checkable

import numpy as np

from breadth.text.align import Source, expanded, from_changes, prepended, replaced
from breadth.text.byte_alphabet import bytes_to_printable, utf8_bytes
from breadth.text.matching import Pattern, compiled, find_spans, n_leading_white, n_trailing_white, substituted

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]


@runtime_checkable
class Normalizer(Protocol):
    """Text in, text out, and where each character of it comes from."""

    def __call__(self, text: str) -> str:
        """The normalised text."""
        ...

    def align(self, text: str) -> tuple[str, Source]:
        """The normalised text, and for each of its characters the index of the old one whose place it takes."""
        ...


@dataclass(frozen=True)
class UnicodeForm:
    """One of Unicode's normalisation forms.

    Args:
        form: NFC composes, NFD decomposes; NFKC and NFKD also replace compatibility characters (ﬁ becomes fi).

    Raises:
        ValueError: if the form is none of the four.

    Deviations: the tables are those of Python's `unicodedata`; Hugging Face's are of Unicode 12 to 13, and 73 code
        points that came later have another NFKC or NFKD.
    References: Unicode Standard Annex 15.
    Peer: tokenizers.normalizers.NFC, NFD, NFKC, NFKD, text and offsets, exact (A).
    """

    form: Form

    def __post_init__(self) -> None:
        if self.form not in get_args(Form):
            raise ValueError(f"form must be one of {', '.join(get_args(Form))}, got {self.form!r}")

    def __call__(self, text: str) -> str:
        return unicodedata.normalize(self.form, text)

    def align(self, text: str) -> tuple[str, Source]:
        """The normalised text, and the old index of each of its characters."""
        if unicodedata.is_normalized(self.form, text):
            return text, np.arange(len(text))
        parts, sources = [], []
        # a character of ASCII composes with none before it and is passed by none: each begins a stretch of its own
        for match in compiled(r"[\x00-\x7F]?[^\x00-\x7F]*").finditer(text):
            stretch = match.group()
            normalised = self(stretch)
            source = np.arange(len(stretch)) if normalised == stretch else from_changes(self._changes(stretch))
            parts.append(normalised)
            sources.append(source + match.start())
        return "".join(parts), np.concatenate(sources)

    def _changes(self, text: str) -> list[int]:
        """The edits that lead to the normalised text: decompose, order the marks, compose."""
        decompose = "NFKD" if "K" in self.form else "NFD"
        chars: list[tuple[str, int]] = []
        pending: list[tuple[int, str, int]] = []  # marks, to be ordered by combining class
        for old in text:
            for i, char in enumerate(unicodedata.normalize(decompose, old)):
                order = unicodedata.combining(char)
                if order == 0:
                    chars += [(char, change) for _, char, change in sorted(pending, key=lambda mark: mark[0])]
                    pending = []
                    chars.append((char, min(i, 1)))
                else:
                    pending.append((order, char, min(i, 1)))
        chars += [(char, change) for _, char, change in sorted(pending, key=lambda mark: mark[0])]
        return [change for _, change in (_composed(chars) if self.form.endswith("C") else chars)]


def _composed(chars: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Unicode's composition of decomposed characters, with the edits added up."""
    done: list[tuple[str, int]] = []
    starter = -1  # index in `done` of the character that the next one may join
    last_order = 0
    for char, change in chars:
        order = unicodedata.combining(char)
        if starter >= 0 and (last_order < order or len(done) - 1 == starter):
            joined = unicodedata.normalize("NFC", done[starter][0] + char)
            if len(joined) == 1:
                done[starter] = joined, done[starter][1] + change - 1
                continue
        done.append((char, change))
        if order == 0:
            starter = len(done) - 1
        last_order = order
    return done


@dataclass(frozen=True)
class Lowercase:
    """Every character in lower case by itself: a final sigma is σ, as no context is looked at.

    References: Unicode Standard, section 3.13 (toLowercase without its contexts).
    Peer: tokenizers.normalizers.Lowercase, exact on code points that both know (A).
    """

    def __call__(self, text: str) -> str:
        return text.replace("Σ", "σ").lower()

    def align(self, text: str) -> tuple[str, Source]:
        """The text in lower case, and the old index of each of its characters."""
        lowered = self(text)
        if len(lowered) == len(text):
            return lowered, np.arange(len(text))
        return lowered, expanded([len(char.lower()) for char in text])


@dataclass(frozen=True)
class StripAccents:
    """Drop every combining mark; a decomposition (NFD) should have come before.

    Deviations: marks are those of the installed `regex`, newer than Hugging Face's.
    References: Unicode Standard Annex 44 (General_Category M).
    Peer: tokenizers.normalizers.StripAccents, exact on code points that both know (A).
    """

    def __call__(self, text: str) -> str:
        return text if text.isascii() else compiled(r"\p{M}+").sub("", text)

    def align(self, text: str) -> tuple[str, Source]:
        """The text without marks, and the old index of each of its characters."""
        return without(r"\p{M}", text)


@dataclass(frozen=True)
class Strip:
    """Drop white space at the ends.

    Args:
        strip_left: at the beginning.
        strip_right: at the end.

    Peer: tokenizers.normalizers.Strip, exact (A).
    """

    strip_left: bool = True
    strip_right: bool = True

    def __call__(self, text: str) -> str:
        begin, end = self._bounds(text)
        return text[begin:end]

    def align(self, text: str) -> tuple[str, Source]:
        """The text without white space at its ends, and the old index of each of its characters."""
        begin, end = self._bounds(text)
        return text[begin:end], np.arange(begin, end)

    def _bounds(self, text: str) -> tuple[int, int]:
        begin = n_leading_white(text) if self.strip_left else 0
        return begin, max(begin, len(text) - n_trailing_white(text)) if self.strip_right else len(text)


@dataclass(frozen=True)
class Replace:
    """Put one text for each match of a pattern.

    Args:
        pattern: a literal string, or `Regex`.
        content: what takes its place, literally.

    Peer: tokenizers.normalizers.Replace, exact (A).
    """

    pattern: Pattern
    content: str

    def __call__(self, text: str) -> str:
        return substituted(self.pattern, text, self.content)

    def align(self, text: str) -> tuple[str, Source]:
        """The text with its matches replaced, and the old index of each of its characters."""
        return replaced(text, find_spans(self.pattern, text), self.content)


@dataclass(frozen=True)
class Prepend:
    """Put a text before any text that is not empty.

    Args:
        prepend: what comes first.

    Peer: tokenizers.normalizers.Prepend, exact (A).
    """

    prepend: str

    def __call__(self, text: str) -> str:
        return self.prepend + text if text else text

    def align(self, text: str) -> tuple[str, Source]:
        """The longer text, and the old index of each of its characters."""
        return self(text), prepended(len(self.prepend) if text else 0, len(text))


@dataclass(frozen=True)
class ByteLevel:
    """Every byte of the text's UTF-8 as one character of GPT-2's printable alphabet.

    References: Radford et al. 2019, section 2.2.
    Peer: tokenizers.normalizers.ByteLevel, exact (A).
    """

    def __call__(self, text: str) -> str:
        return bytes_to_printable(utf8_bytes(text).tobytes())

    def align(self, text: str) -> tuple[str, Source]:
        """The bytes as characters, and the index of the character that each byte is of."""
        data = utf8_bytes(text)
        return bytes_to_printable(data.tobytes()), np.cumsum((data & 0xC0) != 0x80) - 1


_NMT = dict.fromkeys([*range(0x1, 0x9), 0xB, *range(0xE, 0x20), 0x7F, 0x8F, 0x9F])
_NMT |= dict.fromkeys([0x9, 0xA, 0xC, 0xD, 0x1680, *range(0x200B, 0x2010), 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD], " ")


@dataclass(frozen=True)
class Nmt:
    """SentencePiece's cleaning for machine translation: control characters go, other blanks become spaces.

    References: google/sentencepiece, `nmt_nfkc` rules.
    Peer: tokenizers.normalizers.Nmt, every code point, exact (A).
    """

    def __call__(self, text: str) -> str:
        return text.translate(_NMT)

    def align(self, text: str) -> tuple[str, Source]:
        """The cleaned text, and the old index of each of its characters."""
        kept = [i for i, char in enumerate(text) if _NMT.get(ord(char), "") is not None]
        return self(text), np.array(kept, dtype=np.int64)


@dataclass(frozen=True)
class Sequence:
    """Normalizers one after the other.

    Args:
        normalizers: in the order in which they act.

    Peer: tokenizers.normalizers.Sequence, exact (A).
    """

    normalizers: tuple[Normalizer, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "normalizers", tuple(self.normalizers))

    def __call__(self, text: str) -> str:
        for normalizer in self.normalizers:
            text = normalizer(text)
        return text

    def align(self, text: str) -> tuple[str, Source]:
        """The normalised text, and the index in the original of each of its characters."""
        source = np.arange(len(text))
        for normalizer in self.normalizers:
            text, step = normalizer.align(text)
            source = np.where(step < 0, -1, source[step]) if len(source) else np.full(len(text), -1)
        return text, source


def without(char_class: str, text: str) -> tuple[str, Source]:
    """A text without the characters of a class, and the old index of those that stay."""
    dropped = [match.start() for match in compiled(char_class).finditer(text)]
    kept = np.delete(np.arange(len(text)), dropped)
    return compiled(char_class).sub("", text), kept
