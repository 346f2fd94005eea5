"""Putting the bytes of many ids one behind the other."""

from __future__ import annotations

import numpy as np

from breadth.text.scan_kernels import kernel
from breadth.text.word_kernels import load_word, store_word


@kernel
def join_bytes(ids, spelling, begins, sizes):
    """The bytes of ids, eight more, and -1; or nothing and the place of the first id that is no token's.

    Id i has the `sizes[i]` bytes from spelling[begins[i]] on; sizes are -1 for what is no id. Both the spelling and the
    result end in eight bytes to be written over: most tokens are copied in one go, whatever their size.
    """
    n, total = np.int64(sizes.size), np.int64(0)
    for place in range(ids.size):
        i = ids[np.uintp(place)]
        if i < 0 or i >= n or sizes[np.uintp(i)] < 0:
            return np.empty(0, dtype=np.uint8), np.int64(place)
        total += sizes[np.uintp(i)]
    out = np.empty(total + 8, dtype=np.uint8)
    at = np.int64(0)
    for place in range(ids.size):
        i = np.uintp(ids[np.uintp(place)])
        begin, size = begins[i], np.int64(sizes[i])
        for k in range(0, size, 8):
            store_word(out, at + k, load_word(spelling, begin + k))
        at += size
    return out, np.int64(-1)
