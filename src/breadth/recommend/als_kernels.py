"""Kernels of alternating least squares: the best factors of one side while the other side's stay."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, fastmath=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _add_entries(indices, value, start, stop, y, direction, constant, sign, out):
    """out += sum_i (constant c_i p_i + sign (c_i - 1) y_i . direction) y_i over the entries of one row.

    Four entries a pass, which share the loads of direction and out; at the end the last one stands in with weight 0.
    """
    k = direction.shape[0]
    zero = direction.dtype.type(0)
    one = direction.dtype.type(1)
    for at in range(start, stop, 4):
        at1, at2, at3 = min(at + 1, stop - 1), min(at + 2, stop - 1), min(at + 3, stop - 1)
        y0, y1, y2, y3 = y[indices[at]], y[indices[at1]], y[indices[at2]], y[indices[at3]]
        s0, s1, s2, s3 = zero, zero, zero, zero
        for f in range(k):
            s0 += y0[f] * direction[f]
            s1 += y1[f] * direction[f]
            s2 += y2[f] * direction[f]
            s3 += y3[f] * direction[f]
        v0, v1, v2, v3 = value[at], value[at1], value[at2], value[at3]
        s0 = constant * max(v0, zero) + sign * (abs(v0) - one) * s0
        s1 = constant * max(v1, zero) + sign * (abs(v1) - one) * s1 if at + 1 < stop else zero
        s2 = constant * max(v2, zero) + sign * (abs(v2) - one) * s2 if at + 2 < stop else zero
        s3 = constant * max(v3, zero) + sign * (abs(v3) - one) * s3 if at + 3 < stop else zero
        for f in range(k):
            out[f] += (s0 * y0[f] + s1 * y1[f]) + (s2 * y2[f] + s3 * y3[f])


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def conjugate_gradient(first, last, indptr, indices, value, x, y, steps):
    """A few steps of conjugate gradients on the normal equations of rows first to last - 1, from where they stand.

    Row u solves (I + sum_i (c_ui - 1) y_i y_i') x_u = sum_i c_ui p_ui y_i over its stored entries, c = |value| and
    p = 1 where the value is positive. A row without entries becomes 0, which is its solution.

    indptr, indices, value: CSR, value of x's dtype. x (n, k): changed in place. y (m, k).
    """
    k = x.shape[1]
    zero = x.dtype.type(0)
    one = x.dtype.type(1)
    residual = np.empty(k, x.dtype)
    direction = np.empty(k, x.dtype)
    image = np.empty(k, x.dtype)
    for u in range(first, last):
        start, stop = indptr[u], indptr[u + 1]
        point = x[u]
        if start == stop:
            point[:] = zero
            continue
        for f in range(k):
            residual[f] = -point[f]
        _add_entries(indices, value, start, stop, y, point, one, -one, residual)
        length = zero
        for f in range(k):
            direction[f] = residual[f]
            length += residual[f] * residual[f]
        for _ in range(steps):
            for f in range(k):
                image[f] = direction[f]
            _add_entries(indices, value, start, stop, y, direction, zero, one, image)
            curvature = zero
            for f in range(k):
                curvature += direction[f] * image[f]
            if not (length > zero and curvature > zero):
                break
            step = length / curvature
            rest = zero
            for f in range(k):
                point[f] += step * direction[f]
                residual[f] -= step * image[f]
                rest += residual[f] * residual[f]
            for f in range(k):
                direction[f] = residual[f] + rest / length * direction[f]
            length = rest


@njit(cache=True, nogil=True, error_model="numpy")
def least_squares(first, last, indptr, indices, weight, target, x, y, base, ridge):
    """Normal equations of rows first to last - 1 by Cholesky.

    Row u solves (B + ridge n_u I + sum_i w_ui y_i y_i') x_u = sum_i t_ui y_i over its stored entries.

    weight, target: one number a stored entry. base B (k, k), float64. n_u: stored entries of the row; a row without any
    becomes 0. x (n, k): overwritten. Returns the number of rows whose matrix is not positive definite; they become 0.
    """
    k = x.shape[1]
    failed = 0
    matrix = np.empty((k, k))
    vector = np.empty(k)
    for u in range(first, last):
        start, stop = indptr[u], indptr[u + 1]
        for f in range(k):
            for g in range(f + 1):
                matrix[f, g] = base[f, g]
            matrix[f, f] += ridge * (stop - start)
            vector[f] = 0.0
        for at in range(start, stop):
            other = y[indices[at]]
            w, t = np.float64(weight[at]), np.float64(target[at])
            for f in range(k):
                scaled = w * other[f]
                vector[f] += t * other[f]
                for g in range(f + 1):
                    matrix[f, g] += scaled * other[g]
        solved = start < stop and _solve_positive(matrix, vector)
        failed += start < stop and not solved
        for f in range(k):
            x[u, f] = vector[f] if solved else 0.0
    return failed


@njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _solve_positive(matrix, vector):
    """Replace vector by the solution, matrix by its Cholesky factor (lower); False if it is not positive definite."""
    k = vector.shape[0]
    for f in range(k):
        for g in range(f):
            total = matrix[f, g]
            for h in range(g):
                total -= matrix[f, h] * matrix[g, h]
            matrix[f, g] = total / matrix[g, g]
        pivot = matrix[f, f]
        for h in range(f):
            pivot -= matrix[f, h] * matrix[f, h]
        if not pivot > 0.0:
            return False
        matrix[f, f] = np.sqrt(pivot)
    for f in range(k):
        total = vector[f]
        for g in range(f):
            total -= matrix[f, g] * vector[g]
        vector[f] = total / matrix[f, f]
    for f in range(k - 1, -1, -1):
        total = vector[f]
        for g in range(f + 1, k):
            total -= matrix[g, f] * vector[g]
        vector[f] = total / matrix[f, f]
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def entry_scores(first, last, indptr, indices, x, y, out):
    """x_u . y_i of every stored entry of rows first to last - 1, in float64: out (entries,)."""
    for u in range(first, last):
        for at in range(indptr[u], indptr[u + 1]):
            other = y[indices[at]]
            total = 0.0
            for f in range(x.shape[1]):
                total += np.float64(x[u, f]) * np.float64(other[f])
            out[at] = total
