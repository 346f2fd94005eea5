"""What naive Bayes on counts shares: sums a class, smoothing, priors and the labels of a stream."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import _check_sample_weight

from breadth.blas import one_thread
from breadth.tabular.labels import class_codes, shown

FLOATS = (np.float64, np.float32)  # dtypes that are taken as they are; others become float64
_BLOCK_ENTRIES = 1 << 18  # numbers worked on at a time: they stay in the second-level cache
_CHUNK_ENTRIES = 1 << 22  # stored entries of sparse rows counted at a time, which bounds the memory
_LEAST_ALPHA = 1e-10  # scikit-learn's


def row_blocks(n_rows: int, n_columns: int) -> list[slice]:
    """Consecutive rows, as many at a time as stay in cache."""
    step = max(1, _BLOCK_ENTRIES // max(n_columns, 1))
    return [slice(start, start + step) for start in range(0, n_rows, step)]


def sums_by_class(
    X: Any, codes: NDArray, weight: NDArray | None, n_classes: int, *, counts_for: str = ""
) -> NDArray[np.float64]:
    """Weighted sum of the rows of each class, float64 (classes, features), of dense or CSR rows.

    Args:
        X: shape (rows, features).
        codes: class of each row.
        weight: of each row; None means 1.
        n_classes: how many there are.
        counts_for: whose counts these are: a negative one is then an error that says so. "" takes any numbers.
    """
    n, p = X.shape
    total = np.zeros((n_classes, p))
    if not sp.issparse(X):
        classes = np.arange(n_classes)[:, None]
        with one_thread():  # a block is too little work to share
            for rows in row_blocks(n, p):
                block = X[rows]
                if counts_for:
                    check_counts(block, counts_for)
                indicator = (codes[rows] == classes).astype(np.float64)  # (K, B)
                if weight is not None:
                    indicator *= weight[rows]
                total += indicator @ block.astype(np.float64, copy=False)
        return total
    if counts_for:
        check_counts(X, counts_for)
    step = max(1, int(n * _CHUNK_ENTRIES / max(X.nnz, _CHUNK_ENTRIES)))
    for start in range(0, n, step):
        part = X[start : start + step] if step < n else X
        lengths = np.diff(part.indptr)
        cell = np.repeat(codes[start : start + step] * p, lengths)  # (entries,): where an entry belongs in total
        cell += part.indices
        value = part.data if weight is None else part.data * np.repeat(weight[start : start + step], lengths)
        total += np.bincount(cell, weights=value, minlength=n_classes * p).reshape(n_classes, p)
    return total


def check_counts(X: Any, name: str) -> None:
    """Raise a ValueError unless no entry is negative."""
    values = X.data if sp.issparse(X) else X
    if values.size and values.min() < 0:
        where = sp.coo_matrix(X).col[X.data.argmin()] if sp.issparse(X) else np.unravel_index(X.argmin(), X.shape)[1]
        raise ValueError(
            f"Negative values in data passed to {name}: {values.min():g} in column {where}; it takes counts or "
            "frequencies >= 0 (GaussianNB takes any real numbers)"
        )


def check_smoothing(alpha: float | ArrayLike, n_features: int) -> None:
    """Raise a ValueError unless alpha is a number >= 0, or one for each feature."""
    given = np.asarray(alpha, dtype=np.float64)
    if given.ndim and given.shape != (n_features,):
        raise ValueError(f"alpha must be a number or one for each of {n_features} features, got shape {given.shape}")
    if not (given >= 0).all():
        raise ValueError(f"alpha must be >= 0, got {alpha!r}")


def smoothing(alpha: float | ArrayLike, force_alpha: bool) -> NDArray[np.float64]:
    """The pseudo-counts that are added: alpha, and without force_alpha at least 1e-10."""
    given = np.asarray(alpha, dtype=np.float64)
    return given if force_alpha else np.maximum(given, _LEAST_ALPHA)


def check_prior(class_prior: ArrayLike | None, classes: NDArray) -> None:
    """Raise a ValueError unless class_prior is None or a distribution over the classes."""
    if class_prior is None:
        return
    prior = np.asarray(class_prior, dtype=np.float64)
    if prior.shape != classes.shape:
        raise ValueError(f"class_prior must hold one number for each of {len(classes)} classes, got {class_prior!r}")
    if not (prior >= 0).all() or not np.isclose(prior.sum(), 1.0):
        raise ValueError(f"class_prior must be >= 0 with sum 1, got {class_prior!r} with sum {prior.sum():g}")


def log_prior(class_count: NDArray, fit_prior: bool, class_prior: ArrayLike | None) -> NDArray[np.float64]:
    """Logarithm of the prior of each class: given, or the classes' shares, or even; -inf for a prior of 0."""
    if class_prior is not None:
        prior = np.asarray(class_prior, dtype=np.float64)
    else:
        prior = class_count / class_count.sum() if fit_prior else np.full(len(class_count), 1.0 / len(class_count))
    return np.log(prior, out=np.full(len(prior), -np.inf), where=prior > 0)


def declared_classes(classes: ArrayLike | None, seen: NDArray | None) -> NDArray:
    """The sorted classes that partial_fit works with: those of its first call, which later calls may repeat."""
    given = None if classes is None else np.unique(np.asarray(classes))
    if seen is None:
        if given is None:
            raise ValueError("classes must be given at the first call of partial_fit: every label that will occur")
        return given
    if given is not None and not np.array_equal(given, seen):
        raise ValueError(f"classes={classes!r} differs from those of the first call of partial_fit: {seen!r}")
    return seen


def codes_among(y: NDArray, classes: NDArray) -> NDArray[np.int64]:
    """The number of each row's label among the sorted classes."""
    class_codes(y)
    codes = np.searchsorted(classes, y)
    unknown = classes[np.minimum(codes, len(classes) - 1)] != y
    if unknown.any():
        raise ValueError(f"y holds labels that are not among classes {classes!r}: {np.unique(y[unknown])!r}")
    return codes


def counted(
    codes: NDArray, X: Any, sample_weight: ArrayLike | None, seen: NDArray[np.float64]
) -> tuple[NDArray | None, NDArray[np.float64]]:
    """The rows' weights, and the weight of each class with these rows added to what was seen."""
    weight = None
    if sample_weight is not None:
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    total = seen + np.bincount(codes, weights=weight, minlength=len(seen))
    if total.sum() == 0:
        raise ValueError("sample_weight is 0 in every row: at least one weight must be positive")
    return weight, total


def log_of_counts(smoothed: NDArray, classes: NDArray, prior: NDArray, what: str) -> NDArray[np.float64]:
    """log of smoothed counts, (classes, features); a 0 in a class that can occur is an error, for 0 log 0 follows."""
    bare = np.argwhere((smoothed <= 0) & np.isfinite(prior)[:, None])
    if len(bare):
        c, j = bare[0]
        raise ValueError(
            f"column {j} {what} class {shown(classes[c])} and alpha is 0 there: a row that has it would have "
            "probability 0 in every such class; give alpha > 0 (1e-10 for next to none), or drop the column"
        )
    return np.log(smoothed, out=np.zeros_like(smoothed), where=smoothed > 0)


def linear_joint(X: Any, weights: NDArray, constant: NDArray) -> NDArray[np.float64]:
    """weights x + constant, shape (classes, rows): reductions over classes run along whole rows of it."""
    if sp.issparse(X):
        return np.ascontiguousarray((X @ np.ascontiguousarray(weights.T) + constant).T)
    joint = np.empty((len(weights), len(X)))
    for rows in row_blocks(*X.shape):
        joint[:, rows] = weights @ X[rows].astype(np.float64, copy=False).T
    joint += constant[:, None]
    return joint
