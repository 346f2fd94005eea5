"""Scanners for the pre-tokenising patterns of GPT-2 and cl100k: one pass over UTF-8, a table look-up a character.

Each of `scan_*` writes the byte end of every piece to `ends` and returns how many there are. `table` holds one class
bit a code point (`unicode_classes.class_table`). Bytes that are not UTF-8 are read as far as they go, never beyond.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from breadth.text.unicode_classes import LETTER, NEWLINE, NUMBER, WHITE

_SPACE, _APOSTROPHE = ord(" "), ord("'")
_LINE_FEED, _RETURN = ord("\n"), ord("\r")

kernel = njit(cache=True, nogil=True, error_model="numpy")
part = njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


@part
def class_beyond_ascii(data, i, n, table):
    """Class and length of the character of two to four bytes that begins at i < n."""
    first = np.int64(data[np.uintp(i)])
    length = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    if i + length > n:
        return table[np.uintp(table.size - 1)], n - i
    point = first & (0xFF >> (length + 1))
    for k in range(1, length):
        point = (point << 6) | (np.int64(data[np.uintp(i + k)]) & 0x3F)
    return table[np.uintp(point)], length


@part
def class_at(data, i, n, table):
    """Class and length of the character that begins at i; class 0 at the end."""
    if i >= n:
        return np.uint8(0), 0
    byte = data[np.uintp(i)]
    if byte < 0x80:
        return table[np.uintp(byte)], 1
    return class_beyond_ascii(data, i, n, table)


@part
def run_of(data, i, n, table, classes):
    """End of the run of characters of these classes that begins at i."""
    while i < n:
        byte = data[np.uintp(i)]
        if byte < 0x80:
            if not table[np.uintp(byte)] & classes:
                break
            i += 1
        else:
            found, length = class_beyond_ascii(data, i, n, table)
            if not found & classes:
                break
            i += length
    return i


@part
def contraction(data, i, n, any_case):
    """Length of 's 't 'm 'd 're 've 'll at i, where an apostrophe is; 0 if there is none."""
    if i + 1 >= n:
        return 0
    first = np.int64(data[np.uintp(i + 1)])
    second = np.int64(data[np.uintp(i + 2)]) if i + 2 < n else 0
    if any_case:
        if first == 0xC5 and second == 0xBF:  # U+017F, the long s, is an s in another case
            return 3
        first, second = first | 0x20, second | 0x20  # no other byte than a capital becomes one of these letters
    if first == ord("s") or first == ord("t") or first == ord("m") or first == ord("d"):
        return 2
    if (first == ord("r") or first == ord("v")) and second == ord("e"):
        return 3
    return 3 if first == ord("l") and second == ord("l") else 0


@part
def white_before_text(data, i, n, table):
    r"""End of `\s+(?!\S)|\s+` at i: text that follows keeps the last white character."""
    last = end = i
    while True:
        found, length = class_at(data, end, n, table)
        if not found & WHITE:
            break
        last = end
        end += length
    return end if end == n or last == i else last


@part
def white_to_newline(data, i, n, table, final_run):
    r"""End of `\s*[\r\n]+|\s+(?!\S)|\s+` at i, with `\s+$` before them if `final_run`."""
    last = end = i
    after_newline = -1
    while True:
        found, length = class_at(data, end, n, table)
        if not found & WHITE:
            break
        last = end
        end += length
        if found == NEWLINE:
            after_newline = end
    if end == n and final_run:
        return n
    if after_newline >= 0:
        return after_newline
    return end if end == n or last == i else last


@part
def digits(data, i, n, table, most):
    """End of the run of at most `most` numbers at i."""
    for _ in range(most):
        found, length = class_at(data, i, n, table)
        if not found & NUMBER:
            break
        i += length
    return i


@part
def newlines(data, i, n, slash):
    """End of the run of CR and LF, and of slashes if asked for, at i."""
    while i < n:
        byte = data[np.uintp(i)]
        if byte != _LINE_FEED and byte != _RETURN and not (slash and byte == ord("/")):
            break
        i += 1
    return i


@part
def _next_gpt2(data, i, n, table):
    if data[np.uintp(i)] == _APOSTROPHE:
        length = contraction(data, i, n, False)
        if length:
            return i + length
    j = i
    found, length = class_at(data, i, n, table)
    if data[np.uintp(i)] == _SPACE:
        following, width = class_at(data, i + 1, n, table)
        if following and not following & WHITE:
            j, found, length = i + 1, following, width
    if found & LETTER:
        return run_of(data, j + length, n, table, LETTER)
    if found & WHITE:
        return white_before_text(data, i, n, table)
    return run_of(data, j + length, n, table, NUMBER if found & NUMBER else 0xFF ^ (LETTER | NUMBER | WHITE))


@kernel
def scan_gpt2(data, table, ends):
    r"""Byte ends of the pieces of 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
    n = data.size
    i = k = 0
    while i < n:
        i = _next_gpt2(data, i, n, table)
        ends[np.uintp(k)] = i
        k += 1
    return k


@part
def _next_cl100k(data, i, n, table, letters, max_digits, final_run):
    byte = data[np.uintp(i)]
    if byte == _APOSTROPHE:
        length = contraction(data, i, n, True)
        if length:
            return i + length
    found, length = class_at(data, i, n, table)
    if found & letters:
        return run_of(data, i + length, n, table, letters)
    if found & NUMBER:
        return digits(data, i, n, table, max_digits)
    others = 0xFF ^ (letters | NUMBER | WHITE)
    j = i
    if found != NEWLINE:
        following, width = class_at(data, i + length, n, table)
        if following & letters:
            return run_of(data, i + length + width, n, table, letters)
        if byte == _SPACE and following & others:
            j, found, length = i + 1, following, width
    if found & others:
        return newlines(data, run_of(data, j + length, n, table, others), n, False)
    return white_to_newline(data, i, n, table, final_run)


@kernel
def scan_cl100k(data, table, ends, letters, max_digits, final_run):
    r"""Byte ends of the pieces of Llama 3's pattern, and of those that differ from it in the arguments:

    (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+

    `letters` are the classes that stand for \p{L}, `max_digits` for 3; `final_run` is `\s+$` before the white space.
    """
    n = data.size
    i = k = 0
    while i < n:
        i = _next_cl100k(data, i, n, table, letters, max_digits, final_run)
        ends[np.uintp(k)] = i
        k += 1
    return k
