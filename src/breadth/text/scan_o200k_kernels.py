"""Scanner for the pattern of o200k, which cuts words where capitals begin."""

from __future__ import annotations

import numpy as np

from breadth.text.scan_kernels import (
    class_at,
    contraction,
    digits,
    kernel,
    newlines,
    part,
    run_of,
    white_to_newline,
)
from breadth.text.unicode_classes import LETTER, LETTER_OTHER, LOWER, MARK, NEWLINE, NUMBER, UPPER, WHITE

_SPACE, _APOSTROPHE = ord(" "), ord("'")
_EITHER = LETTER_OTHER | MARK  # of no case: may stand in the capitals' part and in the small letters' part
_CAPITALS = UPPER | _EITHER
_SMALL = LOWER | _EITHER
_OTHERS = 0xFF ^ (LETTER | NUMBER | WHITE)


@part
def _cased_word(data, i, n, table):
    """End of the word `capitals* small+`, else `capitals+ small*`, at i; i if there is none.

    Where no small letter follows the capitals, the first form still matches if it can give characters back until one
    that may also be small: the word then ends behind the last such character.
    """
    end, after_either = i, -1
    while True:
        found, length = class_at(data, end, n, table)
        if not found & _CAPITALS:
            break
        end += length
        if found & _EITHER:
            after_either = end
    if found & LOWER:
        return run_of(data, end, n, table, _SMALL)
    return end if after_either < 0 else after_either


@part
def _next_o200k(data, i, n, table, max_digits, contractions):
    byte = data[np.uintp(i)]
    found, length = class_at(data, i, n, table)
    if found & NUMBER:
        return digits(data, i, n, table, max_digits)
    if found != NEWLINE:
        # a mark may be the character before a word or its first: the same match either way
        begin = i if found & (LETTER | MARK) else i + length
        end = _cased_word(data, begin, n, table)
        if end > begin:
            if contractions and end < n and data[np.uintp(end)] == _APOSTROPHE:
                return end + contraction(data, end, n, True)
            return end
        if byte == _SPACE:
            following, width = class_at(data, i + 1, n, table)
            if following & _OTHERS:
                return newlines(data, run_of(data, i + 1 + width, n, table, _OTHERS), n, True)
    if found & _OTHERS:
        return newlines(data, run_of(data, i + length, n, table, _OTHERS), n, True)
    return white_to_newline(data, i, n, table, False)


@kernel
def scan_o200k(data, table, ends, max_digits, contractions):
    """Byte ends of the pieces of o200k; `contractions` as part of the word before them, `max_digits` in a number."""
    n = data.size
    i = k = 0
    while i < n:
        i = _next_o200k(data, i, n, table, max_digits, contractions)
        ends[np.uintp(k)] = i
        k += 1
    return k
