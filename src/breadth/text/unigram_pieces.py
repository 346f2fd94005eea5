"""Which strings may be pieces of a unigram model, and how often those of a corpus occur."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from breadth.text.matching import compiled
from breadth.text.suffix_array import common_prefixes, suffix_array
from breadth.text.suffix_array_kernels import branching_substrings
from breadth.text.unigram_pieces_kernels import valid_substrings

SPACE = "▁"
UNKNOWN = "▅"  # sentencepiece's mark of a character that the vocabulary leaves out
BOUNDARY = "\0"
_NEVER = f"{UNKNOWN}{BOUNDARY}\t "  # characters that no piece has; a tab stands where a symbol of its own was

NO_SCRIPT, INHERITED, FORBIDDEN, IS_SPACE = -1, -2, -3, -4
_DIGITS = frozenset("0123456789０１２３４５６７８９")
# Unicode's scripts but the youngest; Han, Hiragana and Katakana are one, as a Japanese word mixes them
_SCRIPTS = (  # noqa: SIM905 - as a list it is a line a script
    "Latin Bopomofo Greek Coptic Cyrillic Armenian Hebrew Arabic Syriac Thaana Nko Samaritan Mandaic Devanagari "
    "Bengali Gurmukhi Gujarati Oriya Tamil Telugu Kannada Malayalam Sinhala Thai Lao Tibetan Myanmar Georgian "
    "Hangul Ethiopic Cherokee Canadian_Aboriginal Ogham Runic Tagalog Hanunoo Buhid Tagbanwa Khmer Mongolian "
    "Limbu Tai_Le New_Tai_Lue Buginese Tai_Tham Balinese Sundanese Batak Lepcha Ol_Chiki Braille Glagolitic "
    "Tifinagh Yi Lisu Vai Bamum Syloti_Nagri Phags_Pa Saurashtra Kayah_Li Rejang Javanese Cham Tai_Viet "
    "Meetei_Mayek Linear_B Lycian Carian Old_Italic Gothic Old_Permic Ugaritic Old_Persian Deseret Shavian "
    "Osmanya Osage Elbasan Caucasian_Albanian Vithkuqi Linear_A Cypriot Imperial_Aramaic Palmyrene Nabataean "
    "Hatran Phoenician Lydian Meroitic_Hieroglyphs Meroitic_Cursive Kharoshthi Old_South_Arabian "
    "Old_North_Arabian Manichaean Avestan Inscriptional_Parthian Inscriptional_Pahlavi Psalter_Pahlavi Old_Turkic "
    "Old_Hungarian Hanifi_Rohingya Yezidi Old_Sogdian Sogdian Old_Uyghur Chorasmian Elymaic Brahmi Kaithi "
    "Sora_Sompeng Chakma Mahajani Sharada Khojki Multani Khudawadi Grantha Newa Tirhuta Siddham Modi Takri Ahom "
    "Dogra Warang_Citi Dives_Akuru Nandinagari Zanabazar_Square Soyombo Pau_Cin_Hau Bhaiksuki Marchen "
    "Masaram_Gondi Gunjala_Gondi Makasar Kawi Cuneiform Cypro_Minoan Egyptian_Hieroglyphs Anatolian_Hieroglyphs "
    "Mro Tangsa Bassa_Vah Pahawh_Hmong Medefaidrin Miao Tangut Nushu Khitan_Small_Script Duployan SignWriting "
    "Nyiakeng_Puachue_Hmong Toto Wancho Nag_Mundari Mende_Kikakui Adlam"
).split()


@dataclass(frozen=True)
class PieceRules:
    """What a piece may be.

    Args:
        max_piece_length: characters, in [1, 512].
        split_by_whitespace: ▁ only first; otherwise anywhere but last.
        split_by_unicode_script: characters of one script only.
        split_by_number: digits are a script of their own (that of punctuation); otherwise they go with any.
        split_digits: a digit is a piece by itself only.

    Raises:
        ValueError: if max_piece_length is out of range.

    References: google/sentencepiece, `TrainerInterface::IsValidSentencePiece`.
    """

    max_piece_length: int = 16
    split_by_whitespace: bool = True
    split_by_unicode_script: bool = True
    split_by_number: bool = True
    split_digits: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.max_piece_length <= 512:
            raise ValueError(f"max_piece_length must be in [1, 512], got {self.max_piece_length}")


def scripts_of(alphabet: str) -> NDArray[np.int16]:
    """A number for the script of each character; below 0 for what has none, see the constants of this module."""
    script = np.zeros(len(alphabet), dtype=np.int16)  # 0: common
    patterns = [(f"\\p{{Script={name}}}", i + 2) for i, name in enumerate(_SCRIPTS)]
    patterns += [(r"[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}ー]", 1), (r"\p{Script=Inherited}", INHERITED)]
    for pattern, number in patterns:
        for match in compiled(pattern).finditer(alphabet):
            script[match.start()] = number
    for i, char in enumerate(alphabet):
        if char == SPACE:
            script[i] = IS_SPACE
        elif char in _NEVER:
            script[i] = FORBIDDEN
    return script


def seed_pieces(
    text: str, weight: NDArray[np.int64], *, rules: PieceRules, n_most: int
) -> tuple[list[str], NDArray[np.int64]]:
    """Substrings that may be pieces and occur before two different characters, with how many characters they cover.

    Args:
        text: words one after another, each ended by a character that no piece has inside (▁ or NUL).
        weight: what an occurrence that begins at each character counts, shape (characters,).
        rules: what a piece may be.
        n_most: how many to keep, those that cover most characters.

    Returns:
        Pieces of two characters or more, and weighted occurrences times length, falling.

    Cost: that of the suffix array of the text.
    References: Kudo 2018, section 3.2 (seed vocabulary); Abouelhoda et al. 2004, J. Discrete Alg. 2(1) (intervals).
    Peer: all substrings counted, in its test (B); sentencepiece's seeds through the trained vocabulary (A).
    """
    points = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    alphabet, symbols = np.unique(points, return_inverse=True)
    symbols = symbols.astype(np.int32)
    characters = alphabet.astype("<u4").tobytes().decode("utf-32-le")
    order = suffix_array(symbols, depth=rules.max_piece_length + 1)
    shared = common_prefixes(symbols, order, longest=rules.max_piece_length + 1)
    found = branching_substrings(shared, order, weight, rules.max_piece_length)
    digit = np.array([char in _DIGITS for char in characters])
    valid = valid_substrings(
        symbols, found, scripts_of(characters), digit, rules.split_by_whitespace, rules.split_by_unicode_script,
        rules.split_by_number, rules.split_digits,
    )  # fmt: skip
    found = found[valid]
    score = found[:, 1] * found[:, 2]
    kept = np.argsort(-score, kind="stable")[:n_most]
    return [text[start : start + size] for start, size, _ in found[kept].tolist()], score[kept]
