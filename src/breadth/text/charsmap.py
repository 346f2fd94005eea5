"""Compiled character maps: the normalisation that SentencePiece models carry with them."""

from __future__ import annotations

import base64
import binascii
import functools
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from breadth.text.align import Source
from breadth.text.byte_alphabet import utf8_bytes
from breadth.text.charsmap_kernels import normalise_bytes, plain_bytes
from breadth.text.matching import compiled
from breadth.text.trie import build_trie

_NO_SYMBOLS = np.empty(0, dtype=np.uint32)
_SPACE = np.frombuffer(b" ", dtype=np.uint8)
_ESCAPED = np.frombuffer("▁".encode(), dtype=np.uint8)


def read_charsmap(charsmap: bytes | str) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """Take a compiled character map apart.

    Args:
        charsmap: bytes, or base64 of them as `tokenizer.json` has it; empty for no rules.

    Returns:
        Units of the double array, and the replacements, each ended by a NUL byte.

    Raises:
        ValueError: if it is not base64, is truncated, or its parts do not fit its header.

    References: Yata's darts-clone (the units); google/sentencepiece, `Normalizer::DecodePrecompiledCharsMap`.
    Peer: sentencepiece.SentencePieceProcessor.normalize, through `Precompiled` (A).
    """
    if isinstance(charsmap, str):
        try:
            charsmap = base64.b64decode(charsmap, validate=True)
        except binascii.Error as error:
            raise ValueError(f"charsmap is not base64: {error}") from None
    if not charsmap:
        return np.empty(0, dtype=np.uint32), np.zeros(1, dtype=np.uint8)
    n_bytes = int.from_bytes(charsmap[:4], "little") if len(charsmap) >= 4 else 0
    if n_bytes == 0 or n_bytes % 4 or 4 + n_bytes >= len(charsmap):
        raise ValueError(
            f"charsmap of {len(charsmap)} bytes must begin with the size of its double array, a multiple of 4 that "
            f"leaves room for replacements; got {n_bytes}: the map is truncated or no compiled character map"
        )
    if charsmap[-1] != 0:
        raise ValueError("charsmap must end with a NUL byte, as each of its replacements does; the map is truncated")
    units = np.frombuffer(charsmap, dtype="<u4", count=n_bytes // 4, offset=4).astype(np.uint32)
    return units, np.frombuffer(charsmap, dtype=np.uint8, offset=4 + n_bytes)


def _characters(text: str, data: NDArray[np.uint8], source: NDArray[np.int64], old: str) -> Source:
    """The old character of each new one, from the old byte of each new byte."""
    begins = (data & 0xC0) != 0x80
    return (np.cumsum((utf8_bytes(old) & 0xC0) != 0x80) - 1)[source[begins]]


@dataclass(frozen=True)
class SentencePieceNormalizer:
    """SentencePiece's whole normalisation: the longest rule of a character map at each place, then spaces.

    Args:
        charsmap: compiled map, bytes or base64; empty for none.
        add_dummy_prefix: add a space before the text, so that a word at its beginning is as any other.
        remove_extra_whitespaces: drop spaces at both ends and all but one of a run.
        escape_whitespaces: write spaces as ▁ (U+2581).
        treat_whitespace_as_suffix: add the space after the text instead.
        user_defined_symbols: strings that no rule touches.

    Raises:
        ValueError: if the map is malformed; on use, if the text holds a lone surrogate.

    Cost: O(bytes), about 5 ns each for ASCII.
    References: Kudo & Richardson 2018, arXiv:1808.06226, section 3; google/sentencepiece, `Normalizer::Normalize`.
    Peer: sentencepiece.SentencePieceProcessor.normalize with offsets, every code point and 8 MB of text, exact (A).
    """

    charsmap: bytes | str = b""
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = True
    escape_whitespaces: bool = True
    treat_whitespace_as_suffix: bool = False
    user_defined_symbols: tuple[str, ...] = ()
    _units: NDArray[np.uint32] = field(init=False, repr=False, compare=False)
    _blob: NDArray[np.uint8] = field(init=False, repr=False, compare=False)
    _plain: NDArray[np.bool_] = field(init=False, repr=False, compare=False)
    _symbols: NDArray[np.uint32] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        units, blob = read_charsmap(self.charsmap)
        symbols = [symbol.encode("utf-8") for symbol in self.user_defined_symbols]
        object.__setattr__(self, "_units", units)
        object.__setattr__(self, "_blob", blob)
        object.__setattr__(self, "_plain", plain_bytes(units))
        trie = build_trie(symbols, range(len(symbols))).unit if symbols else _NO_SYMBOLS
        for symbol in symbols:
            self._plain[symbol[0]] = False
        object.__setattr__(self, "_symbols", trie)

    @property
    def charsmap_bytes(self) -> bytes:
        """The compiled map as bytes, however it was given."""
        return base64.b64decode(self.charsmap) if isinstance(self.charsmap, str) else self.charsmap

    def to_bytes(self, text: str, *, tracked: bool = False) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """UTF-8 of the normalised text; if tracked, the byte of the given text's UTF-8 whose place each byte takes."""
        data = utf8_bytes(text)
        first = self.add_dummy_prefix and not self.treat_whitespace_as_suffix
        last = self.add_dummy_prefix and self.treat_whitespace_as_suffix
        out, source, bad = normalise_bytes(
            data, self._units, self._blob, self._plain, self._symbols, first, last, self.remove_extra_whitespaces,
            _ESCAPED if self.escape_whitespaces else _SPACE, tracked,
        )  # fmt: skip
        if bad >= 0:
            raise ValueError(f"charsmap is malformed: its rule for {text[:80]!r} leads outside it (byte {bad})")
        return out, source

    def __call__(self, text: str) -> str:
        return self.to_bytes(text)[0].tobytes().decode("utf-8")

    def align(self, text: str) -> tuple[str, Source]:
        """The normalised text, and the old index of each of its characters."""
        data, source = self.to_bytes(text, tracked=True)
        new = data.tobytes().decode("utf-8")
        return new, _characters(new, data, source, text)


@dataclass(frozen=True)
class Precompiled:
    """A compiled character map as Hugging Face applies it: by grapheme, then by character.

    A grapheme cluster of at most 5 bytes is looked up as a whole, then each character by itself; each takes the first,
    that is the shortest, rule that its bytes begin with.

    Args:
        precompiled_charsmap: bytes, or base64 of them as `tokenizer.json` has it.

    Raises:
        ValueError: if the map is malformed.

    Cost: O(characters) of Python where text is not ASCII.
    Deviations: sentencepiece takes the longest rule at each place whatever the grapheme (`SentencePieceNormalizer`).
    References: google/sentencepiece, `doc/normalization.md`; huggingface/tokenizers, `Precompiled`.
    Peer: tokenizers.normalizers.Precompiled, every code point and fuzzed strings, exact (A).
    In production: only to read a `tokenizer.json`; for a `.model` file use `load_sentencepiece`.
    """

    precompiled_charsmap: bytes | str
    _rules: dict[str, str] = field(init=False, repr=False, compare=False)
    _units: NDArray[np.uint32] = field(init=False, repr=False, compare=False)
    _blob: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        units, blob = read_charsmap(self.precompiled_charsmap)
        object.__setattr__(self, "_units", units)
        object.__setattr__(self, "_blob", blob.tobytes())
        object.__setattr__(self, "_rules", {})

    def _transform(self, chunk: str) -> str:
        """What the chunk becomes; itself without a rule. Kept, since chunks recur."""
        known = self._rules.get(chunk)
        if known is None:
            known = self._rules[chunk] = self._look_up(chunk)
        return known

    def _look_up(self, chunk: str) -> str:
        units = self._units
        at = 0
        for byte in (-1, *chunk.encode("utf-8", "surrogatepass")):
            if byte >= 0:
                at ^= byte
                if at >= len(units) or int(units[at]) & 0x800000FF != byte:
                    return chunk
            elif not len(units):
                return chunk
            unit = int(units[at])
            at ^= (unit >> 10) << ((unit & 0x200) >> 6)
            if byte >= 0 and unit & 0x100:
                value = int(units[at]) & 0x7FFFFFFF
                return self._blob[value : self._blob.index(b"\0", value)].decode("utf-8")
        return chunk

    def _parts(self, text: str):
        """The text cut into what is looked up as one, and what each part becomes."""
        for match in compiled(r"\X").finditer(text):
            grapheme = match.group()
            if len(grapheme.encode("utf-8", "surrogatepass")) < 6:
                new = self._transform(grapheme)
                if new != grapheme or len(grapheme) == 1:
                    yield grapheme, new
                    continue
            for char in grapheme:
                yield char, self._transform(char)

    @functools.cached_property
    def _ascii(self) -> dict[int, str]:
        """What becomes of each character of ASCII that a rule changes."""
        return {i: new for i in range(128) if (new := self._transform(chr(i))) != chr(i)}

    def __call__(self, text: str) -> str:
        if text.isascii() and "\r\n" not in text:  # each character is a grapheme
            return text.translate(self._ascii) if self._ascii else text
        return "".join([new for _, new in self._parts(text)])

    def align(self, text: str) -> tuple[str, Source]:
        """The normalised text, and the old index of each of its characters."""
        parts, sources, at = [], [np.empty(0, dtype=np.int64)], 0
        for old, new in self._parts(text):
            parts.append(new)
            sources.append(at + np.minimum(np.arange(len(new)), len(old) - 1))
            at += len(old)
        return "".join(parts), np.concatenate(sources)
