"""Labels that are wrong: put in on purpose, counted and found by confident learning."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import column_or_1d

from breadth.tabular.labels import class_codes

FilterRule = Literal["confident", "prune_by_class", "prune_by_noise_rate", "both"]
FILTERS = ("confident", "prune_by_class", "prune_by_noise_rate", "both")


def noise_matrix(n_classes: int, rate: float, kind: Literal["symmetric", "pair"] = "symmetric") -> NDArray[np.float64]:
    """T_ij = P(label j | class i): 1 - rate on the diagonal, the rest spread evenly, or all on the next class.

    Args:
        n_classes: classes, >= 2.
        rate: share of wrong labels, in [0, 1].
        kind: "symmetric" T_ij = rate / (K - 1); "pair" T_{i, i + 1 mod K} = rate.

    Returns:
        T, shape (classes, classes), rows summing to 1.

    Raises:
        ValueError: for fewer than 2 classes, a rate outside [0, 1], or another kind.

    Cost: O(K^2).
    References: Han et al. 2018, "Co-teaching", arXiv:1804.06872, section 4 and figure 2 (both matrices).
    Peer: closed form (B).
    In production: a symmetric rate of (K - 1) / K leaves nothing to learn, a pair rate of 1/2 neither.
    """
    if n_classes < 2:
        raise ValueError(f"n_classes must be >= 2, got {n_classes}")
    if not 0 <= rate <= 1:
        raise ValueError(f"rate must be in [0, 1], got {rate}")
    if kind not in ("symmetric", "pair"):
        raise ValueError(f"kind must be 'symmetric' or 'pair', got {kind!r}; other noise is a matrix of your own")
    one = np.eye(n_classes)
    wrong = np.roll(one, 1, axis=1) if kind == "pair" else (1 - one) / (n_classes - 1)
    return (1 - rate) * one + rate * wrong


def flip_labels(y: ArrayLike, noise: ArrayLike, *, random_state: int | np.random.RandomState | None = None) -> NDArray:
    """Labels drawn anew, row by row, from P(label | class): class-conditional noise.

    Args:
        y: right labels, shape (rows,).
        noise: T, shape (classes, classes), as of `noise_matrix`, in the order of the sorted labels.
        random_state: seed.

    Returns:
        Labels of the type of y, shape (rows,); a class may vanish.

    Raises:
        ValueError: if noise is no square matrix of as many classes, or its rows are no probabilities.

    Cost: O(rows classes).
    References: Natarajan et al. 2013, NIPS 26, section 2 (class-conditional noise); Northcutt, Jiang & Chuang 2021,
        arXiv:1911.00068, section 2.
    Peer: frequencies within their standard errors (B).
    In production: for experiments only; it says what a cleaner would find where the truth is known.
    """
    classes, codes = class_codes(column_or_1d(y))
    T = np.asarray(noise, np.float64)
    if T.shape != (len(classes), len(classes)) or (T < 0).any() or not np.allclose(T.sum(axis=1), 1):
        shape = (len(classes), len(classes))
        raise ValueError(f"noise must have the shape {shape}, entries >= 0 and rows that sum to 1, got {noise!r}")
    draw = check_random_state(random_state).random_sample(len(codes))
    told = (draw[:, None] >= np.cumsum(T, axis=1)[codes]).sum(axis=1)
    return classes[np.minimum(told, len(classes) - 1)]  # sums of probabilities round below 1


def confident_joint(y: ArrayLike, proba: ArrayLike) -> NDArray[np.int64]:
    """C_ij = |{x labelled i: p(j | x) >= t_j, and j is the likeliest class of those}|, t_j = mean p(j | x) of label j.

    Args:
        y: labels as class numbers, shape (rows,), each class at least once.
        proba: probabilities by a model that has not seen the row, shape (rows, classes).

    Returns:
        Counts of rows by label i and confident class j, shape (classes, classes); rows sure of no class are left out.

    Raises:
        ValueError: if shapes do not fit, proba is no probability, or a class has no row.

    Cost: O(rows classes).
    References: Northcutt, Jiang & Chuang 2021, arXiv:1911.00068, eqs. 1 and 2.
    Peer: the definition in plain loops, exactly (B).
    In production: take proba from cross-validation; in-sample ones agree with the labels, wrong or not.
    """
    codes, p = _checked(y, proba)
    k = p.shape[1]
    confident = _confident_class(codes, p)
    sure = confident >= 0
    return np.bincount(codes[sure] * k + confident[sure], minlength=k * k).reshape(k, k)


def estimate_joint(y: ArrayLike, proba: ArrayLike) -> NDArray[np.float64]:
    """Q_ij, estimated P(label i, class j): confident counts, rows scaled to the counts of labels, summing to 1.

    Args:
        y, proba: as of `confident_joint`.

    Returns:
        Q, shape (classes, classes); a label none of whose rows is sure counts as right.

    Raises:
        ValueError: as `confident_joint`.

    Cost: O(rows classes).
    References: Northcutt, Jiang & Chuang 2021, arXiv:1911.00068, eq. 3.
    Peer: the definition in plain loops, 1e-12 (B).
    In production: Q's off-diagonal mass is the share of wrong labels; its rows say which classes are confused.
    """
    codes, p = _checked(y, proba)
    counts = confident_joint(codes, p).astype(np.float64)
    empty = counts.sum(axis=1) == 0
    counts[empty, empty] = 1
    counts *= (np.bincount(codes, minlength=p.shape[1]) / counts.sum(axis=1))[:, None]
    return counts / counts.sum()


def find_label_issues(
    y: ArrayLike, proba: ArrayLike, *, filter_by: FilterRule = "prune_by_noise_rate"
) -> NDArray[np.bool_]:
    """Rows whose label is likely wrong.

    "confident": rows off the diagonal of `confident_joint`; "prune_by_class": of each label i the n Q_{i, not i} rows
    with least p(i | x); "prune_by_noise_rate": of each pair i, j the n Q_ij rows labelled i with greatest
    p(j | x) - p(i | x); "both": those in which the latter two agree.

    Args:
        y, proba: as of `confident_joint`.
        filter_by: the rule.

    Returns:
        True where the label is likely wrong, shape (rows,); never all rows of a label.

    Raises:
        ValueError: for another rule, or as `confident_joint`.

    Cost: O(rows classes log rows).
    Deviations: counts are rounded down; of a label at least one row stays.
    References: Northcutt, Jiang & Chuang 2021, arXiv:1911.00068, section 3.2 (methods 2 to 5).
    Peer: the definition in plain loops, exactly (B).
    In production: look at what is found, surest first, before throwing it away.
    """
    if filter_by not in FILTERS:
        raise ValueError(f"filter_by must be one of {', '.join(FILTERS)}, got {filter_by!r}")
    codes, p = _checked(y, proba)
    n, k = p.shape
    own = p[np.arange(n), codes]
    wrong = np.zeros(n, bool)
    if filter_by == "confident":
        confident = _confident_class(codes, p)
        wrong = (confident >= 0) & (confident != codes)
    elif filter_by == "both":
        wrong = find_label_issues(codes, p, filter_by="prune_by_class") & find_label_issues(codes, p)
    else:
        expected = np.floor(estimate_joint(codes, p) * n + 1e-9).astype(np.int64)  # whole numbers round below
        for i in range(k):
            rows = np.flatnonzero(codes == i)
            if filter_by == "prune_by_class":
                n_wrong = expected[i].sum() - expected[i, i]
                wrong[rows[np.argsort(own[rows], kind="stable")[:n_wrong]]] = True
            else:
                for j in np.flatnonzero(np.arange(k) != i):
                    gap = own[rows] - p[rows, j]
                    wrong[rows[np.argsort(gap, kind="stable")[: expected[i, j]]]] = True
    for i in range(k):
        rows = np.flatnonzero(codes == i)
        if wrong[rows].all():
            wrong[rows[own[rows].argmax()]] = False
    return wrong


def _confident_class(codes: NDArray, p: NDArray) -> NDArray[np.int64]:
    """The likeliest class of those at or above their thresholds, -1 where none is."""
    limit = np.array([p[codes == j, j].mean() for j in range(p.shape[1])])
    above = np.where(p >= limit - 1e-12, p, -1.0)  # a mean of equal numbers rounds
    best = above.argmax(axis=1)
    return np.where(above[np.arange(len(p)), best] >= 0, best, -1)


def _checked(y: ArrayLike, proba: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    codes, p = np.asarray(y), np.asarray(proba, np.float64)
    if p.ndim != 2 or codes.shape != (len(p),) or not (p >= 0).all() or not np.allclose(p.sum(axis=1), 1, atol=1e-6):
        raise ValueError(
            f"proba must be probabilities (rows, classes) and y class numbers (rows,), got {p.shape} and {codes.shape}"
        )
    if codes.dtype.kind not in "iu" or not np.array_equal(np.unique(codes), np.arange(p.shape[1])):
        raise ValueError(
            f"y must be class numbers 0 .. {p.shape[1] - 1}, each at least once, as the columns of proba are; "
            f"got {np.unique(codes)!r}"
        )
    return codes.astype(np.int64), p
