"""Kernels that build and walk a byte trie held as a double array.

A state is an index into three arrays: `unit` (uint32: 22 bits of base, a flag for "a key ends here", 9 bits of label),
`value` (int32, the key's number) and whatever a caller lays beside them by state. The child of state s over byte c is
`base(s) ^ c`, and it exists when the unit there carries label c. No two states share a base, so the label alone proves
the parent, and one load decides a step. A unit not in use has label 256, which no byte equals.

References: Aoe 1989, IEEE TSE 15(9) (double array); Yata et al. 2007, IPM 43(1) (a label in place of a parent).
"""

from __future__ import annotations

import numpy as np
from numba import njit

FREE = np.uint32(256)
ROOT = np.uint32(511)  # a label that is neither free nor a byte
LABEL = np.uint32(0x1FF)
ENDS = np.uint32(0x200)
BASE_SHIFT = np.uint32(10)
MAX_STATES = 1 << 22
_BLOCK = 256  # a base and the children over it differ in the low byte only, so they share a block
_OPEN_BLOCKS = 16  # blocks further back are nearly full, and searching them costs more than the space they hold


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _detach(links, head, i):
    """Take state i out of the circular list of free states; returns the list's new head, -1 if it is empty."""
    if links[i, 0] == i:
        return np.int64(-1)
    before = links[i, 1]
    after = links[i, 0]
    links[before, 0] = after
    links[after, 1] = before
    return np.int64(after) if head == i else head


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _open_block(unit, links, head, block):
    """Put the states of a new block into the list of free states, and take out those of the oldest open block."""
    if block >= _OPEN_BLOCKS:
        first = (block - _OPEN_BLOCKS) * _BLOCK
        for i in range(first, first + _BLOCK):
            if unit[i] == FREE:
                head = _detach(links, head, i)
    for i in range(block * _BLOCK, (block + 1) * _BLOCK):
        if unit[i] != FREE:
            continue  # the root
        if head < 0:
            head = np.int64(i)
            links[i, 0] = i
            links[i, 1] = i
        else:
            last = links[head, 1]
            links[i, 0] = head
            links[i, 1] = last
            links[last, 0] = i
            links[head, 1] = i
    return head


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _find_base(unit, links, taken, head, labels, n_labels):
    """A base that no state has yet and whose children over all labels are free; -1 if no open block has one."""
    at = head
    while at >= 0:
        base = at ^ labels[0]
        if taken[base] == 0:
            fits = True
            for j in range(1, n_labels):
                if unit[base ^ labels[j]] != FREE:
                    fits = False
                    break
            if fits:
                return base
        at = np.int64(links[at, 0])
        if at == head:
            break
    return np.int64(-1)


@njit(cache=True, nogil=True, error_model="numpy")
def build_double_array(data, ends, number):
    """Build the double array of byte strings that are sorted, unique and not empty.

    data: uint8, the keys one after another. ends: int64, the end of each. number: int32, the value of each.
    Returns unit and value, of equal length; a length of 0 says that `MAX_STATES` was not enough.
    """
    unit = np.full(_BLOCK, FREE, np.uint32)
    unit[0] = ROOT
    value = np.full(_BLOCK, -1, np.int32)
    links = np.zeros((_BLOCK, 2), np.int32)  # next and previous free state
    taken = np.zeros(_BLOCK, np.uint8)  # bases in use
    taken[0] = 1  # the base of states without children, so it can be no parent's
    n_blocks = 1
    head = _open_block(unit, links, np.int64(-1), 0)

    labels = np.zeros(256, np.int64)
    lows = np.zeros(257, np.int64)
    stack = [(np.int64(0), np.int64(0), np.int64(ends.shape[0]), np.int64(0))]
    while len(stack) > 0:
        state, low, high, depth = stack.pop()  # keys low:high share `depth` bytes, which lead to `state`
        if low < high and ends[low] - (ends[low - 1] if low > 0 else 0) == depth:
            unit[state] |= ENDS  # sorted, so a key that ends here comes first
            value[state] = number[low]
            low += 1
        n_labels = 0
        previous = np.int64(-1)
        for k in range(low, high):
            c = np.int64(data[(ends[k - 1] if k > 0 else 0) + depth])
            if c != previous:
                labels[n_labels] = c
                lows[n_labels] = k
                n_labels += 1
                previous = c
        if n_labels == 0:
            continue
        lows[n_labels] = high

        base = _find_base(unit, links, taken, head, labels, n_labels)
        while base < 0:
            size = unit.shape[0]
            if n_blocks * _BLOCK == size:
                if 2 * size > MAX_STATES:
                    return np.zeros(0, np.uint32), np.zeros(0, np.int32)
                unit = np.append(unit, np.full(size, FREE, np.uint32))
                value = np.append(value, np.full(size, -1, np.int32))
                links = np.append(links, np.zeros((size, 2), np.int32)).reshape(2 * size, 2)
                taken = np.append(taken, np.zeros(size, np.uint8))
            head = _open_block(unit, links, head, n_blocks)
            n_blocks += 1
            base = _find_base(unit, links, taken, head, labels, n_labels)
        taken[base] = 1
        unit[state] |= np.uint32(base) << BASE_SHIFT
        for j in range(n_labels - 1, -1, -1):
            child = base ^ labels[j]
            head = _detach(links, head, child)
            unit[child] = np.uint32(labels[j])
            stack.append((child, lows[j], lows[j + 1], depth + 1))
    return unit, value


@njit(cache=True, nogil=True, error_model="numpy")
def longest_prefix(unit, state, data, start, stop):
    """The deepest state at which a key ends on the walk from `state` along data[start:stop], and where it ends.

    Returns (state, end); (-1, start) if no key ends on the way.
    """
    found = np.int64(-1)
    end = start
    u = unit[state]
    for i in range(start, stop):
        c = np.uint32(data[i])
        state = np.int64((u >> BASE_SHIFT) ^ c)
        u = unit[state]
        if (u & LABEL) != c:
            break
        if (u & ENDS) != 0:
            found = state
            end = i + 1
    return found, end
