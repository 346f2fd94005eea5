"""Kernel that tells which substrings may be pieces."""

from __future__ import annotations

import numpy as np
from numba import njit

_NO_SCRIPT, _INHERITED, _FORBIDDEN, _IS_SPACE = -1, -2, -3, -4


@njit(cache=True, nogil=True, error_model="numpy")
def valid_substrings(symbols, found, script, digit, by_space, by_script, by_number, digits_alone):
    """Whether each row (start, length, _) of `found` is a substring that may be a piece."""
    valid = np.ones(found.shape[0], np.bool_)
    for k in range(found.shape[0]):
        size = found[k, 1]
        before = _NO_SCRIPT
        for i in range(size):
            c = symbols[found[k, 0] + i]
            s = np.int64(script[c])
            if s == _FORBIDDEN:
                valid[k] = False
                break
            if s == _IS_SPACE:
                if i > 0 and (by_space or i == size - 1):
                    valid[k] = False
                    break
                continue
            if s == _INHERITED:
                s = before
            if digit[c] and not by_number:
                s = _NO_SCRIPT
            if (digits_alone and digit[c] and size > 1) or (
                by_script and s != _NO_SCRIPT and before != _NO_SCRIPT and s != before
            ):
                valid[k] = False
                break
            before = s
    return valid
