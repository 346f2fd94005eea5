"""Pre-tokenizers that go by the class of a character: white space, digits, punctuation, script; and by count."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from itertools import pairwise

from breadth.text.align import Piece
from breadth.text.matching import NUMBER, PUNCTUATION, WHITE_SPACE, WORD, Regex, compiled, find_spans
from breadth.text.pre_tokenize import Behaviour, check_behaviour, cut, split_pieces


@dataclass(frozen=True)
class Whitespace:
    """Runs of word characters, and runs of what is neither they nor white space.

    Peer: tokenizers.pre_tokenizers.Whitespace, pieces and offsets, exact on code points that both know (A).
    """

    def __call__(self, piece: Piece) -> list[Piece]:
        return cut(piece, find_spans(Regex(rf"(?V1){WORD}+|[^\s{WORD}]+"), piece.text), "removed", invert=True)

    split = split_pieces


@dataclass(frozen=True)
class WhitespaceSplit:
    """What lies between white space.

    Peer: tokenizers.pre_tokenizers.WhitespaceSplit, pieces and offsets, exact (A).
    """

    def __call__(self, piece: Piece) -> list[Piece]:
        return cut(piece, find_spans(Regex(WHITE_SPACE), piece.text), "removed")

    split = split_pieces

    def cut_text(self, text: str) -> list[str]:
        """The pieces of a text, none of them empty, without following its characters."""
        return [part for part in compiled(rf"{WHITE_SPACE}+").split(text) if part]


@dataclass(frozen=True)
class Digits:
    """Numbers apart from the rest.

    Args:
        individual_digits: each digit a piece; otherwise each run of them.

    Peer: tokenizers.pre_tokenizers.Digits, pieces and offsets, exact on code points that both know (A).
    """

    individual_digits: bool = False

    def __call__(self, piece: Piece) -> list[Piece]:
        behaviour: Behaviour = "isolated" if self.individual_digits else "contiguous"
        return cut(piece, find_spans(Regex(NUMBER), piece.text), behaviour)

    split = split_pieces


@dataclass(frozen=True)
class Punctuation:
    """Punctuation apart from the rest.

    Args:
        behavior: what becomes of a mark, see `cut`.

    Raises:
        ValueError: if the behaviour is unknown.

    Peer: tokenizers.pre_tokenizers.Punctuation, pieces and offsets, exact on code points that both know (A).
    """

    behavior: Behaviour = "isolated"

    def __post_init__(self) -> None:
        check_behaviour(self.behavior)

    def __call__(self, piece: Piece) -> list[Piece]:
        return cut(piece, find_spans(Regex(PUNCTUATION), piece.text), self.behavior)

    split = split_pieces


@dataclass(frozen=True)
class CharDelimiterSplit:
    """What lies between a delimiter.

    Args:
        delimiter: one character.

    Raises:
        ValueError: if it is not one character.

    Peer: tokenizers.pre_tokenizers.CharDelimiterSplit, pieces and offsets, exact (A).
    """

    delimiter: str

    def __post_init__(self) -> None:
        if len(self.delimiter) != 1:
            raise ValueError(f"delimiter must be one character, got {self.delimiter!r}")

    def __call__(self, piece: Piece) -> list[Piece]:
        return cut(piece, find_spans(self.delimiter, piece.text), "removed")

    split = split_pieces


@dataclass(frozen=True)
class FixedLength:
    """Pieces of so many characters, the last one of what is left.

    Args:
        length: characters in a piece, >= 1.

    Raises:
        ValueError: if length < 1.

    Peer: tokenizers.pre_tokenizers.FixedLength, pieces and offsets, exact (A).
    """

    length: int = 5

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"length must be at least 1, got {self.length}")

    def __call__(self, piece: Piece) -> list[Piece]:
        return [piece.cut(at, at + self.length) for at in range(0, len(piece.text), self.length)]

    split = split_pieces


@dataclass(frozen=True)
class UnicodeScripts:
    """Cut where the script changes: Japanese kana count as Chinese characters, spaces as what stands before them.

    Deviations: scripts are those of the installed `regex`, newer than Hugging Face's.
    References: Unicode Standard Annex 24; google/sentencepiece, `split_by_unicode_script`.
    Peer: tokenizers.pre_tokenizers.UnicodeScripts, pieces and offsets, exact on code points that both know (A).
    """

    def __call__(self, piece: Piece) -> list[Piece]:
        cuts = []
        before: str | None = None
        for i, char in enumerate(piece.text):
            script = _script(char)
            if script is None:
                continue
            if script != before:
                cuts.append(i)
            before = script
        cuts.append(len(piece.text))
        # as in Hugging Face's, what has no script at the very beginning is dropped
        return [piece.cut(begin, end) for begin, end in pairwise(cuts)]

    split = split_pieces


_SCRIPTS = (  # of Unicode 9, which are those that Hugging Face's table has
    "Common", "Latin", "Inherited", "Han", "Hiragana", "Katakana", "Hangul", "Cyrillic", "Greek", "Arabic",
    "Hebrew", "Devanagari", "Thai", "Adlam", "Ahom", "Anatolian_Hieroglyphs", "Armenian", "Avestan", "Balinese",
    "Bamum", "Bassa_Vah", "Batak", "Bengali", "Bhaiksuki", "Bopomofo", "Brahmi", "Braille", "Buginese", "Buhid",
    "Canadian_Aboriginal", "Carian", "Caucasian_Albanian", "Chakma", "Cham", "Cherokee", "Coptic", "Cuneiform",
    "Cypriot", "Deseret", "Duployan", "Egyptian_Hieroglyphs", "Elbasan", "Ethiopic", "Georgian", "Glagolitic",
    "Gothic", "Grantha", "Gujarati", "Gurmukhi", "Hanunoo", "Hatran", "Imperial_Aramaic",
    "Inscriptional_Pahlavi", "Inscriptional_Parthian", "Javanese", "Kaithi", "Kannada", "Kayah_Li",
    "Kharoshthi", "Khmer", "Khojki", "Khudawadi", "Lao", "Lepcha", "Limbu", "Linear_A", "Linear_B", "Lisu",
    "Lycian", "Lydian", "Mahajani", "Malayalam", "Mandaic", "Manichaean", "Marchen", "Meetei_Mayek",
    "Mende_Kikakui", "Meroitic_Cursive", "Meroitic_Hieroglyphs", "Miao", "Modi", "Mongolian", "Mro", "Multani",
    "Myanmar", "Nabataean", "New_Tai_Lue", "Newa", "Nko", "Ogham", "Ol_Chiki", "Old_Hungarian", "Old_Italic",
    "Old_North_Arabian", "Old_Permic", "Old_Persian", "Old_South_Arabian", "Old_Turkic", "Oriya", "Osage",
    "Osmanya", "Pahawh_Hmong", "Palmyrene", "Pau_Cin_Hau", "Phags_Pa", "Phoenician", "Psalter_Pahlavi",
    "Rejang", "Runic", "Samaritan", "Saurashtra", "Sharada", "Shavian", "Siddham", "SignWriting", "Sinhala",
    "Sora_Sompeng", "Sundanese", "Syloti_Nagri", "Syriac", "Tagalog", "Tagbanwa", "Tai_Le", "Tai_Tham",
    "Tai_Viet", "Takri", "Tamil", "Tangut", "Telugu", "Thaana", "Tibetan", "Tifinagh", "Tirhuta", "Ugaritic",
    "Vai", "Warang_Citi", "Yi",
)  # fmt: skip


@functools.cache
def _script(char: str) -> str | None:
    """The script of a character; None for a space, and for one that has none."""
    if char == " ":
        return None
    if char == "ー":
        return "Han"
    for script in _SCRIPTS:
        if compiled(rf"\p{{Script={script}}}").match(char):
            return "Han" if script in ("Hiragana", "Katakana") else script
    return None
