"""The forest's predictions: values to integers of the same order, and rows of those down one tree.

A node is a 64-bit word, left child << 32 | last key that goes left, and 32 bits that say what it tests, feature << 1 |
missing goes left: 12 bytes, so that the trees of some ten thousand rows stay in the first-level cache. Where missing
goes left, keys and the last one are shifted by one, and the key of missing wraps around to 0. A leaf sends every key to
its left child, itself.
"""

import numpy as np
from numba import njit

_INTERNAL = {"cache": True, "nogil": True, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_U = np.uint64
_LOW_HALF = np.uint64(0xFFFFFFFF)


def ordered_keys(x: np.ndarray) -> np.ndarray:
    """Map float32 to uint32 in the order of the values: -0 as 0, missing above all."""
    x = np.ascontiguousarray(x)
    keys = np.empty(x.shape, np.uint32)
    _order_bits(x.reshape(-1).view(np.uint32), keys.reshape(-1))
    return keys


def packed_nodes(words: np.ndarray, threshold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Words uint64 and tests uint32 (n,) for `descend`, of grow_forest_tree's words and thresholds float32 (n,)."""
    tests = words & _LOW_HALF
    leaf = (words >> _U(32)) == np.arange(words.size, dtype=np.uint64)
    last = np.where(leaf, _LOW_HALF, ordered_keys(threshold).astype(np.uint64) + (tests & _U(1)))
    return (words - tests) | last, tests.astype(np.uint32)


@njit(cache=True, nogil=True, error_model="numpy")
def _order_bits(bits, keys):
    for i in range(bits.size):
        b = bits[i]
        sign = b >> np.uint32(31)
        key = ~b if sign else b | np.uint32(0x80000000)
        key = np.uint32(0x80000000) if b == np.uint32(0x80000000) else key  # -0
        keys[i] = np.uint32(0xFFFFFFFF) if (b & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000) else key


@njit(**_INTERNAL)
def _child(nodes, tests, node, flat, row):
    """The node below `node` for the row whose keys start at flat[row]; a leaf is its own child."""
    word, test = nodes[node], _U(tests[node])
    key = _U(flat[row + (test >> _U(1))])
    return (word >> _U(32)) + _U(((key + (test & _U(1))) & _LOW_HALF) > (word & _LOW_HALF))


@njit(cache=True, nogil=True, error_model="numpy")
def descend(keys, nodes, tests, leaf, value, out):
    """Send every row of keys (rows, features) down one tree: leaf[i] = its leaf, and out[i] += its value if given.

    Eight rows at once, in eight variables: one row's loads wait for each other, eight rows' do not.
    """
    n, width = keys.shape[0], _U(keys.shape[1])
    flat = keys.reshape(-1)
    k = 0
    while k + 8 <= n:
        r = _U(k) * width
        s, t, u, v = r + width, r + _U(2) * width, r + _U(3) * width, r + _U(4) * width
        w, x, y = r + _U(5) * width, r + _U(6) * width, r + _U(7) * width
        a = b = c = d = e = f = g = h = _U(0)
        while True:
            a1, b1 = _child(nodes, tests, a, flat, r), _child(nodes, tests, b, flat, s)
            c1, d1 = _child(nodes, tests, c, flat, t), _child(nodes, tests, d, flat, u)
            e1, f1 = _child(nodes, tests, e, flat, v), _child(nodes, tests, f, flat, w)
            g1, h1 = _child(nodes, tests, g, flat, x), _child(nodes, tests, h, flat, y)
            moved = (a1 ^ a) | (b1 ^ b) | (c1 ^ c) | (d1 ^ d) | (e1 ^ e) | (f1 ^ f) | (g1 ^ g) | (h1 ^ h)
            if moved == _U(0):
                break
            a, b, c, d, e, f, g, h = a1, b1, c1, d1, e1, f1, g1, h1
        leaf[k], leaf[k + 1], leaf[k + 2], leaf[k + 3] = a, b, c, d
        leaf[k + 4], leaf[k + 5], leaf[k + 6], leaf[k + 7] = e, f, g, h
        k += 8
    for i in range(k, n):
        node, r = _U(0), _U(i) * width
        while True:
            below = _child(nodes, tests, node, flat, r)
            if below == node:
                break
            node = below
        leaf[i] = node
    if out is not None:
        for i in range(n):
            for c in range(value.shape[1]):
                out[i, c] += value[leaf[i], c]
