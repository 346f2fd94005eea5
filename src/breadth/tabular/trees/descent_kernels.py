"""Kernels of the forest's predictions: values to codes, and codes down one tree."""

import numpy as np
from numba import njit

_INTERNAL = {"cache": True, "nogil": True, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_U = np.uint64


@njit(cache=True, nogil=True, error_model="numpy")
def encode_by_row(X, edges, codes):
    """codes[i, f] = number of edges[f] below X[i, f], 255 where missing. `edges` (features, 256) is padded with inf."""
    for i in range(X.shape[0]):
        for f in range(X.shape[1]):
            x = X[i, f]
            e = edges[f]
            p = 128 if e[127] < x else 0
            p += 64 if e[p + 63] < x else 0
            p += 32 if e[p + 31] < x else 0
            p += 16 if e[p + 15] < x else 0
            p += 8 if e[p + 7] < x else 0
            p += 4 if e[p + 3] < x else 0
            p += 2 if e[p + 1] < x else 0
            p += 1 if e[p] < x else 0
            codes[i, f] = np.uint8(255 if np.isnan(x) else p)


@njit(**_INTERNAL)
def _child(nodes, node, flat, row):
    """The node below `node` for the row whose codes start at flat[row]; a leaf is its own child."""
    word = nodes[node]
    code = _U(flat[row + ((word >> _U(9)) & _U(0x7FFFFF))])
    shifted = (code + ((word >> _U(8)) & _U(1))) & _U(255)
    return (word >> _U(32)) + _U(shifted > (word & _U(255)))


@njit(cache=True, nogil=True, error_model="numpy")
def descend(codes, nodes, leaf, value, out):
    """Send every row of codes (rows, features) down one tree: leaf[i] = its leaf, and out[i] += its value if given.

    Eight rows at once, in eight variables: one row's loads wait for each other, eight rows' do not.
    """
    n, width = codes.shape[0], _U(codes.shape[1])
    flat = codes.reshape(-1)
    k = 0
    while k + 8 <= n:
        r = _U(k) * width
        s, t, u, v = r + width, r + _U(2) * width, r + _U(3) * width, r + _U(4) * width
        w, x, y = r + _U(5) * width, r + _U(6) * width, r + _U(7) * width
        a = b = c = d = e = f = g = h = _U(0)
        while True:
            a1, b1 = _child(nodes, a, flat, r), _child(nodes, b, flat, s)
            c1, d1 = _child(nodes, c, flat, t), _child(nodes, d, flat, u)
            e1, f1 = _child(nodes, e, flat, v), _child(nodes, f, flat, w)
            g1, h1 = _child(nodes, g, flat, x), _child(nodes, h, flat, y)
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
            below = _child(nodes, node, flat, r)
            if below == node:
                break
            node = below
        leaf[i] = node
    if out is not None:
        for i in range(n):
            for c in range(value.shape[1]):
                out[i, c] += value[leaf[i], c]
