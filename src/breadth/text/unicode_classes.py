"""The class of every code point, as pre-tokenising patterns tell them apart: letters by case, marks, numbers, space.

Derived from the `regex` package when first asked for, so that a scanner and a pattern that falls back to `regex` agree.
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
    Peer: the property escapes of `regex`, every code point, exact (B).
    """
    return _classified(_CLASSES, OTHER)


@functools.cache
def bert_table() -> NDArray[np.uint8]:
    """Class of each code point to BERT's splitting: SPACE, OTHER (punctuation) or LETTER_OTHER (all the rest).

    Returns:
        Read-only, shape (2^21,). Punctuation is category P and the ASCII symbols `$+<=>^`|~`.

    Cost: about 0.05 s once in a process; 2 MB.
    References: Devlin et al. 2019; `BasicTokenizer` of google-research/bert.
    Peer: the property escapes of `regex`, every code point, exact (B).
    """
    return _classified(((OTHER, r"[\p{P}$+<=>^`|~]"), (SPACE, r"\s")), LETTER_OTHER)


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
    table.flags.writeable = False
    return table
