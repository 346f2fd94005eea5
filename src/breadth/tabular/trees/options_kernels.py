"""Split searches that a fit needs only when asked: categories, monotone constraints, a random subset of features."""

from __future__ import annotations

import numpy as np
from numba import njit

from breadth.tabular.trees.split_kernels import ordered_split
from breadth.tabular.trees.workspace import CATEGORICAL

CATEGORY_SMOOTHING = 10.0  # added to a category's hessian before categories are ordered: rare ones go to the middle
CATEGORY_L2 = 10.0  # added to l2 for categorical splits: a subset has many more ways to fit noise than a threshold
CATEGORY_MIN_ROWS = 10.0  # rarer categories are not ordered; they go right


@njit(nogil=True, cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def choose_features(seed, node, n_tried, tried):
    """Mark `n_tried` features of this node, uniformly without replacement (selection sampling, SplitMix64)."""
    n_features = tried.shape[0]
    state = np.uint64(seed) + np.uint64(node + 1) * np.uint64(0x9E3779B97F4A7C15)
    wanted = n_tried
    for f in range(n_features):
        state += np.uint64(0x9E3779B97F4A7C15)
        z = state
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
        uniform = np.float64(z >> np.uint64(11)) * (1.0 / (1 << 53))
        tried[f] = 0
        if uniform * (n_features - f) < wanted:
            tried[f] = 1
            wanted -= 1


@njit(nogil=True, cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def categorical_split(pool, at, n_bins, missing, G, H, rows_per_hessian, limits, ratio, found, category_set):
    """Best subset split of one categorical feature.

    Categories ordered by gradient / hessian contain the best subset as a prefix (Fisher 1958); rare categories follow
    neither side's order and go right, and so does every category that training did not see. The missing rows are one
    more category.
    """
    gradient_unit = limits[0]
    hessian_unit = limits[1]
    min_rows = limits[2]
    min_hessian = limits[3]
    l2 = limits[4] + CATEGORY_L2
    n_codes = n_bins + 1 if missing else n_bins
    order = np.empty(n_codes, np.int64)
    n_ordered = 0
    for c in range(n_codes):
        h = np.float64(pool[at + c] & 0xFFFFFFFF) * hessian_unit
        if h * rows_per_hessian < CATEGORY_MIN_ROWS:
            continue
        ratio[c] = np.float64(pool[at + c] >> 32) * gradient_unit / (h + CATEGORY_SMOOTHING)
        k = n_ordered
        while k > 0 and ratio[order[k - 1]] > ratio[c]:
            order[k] = order[k - 1]
            k -= 1
        order[k] = c
        n_ordered += 1
    found[0] = -1.0
    best_count = 0
    for backward in range(2):
        v = np.int64(0)
        for k in range(n_ordered):
            v += pool[at + order[n_ordered - 1 - k if backward == 1 else k]]
            GL = np.float64(v >> 32) * gradient_unit
            HL = np.float64(v & 0xFFFFFFFF) * hessian_unit
            HR = H - HL
            if (
                min_hessian > HL
                or min_hessian > HR
                or HL * rows_per_hessian < min_rows
                or HR * rows_per_hessian < min_rows
            ):
                continue
            gain = GL * GL / (HL + l2) + (G - GL) * (G - GL) / (HR + l2)
            if gain > found[0]:
                found[0] = gain
                found[2] = backward
                found[4] = GL
                found[5] = HL
                best_count = k + 1
    for k in range(4):
        category_set[k] = 0
    for k in range(best_count):
        c = order[n_ordered - 1 - k if found[2] == 1.0 else k]
        category_set[c >> 6] |= np.uint64(1) << np.uint64(c & 63)
    found[3] = 0.0
    if missing and (category_set[n_bins >> 6] >> np.uint64(n_bins & 63)) & np.uint64(1):
        found[3] = 1.0


@njit(nogil=True, cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def monotone_split(pool, at, n_bins, missing, G, H, rows_per_hessian, limits, sign, lower, upper, found):
    """Best threshold split whose leaf values keep within [lower, upper] and stand in the order that `sign` asks for."""
    gradient_unit = limits[0]
    hessian_unit = limits[1]
    min_rows = limits[2]
    min_hessian = limits[3]
    l2 = limits[4]
    absent = pool[at + n_bins] if missing else np.int64(0)
    found[0] = -1.0
    for missing_left in range(2 if missing else 1):
        v = absent if missing_left == 1 else np.int64(0)
        stop = n_bins if missing and missing_left == 0 else n_bins - 1
        for c in range(stop):
            v += pool[at + c]
            GL = np.float64(v >> 32) * gradient_unit
            HL = np.float64(v & 0xFFFFFFFF) * hessian_unit
            GR = G - GL
            HR = H - HL
            if (
                min_hessian > HL
                or min_hessian > HR
                or HL * rows_per_hessian < min_rows
                or HR * rows_per_hessian < min_rows
            ):
                continue
            left = min(max(-GL / (HL + l2), lower), upper)
            right = min(max(-GR / (HR + l2), lower), upper)
            if sign * (right - left) < 0:
                continue
            gain = -(2 * GL * left + (HL + l2) * left * left + 2 * GR * right + (HR + l2) * right * right)
            if gain > found[0]:
                found[0] = gain
                found[2] = c
                found[3] = missing_left
                found[4] = GL
                found[5] = HL


def search_any(
    group, width, pool, at, stride, n_bins, has_missing, tried, kind, leaf, limits, cumulative, gain, found, found_set,
    best, best_set,
):  # fmt: skip
    """`search_ordered` where some features are categorical or constrained."""
    best[0] = -1.0
    rows_per_hessian = leaf[2] / leaf[1]
    for f in range(group * width, min(group * width + width, n_bins.shape[0])):
        if tried[f] == 0:
            continue
        here = at + (f - group * width) * stride
        missing = has_missing[f] == 1
        if kind[f] == CATEGORICAL:
            categorical_split(
                pool, here, n_bins[f], missing, leaf[0], leaf[1], rows_per_hessian, limits, gain, found, found_set
            )
        elif leaf[3] > -np.inf or leaf[4] < np.inf or kind[f] != 0:
            monotone_split(
                pool, here, n_bins[f], missing, leaf[0], leaf[1], rows_per_hessian, limits, kind[f], leaf[3], leaf[4],
                found,
            )  # fmt: skip
        else:
            ordered_split(
                pool, here, n_bins[f], missing, leaf[0], leaf[1], rows_per_hessian, limits, cumulative, gain, found
            )
        if found[0] > best[0]:
            found[1] = f
            for k in range(6):
                best[k] = found[k]
            for k in range(4):
                best_set[k] = found_set[k]
