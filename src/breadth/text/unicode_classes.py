"""The class of every code point, as pre-tokenising patterns tell them apart: letters by case, marks, numbers, space.

Derived from the `regex` package when first asked for, and held at Unicode 16.0, as in tokenizers and tiktoken: ids of
a published model must not change because a newer `regex` is installed.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

UPPER, LOWER, LETTER_OTHER, MARK, NUMBER, SPACE, NEWLINE, OTHER = (1 << bit for bit in range(8))
LETTER = UPPER | LOWER | LETTER_OTHER
WHITE = SPACE | NEWLINE

_CLASSES = (
    (UPPER, r"[\p{Lu}\p{Lt}]"),
    (LOWER, r"\p{Ll}"),
    (LETTER_OTHER, r"[\p{Lm}\p{Lo}]"),
    (MARK, r"\p{M}"),
    (NUMBER, r"\p{N}"),
    (SPACE, r"\s"),
    (NEWLINE, r"[\r\n]"),  # after the white space that it is part of
)
# code points that Unicode assigned after 16.0 (in between only what is of class OTHER), and U+0295, then a small letter
_AFTER_16 = (
    "558 58B-58C 5C8-5C9 88F B53-B54 C5C CDC 1ACF-1AF0 208F 209D-209F A7CE-A7CF A7D2 A7D4 A7DD-A7F1 "
    "AB6C-AB6D 107BB-107BF 10940-10959 10EC5-10EFB 11B0A-11B67 11DB0-11DF1 1246F-1247F 12550-12686 "
    "16EA0-16ED3 16FF2-16FF6 187F8-187FF 18CD6-18CDA 18D09-191D2 1B123-1B128 1B168 1D127-1D128 "
    "1D250-1D281 1D6A6 1DF1F-1DF24 1DF2B-1DFFF 1E6C0-1E6FF 2B73A-2B73F 2B81E 2CEA2-2CEAD 323B0-3FC3F"
)
_SMALL_IN_16 = 0x295
# what three bytes that begin a four-byte sequence can name, valid or not: a scanner needs no check of the range
TABLE_SIZE = 1 << 21


@functools.cache
def class_table() -> NDArray[np.uint8]:
    """Class of each code point, one bit of eight; `OTHER` for what is none of the rest, surrogates and beyond too.

    Returns:
        One bit of UPPER (Lu, Lt), LOWER (Ll), LETTER_OTHER (Lm, Lo), MARK (M), NUMBER (N), SPACE (white space but
        for CR and LF), NEWLINE (CR, LF) or OTHER at each code point; read-only, shape (2^21,).

    Cost: about 0.1 s once in a process; 2 MB.
    References: Unicode Standard Annex 44, table 12 (General_Category) and White_Space.
    Deviations: what Unicode assigned after 16.0 is OTHER, whatever `regex` knows.
    Peer: the property escapes of tiktoken, every code point, exact (A).
    """
    table = _classified(_CLASSES, OTHER)
    for span in _AFTER_16.split():
        first, _, last = span.partition("-")
        table[int(first, 16) : int(last or first, 16) + 1] = OTHER
    table[_SMALL_IN_16] = LOWER
    table.flags.writeable = False
    return table


@functools.cache
def bert_table() -> NDArray[np.uint8]:
    """Class of each code point to BERT's splitting: SPACE, OTHER (punctuation) or LETTER_OTHER (all the rest).

    Returns:
        Read-only, shape (2^21,). Punctuation is category P and the ASCII symbols `$+<=>^`|~`.

    Cost: about 0.05 s once in a process; 2 MB.
    References: Devlin et al. 2019; `BasicTokenizer` of google-research/bert.
    Peer: the property escapes of `regex`, every code point, exact (B).
    """
    table = _classified(((OTHER, r"[\p{P}$+<=>^`|~]"), (SPACE, r"\s")), LETTER_OTHER)
    table.flags.writeable = False
    return table


def _classified(classes: tuple[tuple[int, str], ...], otherwise: int) -> NDArray[np.uint8]:
    """A table of the class whose pattern a code point matches, the last such one."""
    try:
        import regex
    except ImportError as error:
        raise ImportError("pre-tokenising needs the regex package: pip install breadth[text]") from error
    points = np.arange(0x110000, dtype="<u4")
    points[0xD800:0xE000] = 0  # surrogates are no characters; U+0000 matches no class that is asked for
    every_character = points.tobytes().decode("utf-32-le")
    table = np.full(TABLE_SIZE, otherwise, dtype=np.uint8)
    for bit, pattern in classes:
        for match in regex.finditer(f"{pattern}+", every_character):
            table[match.start() : match.end()] = bit
    return table
