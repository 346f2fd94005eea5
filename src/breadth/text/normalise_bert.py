"""BERT's normalizer: control characters out, blanks to spaces, Chinese characters alone, accents off, lower case."""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from breadth.text.align import Source, expanded
from breadth.text.matching import compiled
from breadth.text.normalise import Lowercase, UnicodeForm, without

_CHINESE = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B81F), (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip
_CONTROL = r"(?V1)[\p{Cc}\p{Cf}\p{Co}\p{Cs}\uFFFD--[\t\n\r]]"
_UNKNOWN, _REMOVED, _LONGER, _REORDERED = -1, -2, -3, -4


@dataclass(frozen=True)
class BertNormalizer:
    """BERT's cleaning of text, character by character.

    Args:
        clean_text: drop control characters and U+FFFD, and make white space spaces.
        handle_chinese_chars: put a space on both sides of every Chinese character.
        strip_accents: decompose (NFD) and drop nonspacing marks; None means when `lowercase` does.
        lowercase: make lower case.

    Cost: O(characters), about 5 ns each; a code point that was not seen before costs a microsecond.
    Deviations: categories are those of the installed `regex` and `unicodedata`, newer than Hugging Face's (about
        Unicode 8): 20 format characters and 500 marks that came later are treated as what they are.
    References: Devlin et al. 2019; `BasicTokenizer` of google-research/bert.
    Peer: tokenizers.normalizers.BertNormalizer, text and offsets, exact on code points that both know (A).
    """

    clean_text: bool = True
    handle_chinese_chars: bool = True
    strip_accents: bool | None = None
    lowercase: bool = True
    # by code point: the one it becomes, or _UNKNOWN as long as nobody met it; filled in as texts come
    _becomes: NDArray[np.int32] = field(init=False, repr=False, compare=False)
    _longer: dict[int, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_becomes", np.full(0x110000, _UNKNOWN, dtype=np.int32))
        object.__setattr__(self, "_longer", {})

    @functools.cached_property
    def _ascii(self) -> dict[int, str]:
        """What becomes of each character of ASCII that changes."""
        return {i: new for i in range(128) if (new := self.align(chr(i))[0]) != chr(i)}

    def __call__(self, text: str) -> str:
        if text.isascii():
            return text.translate(self._ascii)
        try:
            points = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
        except UnicodeEncodeError:  # a lone surrogate, which the tokenizer reports with its place
            return self.align(text)[0]
        becomes = self._becomes[points]
        lowest = int(becomes.min(initial=0))
        if lowest == _UNKNOWN or (becomes == _UNKNOWN).any():
            for point in np.unique(points[becomes == _UNKNOWN]).tolist():
                self._learn(point)
            becomes = self._becomes[points]
            lowest = int(becomes.min(initial=0))
        if lowest == _REORDERED:
            return self.align(text)[0]
        if lowest == _LONGER:
            return text.translate(_Table(self._becomes, self._longer))
        if lowest == _REMOVED:
            becomes = becomes[becomes != _REMOVED]
        return becomes.astype("<u4", copy=False).tobytes().decode("utf-32-le")

    def align(self, text: str) -> tuple[str, Source]:
        """The normalised text, and the old index of each of its characters."""
        source = np.arange(len(text))
        if self.clean_text:
            text, step = without(_CONTROL, text)
            text = compiled(r"\s").sub(" ", text)
            source = source[step]
        if self.handle_chinese_chars:
            chinese = [_is_chinese(ord(char)) for char in text]
            source = source[expanded(np.where(chinese, 3, 1))] if text else source
            text = "".join(f" {char} " if alone else char for char, alone in zip(text, chinese, strict=True))
        if self._strips:
            text, step = UnicodeForm("NFD").align(text)
            source = source[step]
            text, step = without(r"\p{Mn}", text)
            source = source[step]
        if self.lowercase:
            text, step = Lowercase().align(text)
            source = source[step]
        return text, source

    @property
    def _strips(self) -> bool:
        return self.lowercase if self.strip_accents is None else self.strip_accents

    def _learn(self, point: int) -> None:
        parts = unicodedata.normalize("NFD", chr(point))
        if self._strips and any(unicodedata.combining(char) and unicodedata.category(char) != "Mn" for char in parts):
            self._becomes[point] = _REORDERED  # a mark that stays, and may change places with its neighbours
            return
        text = self.align(chr(point))[0]
        if len(text) > 1:
            self._longer[point] = text
        self._becomes[point] = ord(text) if len(text) == 1 else _LONGER if text else _REMOVED


class _Table:
    """What `str.translate` asks for a code point."""

    def __init__(self, becomes: NDArray[np.int32], longer: dict[int, str]) -> None:
        self._becomes, self._longer = becomes, longer

    def __getitem__(self, point: int) -> int | str | None:
        becomes = int(self._becomes[point])
        return self._longer[point] if becomes == _LONGER else None if becomes == _REMOVED else becomes


def _is_chinese(point: int) -> bool:
    return any(first <= point <= last for first, last in _CHINESE)
