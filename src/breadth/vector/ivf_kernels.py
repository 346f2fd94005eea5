"""Kernels of the inverted file: all queries that probe a list meet it together, as one matrix product."""

from __future__ import annotations

import numpy as np
from numba import njit

from breadth.vector.scan_kernels import exact_score, keep_best_screened, replace_worst

_FEW = 3  # queries of a list too few to be worth gathering
_MANY = 16  # queries of a list from which BLAS, which packs its operands first, is quicker than a loop
_ROWS = 512  # entries a product


@njit(cache=True, nogil=True, error_model="numpy")
def count_allowed(starts, sizes, slots, allowed, out):
    """out[l]: how many entries of list l are allowed."""
    for l in range(starts.shape[0]):
        n = 0
        for i in range(starts[l], starts[l] + sizes[l]):
            n += allowed[slots[i]]
        out[l] = n


@njit(cache=True, nogil=True, error_model="numpy")
def nearest_few(distance, out):
    """out[i]: the columns of the least distances in row i, in any order; of equal ones at the border any.

    distance (q, lists) float32, out (q, few). Each column that is kept is found by looking through the few, which
    costs less than a partition where they are few.
    """
    few = out.shape[1]
    kept = np.empty(few, dtype=np.float32)
    for i in range(distance.shape[0]):
        for j in range(few):
            kept[j] = distance[i, j]
            out[i, j] = j
        worst = kept.argmax()
        limit = kept[worst]
        for j in range(np.uint64(few), np.uint64(distance.shape[1])):
            if distance[i, j] < limit:
                kept[worst] = distance[i, j]
                out[i, worst] = j
                worst = kept.argmax()
                limit = kept[worst]


@njit(cache=True, nogil=True, error_model="numpy")
def choose_lists(order, available, n_probe, wanted, ends, out):
    """The lists that each query probes: from its nearest, those with anything allowed, until there are enough.

    order: (q, lists) nearest first. available: (lists,) allowed entries. A query stops after n_probe lists, but not
    before `wanted` allowed entries. ends: (q,) where each query's lists end in `out`, which holds them all. Returns
    the fewest allowed entries that a query will see.
    """
    n = 0
    fewest = np.iinfo(np.int64).max
    for i in range(order.shape[0]):
        seen = 0
        probed = 0
        for j in range(order.shape[1]):
            if probed >= n_probe and seen >= wanted:
                break
            l = order[i, j]
            if available[l]:
                out[n] = l
                n += 1
                probed += 1
                seen += available[l]
        ends[i] = n
        fewest = min(fewest, seen)
    return fewest


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _by_list(lists, ends, n_lists):
    """The queries of each list: those of list l are queries[ends_of[l - 1] : ends_of[l]], ascending."""
    ends_of = np.zeros(n_lists + 1, dtype=np.int64)
    for i in range(lists.shape[0]):
        ends_of[lists[i] + 1] += 1
    for l in range(n_lists):
        ends_of[l + 1] += ends_of[l]
    queries = np.empty(lists.shape[0], dtype=np.int64)
    at = 0
    for i in range(ends.shape[0]):
        while at < ends[i]:
            l = lists[at]
            queries[ends_of[l]] = i
            ends_of[l] += 1
            at += 1
    return queries, ends_of[:n_lists]


@njit(
    cache=True,
    nogil=True,
    error_model="numpy",
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
    fastmath={"reassoc", "contract"},
)
def _product(x, y):
    total = np.float32(0)
    for f in range(x.shape[0]):
        total += x[f] * y[f]
    return total


@njit(
    cache=True,
    nogil=True,
    error_model="numpy",
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
    fastmath={"reassoc", "contract"},
)
def _products(queries, rows, out):
    """out[i, j] = queries[i] . rows[j], four rows at a time."""
    dim = np.uint64(queries.shape[1])
    n = np.uint64(rows.shape[0])
    whole = n - n % np.uint64(4)
    x, y = queries.reshape(-1), rows.reshape(-1)
    for i in range(np.uint64(queries.shape[0])):
        q = i * dim
        for j in range(np.uint64(0), whole, np.uint64(4)):
            a = b = c = d = np.float32(0)
            r = j * dim
            for f in range(dim):
                v = x[q + f]
                a += v * y[r + f]
                b += v * y[r + dim + f]
                c += v * y[r + dim + dim + f]
                d += v * y[r + dim + dim + dim + f]
            out[i, j] = a
            out[i, j + np.uint64(1)] = b
            out[i, j + np.uint64(2)] = c
            out[i, j + np.uint64(3)] = d
        for j in range(whole, n):
            a = np.float32(0)
            for f in range(dim):
                a += x[q + f] * y[j * dim + f]
            out[i, j] = a


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _screen(queries, rows):
    """queries (m, dim) . rows (n, dim), shape (m, n)."""
    out = np.empty((queries.shape[0], rows.shape[0]), dtype=np.float32)
    if queries.shape[0] < _MANY:
        _products(queries, rows, out)
    else:
        np.dot(queries, rows.T, out)
    return out


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _allowed_positions(first, last, slots, allowed, out):
    """Positions in [first, last) that are allowed; returns how many."""
    n = 0
    for i in range(first, last):
        out[n] = i
        n += allowed[slots[i]] != 0
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def scan_vectors(
    queries, lists, ends, starts, sizes, slots, vectors, half_square, allowed, offset, heap_score, heap_slot
):
    """Update each query's heap with the entries of the lists that it probes.

    queries (q, dim); lists and ends: as `choose_lists` gives them. starts, sizes: of the lists. slots (n,), vectors
    (n, dim), half_square (n,) |y|^2 / 2 or, but for Euclidean distance, (0,): of the entries. allowed: uint8, one a
    slot. offset (q, 2), heap_score and heap_slot (q, k): as in `keep_best_screened`.
    """
    dim = queries.shape[1]
    euclidean = half_square.shape[0] > 0
    of_list, ends_of = _by_list(lists, ends, starts.shape[0])
    at = np.empty(_ROWS, dtype=np.int64)
    some_slots = np.empty(_ROWS, dtype=np.int64)
    gathered = np.empty((_ROWS, dim), dtype=np.float32)
    for l in range(starts.shape[0]):
        begin = ends_of[l - 1] if l > 0 else 0
        which = of_list[begin : ends_of[l]]
        m = which.shape[0]
        if m == 0:
            continue
        together = np.empty((m if m >= _FEW else 0, dim), dtype=np.float32)
        for i in range(together.shape[0]):
            for f in range(dim):
                together[i, f] = queries[which[i], f]
        for first in range(starts[l], starts[l] + sizes[l], _ROWS):
            last = min(first + _ROWS, starts[l] + sizes[l])
            n = _allowed_positions(first, last, slots, allowed, at)
            if n == 0:
                continue
            if m < _FEW:
                for i in range(m):
                    _scan_one(
                        which[i], queries, at[:n], slots, vectors, half_square, offset, heap_score, heap_slot, euclidean
                    )
                continue
            rows = vectors[first:last]
            if n < last - first:
                rows = gathered[:n]
                for j in range(n):
                    row = vectors[at[j]]
                    for f in range(dim):
                        rows[j, f] = row[f]
            screen = _screen(together, rows)
            for j in range(n):
                some_slots[j] = slots[at[j]]
            if euclidean:
                for i in range(m):
                    for j in range(n):
                        screen[i, j] -= half_square[at[j]]
            keep_best_screened(
                screen, which, queries, rows, some_slots[:n], allowed, offset, euclidean, heap_score, heap_slot
            )


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _scan_one(query, queries, at, slots, vectors, half_square, offset, heap_score, heap_slot, euclidean):
    x = queries[query]
    score, slot = heap_score[query], heap_slot[query]
    limit = np.float32(offset[query, 0] * score[0] + offset[query, 1])
    for j in range(at.shape[0]):
        i = np.uint64(at[j])
        value = _product(x, vectors[i])
        if euclidean:
            value -= half_square[i]
        if value >= limit:
            s = exact_score(x, vectors[i], euclidean)
            if s > score[0] or (s == score[0] and slots[i] < slot[0]):
                replace_worst(score, slot, s, slots[i])
                limit = np.float32(offset[query, 0] * score[0] + offset[query, 1])


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _decode(codes, centre, codebooks, out):
    """The vectors (n, dim) that codes (n, M) stand for in the list of this centre; their copy in out[:n].

    Flat indices without a sign: with others the copy of a codeword takes four times as long.
    """
    n_parts, n_words, width = (
        np.uint64(codebooks.shape[0]),
        np.uint64(codebooks.shape[1]),
        np.uint64(codebooks.shape[2]),
    )
    words, flat = codebooks.reshape(-1), out.reshape(-1)
    dim = n_parts * width
    to = np.uint64(0)
    for j in range(np.uint64(codes.shape[0])):
        for m in range(n_parts):
            at = (m * n_words + np.uint64(codes[j, m])) * width
            here = to + m * width
            for f in range(width):
                flat[here + f] = words[at + f]
        for f in range(dim):
            flat[to + f] += centre[f]
        to += dim


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _tables(queries, of_list, ends_of, codebooks, first_list, last_list):
    """Tables of the queries that meet one of these lists in small company, and the number of each query's table.

    tables[t, m, b]: the product of codeword b of part m with that part of the query; all of a part are one product.
    """
    n_parts, n_words, width = codebooks.shape
    table_of = np.full(queries.shape[0], -1, dtype=np.int64)
    n = 0
    for l in range(first_list, last_list):
        begin = ends_of[l - 1] if l > 0 else 0
        if ends_of[l] - begin < _FEW:
            for i in range(begin, ends_of[l]):
                if table_of[of_list[i]] < 0:
                    table_of[of_list[i]] = n
                    n += 1
    tables = np.empty((n, n_parts, n_words), dtype=np.float32)
    of_part = np.empty((n, n_words), dtype=np.float32)
    part = np.empty((n, width), dtype=np.float32)
    for m in range(n_parts):
        for i in range(queries.shape[0]):
            if table_of[i] >= 0:
                for f in range(width):
                    part[table_of[i], f] = queries[i, m * width + f]
        np.dot(part, codebooks[m].T, of_part)
        for t in range(n):
            for b in range(n_words):
                tables[t, m, b] = of_part[t, b]
    return tables, table_of


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _looked_up(table, code):
    """Sum of table[m, code[m]] in two chains: one would wait for each addition before the next."""
    n = np.uint64(code.shape[0])
    one = np.uint64(1)
    even = odd = np.float32(0)
    for m in range(np.uint64(0), n - n % np.uint64(2), np.uint64(2)):
        even += table[m, np.uint64(code[m])]
        odd += table[m + one, np.uint64(code[m + one])]
    if n % np.uint64(2):
        even += table[n - one, np.uint64(code[n - one])]
    return even + odd


@njit(cache=True, nogil=True, error_model="numpy")
def decoded_half_squares(codes, labels, centres, codebooks, out):
    """|y|^2 / 2 of the vectors that codes (n, M) stand for in lists `labels`."""
    row = np.empty((1, centres.shape[1]), dtype=np.float32)
    for i in range(codes.shape[0]):
        _decode(codes[i : i + 1], centres[labels[i]], codebooks, row)
        out[i] = 0.5 * exact_score(row[0], row[0], False)


@njit(cache=True, nogil=True, error_model="numpy")
def scan_codes(
    queries, lists, ends, starts, sizes, slots, codes, half_square, allowed, offset, heap_score, heap_slot, centres,
    codebooks, first_list, last_list,
):  # fmt: skip
    """`scan_vectors` on codes (n, M) in some of the lists: a vector is its list's centre and its codewords.

    Where several queries meet a list its entries are decoded once, for a matrix product; else entries are scored from
    a table of the query's products with all codewords. Either way this only screens.
    """
    dim = queries.shape[1]
    euclidean = half_square.shape[0] > 0
    of_list, ends_of = _by_list(lists, ends, starts.shape[0])
    at = np.empty(_ROWS, dtype=np.int64)
    some_slots = np.empty(_ROWS, dtype=np.int64)
    decoded = np.empty((_ROWS, dim), dtype=np.float32)
    some_codes = np.empty((_ROWS, codes.shape[1]), dtype=np.uint8)
    tables, table_of = _tables(queries, of_list, ends_of, codebooks, first_list, last_list)
    for l in range(first_list, last_list):
        begin = ends_of[l - 1] if l > 0 else 0
        which = of_list[begin : ends_of[l]]
        m = which.shape[0]
        if m == 0:
            continue
        together = np.empty((m if m >= _FEW else 0, dim), dtype=np.float32)
        for i in range(together.shape[0]):
            for f in range(dim):
                together[i, f] = queries[which[i], f]
        for first in range(starts[l], starts[l] + sizes[l], _ROWS):
            last = min(first + _ROWS, starts[l] + sizes[l])
            n = _allowed_positions(first, last, slots, allowed, at)
            if n == 0:
                continue
            if m < _FEW:
                for i in range(m):
                    _scan_one_coded(
                        which[i], queries, tables[table_of[which[i]]], at[:n], slots, codes, centres[l], codebooks,
                        half_square, offset, heap_score, heap_slot, decoded[:1], euclidean,
                    )  # fmt: skip
                continue
            some = codes[first:last]
            if n < last - first:
                some = some_codes[:n]
                for j in range(n):
                    some[j] = codes[at[j]]
            _decode(some, centres[l], codebooks, decoded)
            for j in range(n):
                some_slots[j] = slots[at[j]]
            screen = _screen(together, decoded[:n])
            if euclidean:
                for i in range(m):
                    for j in range(n):
                        screen[i, j] -= half_square[at[j]]
            keep_best_screened(
                screen, which, queries, decoded, some_slots[:n], allowed, offset, euclidean, heap_score, heap_slot
            )


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _scan_one_coded(
    query, queries, table, at, slots, codes, centre, codebooks, half_square, offset, heap_score, heap_slot, row,
    euclidean,
):  # fmt: skip
    x = queries[query]
    score, slot = heap_score[query], heap_slot[query]
    base = _product(x, centre)
    limit = np.float32(offset[query, 0] * score[0] + offset[query, 1])
    for j in range(at.shape[0]):
        i = np.uint64(at[j])
        code = codes[i]
        value = base + _looked_up(table, code)
        if euclidean:
            value -= half_square[i]
        if value >= limit:
            _decode(codes[at[j] : at[j] + 1], centre, codebooks, row)
            s = exact_score(x, row[0], euclidean)
            if s > score[0] or (s == score[0] and slots[i] < slot[0]):
                replace_worst(score, slot, s, slots[i])
                limit = np.float32(offset[query, 0] * score[0] + offset[query, 1])
