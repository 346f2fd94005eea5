"""BERT's splitting: white space is dropped, a punctuation mark is a word of its own, and so is what lies between."""

from __future__ import annotations

import numpy as np

from breadth.text.scan_kernels import entry_beyond_ascii, kernel
from breadth.text.unicode_classes import LETTER_OTHER, SPACE


@kernel
def scan_bert(data, table, words, starts, ends):
    """Words of BERT, put one behind the other.

    `table` is `unicode_classes.bert_table`. Writes the words' bytes to `words`, the byte at which each begins in `data`
    to `starts` and the byte at which it ends in `words` to `ends`; returns the number of words.
    """
    n = data.size
    i = k = size = 0
    in_word = False
    while i < n:
        if data[np.uintp(i)] < 0x80:
            found, length = table[np.uintp(data[np.uintp(i)])], 1
        else:
            found, length = entry_beyond_ascii(data, i, n, table)
        if found == SPACE:
            in_word = False
            i += length
            continue
        if not (in_word and found == LETTER_OTHER):
            starts[np.uintp(k)] = i
            k += 1
            in_word = found == LETTER_OTHER
        for _ in range(length):
            words[np.uintp(size)] = data[np.uintp(i)]
            size += 1
            i += 1
        ends[np.uintp(k - 1)] = size
    return k
