"""Scores of one column at a time against a target: correlation, analysis of variance, chi-square, information."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy import special
from scipy.spatial import cKDTree
from sklearn.utils import check_array, check_random_state, check_X_y

from breadth.blas import one_thread
from breadth.compilation import announced
from breadth.stats.information import mutual_information_of_samples
from breadth.tabular.bayes.class_counts import row_blocks, sums_by_class
from breadth.tabular.labels import class_codes
from breadth.tabular.selection.scores_kernels import counts_within, kth_distances

Scores = NDArray[np.float64]
_CONSTANT = 16 * np.finfo(np.float64).eps  # spread below this share of a column's size is rounding


def r_regression(X: Any, y: ArrayLike, *, center: bool = True, force_finite: bool = True) -> Scores:
    """Pearson's correlation of each column with y: sum (x - mean)(y - mean) / (|x - mean| |y - mean|).

    Args:
        X: shape (rows, columns), dense or sparse.
        y: numbers, shape (rows,).
        center: subtract means; otherwise the cosine.
        force_finite: 0 for a constant column or target; otherwise NaN.

    Returns:
        Shape (columns,), in [-1, 1].

    Raises:
        ValueError: if X or y holds NaN or infinity, or their lengths differ.

    Cost: one pass over X. Columns are shifted near their means before products are taken, so that a far mean costs no
        digits (but for sparse X, which stays sparse).
    References: Pearson 1896, Phil. Trans. R. Soc. A 187; Guyon & Elisseeff 2003, JMLR 3, eq. 2.
    Peer: sklearn.feature_selection.r_regression, float64, 1e-12 (A).
    In production: use it to rank columns by straight-line dependence; mutual information sees bent ones.
    """
    X, y = check_X_y(X, y, accept_sparse=["csr", "csc"], dtype=np.float64, y_numeric=True)
    target = y - y.mean() if center else y
    if center:
        target = target - target.mean()
    n, p = X.shape
    if sp.issparse(X):
        product = X.T @ target
        square = np.asarray(X.multiply(X).sum(axis=0)).ravel()
        size2 = square.copy()
        if center:
            square -= np.asarray(X.sum(axis=0)).ravel() ** 2 / n
    else:
        shift = _rough_mean(X) if center else np.zeros(p)
        sums, square = np.zeros((2, p)), np.zeros(p)
        both = np.stack([target, np.ones(n)])
        with one_thread():  # a block is too little work to share
            for rows in row_blocks(n, p):
                Z = X[rows] - shift
                sums += both[:, rows] @ Z
                square += np.einsum("ij,ij->j", Z, Z)
        product = sums[0]
        size2 = square + n * shift**2
        if center:
            square = square - sums[1] ** 2 / n
    # the mean of a constant column may be off by eps of its size, and so every entry
    square = np.where(square > _CONSTANT**2 * size2, square, 0.0)
    length = np.sqrt(square) * np.linalg.norm(target if np.ptp(y) > 0 or not center else 0.0)
    without_spread = np.full(p, 0.0 if force_finite else np.nan)
    return np.clip(np.divide(product, length, out=without_spread, where=length > 0), -1.0, 1.0)


def f_regression(X: Any, y: ArrayLike, *, center: bool = True, force_finite: bool = True) -> tuple[Scores, Scores]:
    """F of a straight line through one column at a time: r^2 / (1 - r^2) x (n - 2), and its p-value.

    Args:
        X: shape (rows, columns), dense or sparse.
        y: numbers, shape (rows,).
        center: estimate an intercept; without, n - 1 degrees of freedom.
        force_finite: 0 for a constant column and the largest float for an exact line; otherwise NaN and infinity.

    Returns:
        F, shape (columns,), and p-values.

    Raises:
        ValueError: as r_regression, or there are fewer than 3 rows (2 without `center`).

    Cost: as r_regression.
    References: Hastie, Tibshirani & Friedman 2009, The Elements of Statistical Learning, eq. 3.13.
    Peer: sklearn.feature_selection.f_regression and scipy.stats.linregress, float64, 1e-9 (A).
    In production: it ranks as |r| does; the p-values are those of as many tests as there are columns.
    """
    r = r_regression(X, y, center=center, force_finite=force_finite)
    df = len(np.asarray(y)) - (2 if center else 1)
    if df < 1:
        raise ValueError(f"X has {df + 2 if center else df + 1} rows: an F statistic needs at least {4 - df - 1 + df}")
    square = r**2
    rest = 1.0 - square
    exact = np.where(np.isnan(r), np.nan, np.finfo(np.float64).max if force_finite else np.inf)
    F = np.divide(square * df, rest, out=exact, where=rest > 0)
    return F, special.fdtrc(1, df, F)


def f_classif(X: Any, y: ArrayLike) -> tuple[Scores, Scores]:
    """F of a one-way analysis of variance of each column: mean square between classes / mean square within.

    Args:
        X: shape (rows, columns), dense or sparse.
        y: class labels, shape (rows,).

    Returns:
        F, shape (columns,), 0 for a constant column and the largest float where no class spreads, and p-values.

    Raises:
        ValueError: if X holds NaN or infinity, y has one class, or no more rows than classes.

    Cost: one pass over X. Columns are shifted near their means (but for sparse X), so that a far mean costs no digits.
    Deviations: scikit-learn warns and returns NaN for a constant column, and sums squares uncentred.
    References: Fisher 1925, Statistical Methods for Research Workers, section 40; Casella & Berger 2002,
        theorem 11.2.8.
    Peer: sklearn.feature_selection.f_classif and scipy.stats.f_oneway, float64, 1e-9 (A).
    In production: use it to rank columns by how far apart the classes' means are; for counts use chi2.
    """
    X, y = check_X_y(X, y, accept_sparse="csr", dtype=[np.float64, np.float32])
    _, codes = class_codes(y)
    counts = np.bincount(codes)
    n, p = X.shape
    K = len(counts)
    if K < 2 or n <= K:
        raise ValueError(f"y has {K} classes in {n} rows: at least 2 classes and more rows than classes are needed")
    if sp.issparse(X):
        centre = np.zeros(p)
        sums = sums_by_class(X, codes, None, K)
        square = np.asarray(X.multiply(X).sum(axis=0)).ravel().astype(np.float64)
    else:
        centre = _rough_mean(X)
        sums, square = np.zeros((K, p)), np.zeros(p)
        classes = np.arange(K)[:, None]
        with one_thread():
            for rows in row_blocks(n, p):
                Z = X[rows] - centre
                sums += (codes[rows] == classes).astype(np.float64) @ Z
                square += np.einsum("ij,ij->j", Z, Z)
    size2 = square + n * centre**2
    total = sums.sum(axis=0)
    between = np.sum(sums**2 / counts[:, None], axis=0) - total**2 / n
    within = square - total**2 / n - between
    varies = square - total**2 / n > _CONSTANT**2 * size2
    largest = np.finfo(np.float64).max
    within = np.where(within > 4 * np.finfo(np.float64).eps * square, within, 0.0)
    ratio = np.divide(between * (n - K), within * (K - 1), out=np.full(p, largest), where=within > 0)
    F = np.where(varies, np.maximum(ratio, 0.0), 0.0)
    return F, special.fdtrc(K - 1, n - K, F)


def chi2(X: Any, y: ArrayLike) -> tuple[Scores, Scores]:
    """Chi-square of each column of counts against the classes: sum_c (O_c - E_c)^2 / E_c.

    O_c is the sum of the column in class c, E_c its whole sum times the class's share of rows.

    Args:
        X: counts or frequencies >= 0, shape (rows, columns), dense or sparse.
        y: class labels, shape (rows,).

    Returns:
        Chi-square, shape (columns,), 0 for a column of zeros, and p-values with classes - 1 degrees of freedom.

    Raises:
        ValueError: if X holds a negative number, NaN or infinity.

    Cost: one pass over X.
    Deviations: scikit-learn returns NaN for a column of zeros.
    References: Pearson 1900, Phil. Mag. 50(302); Manning, Raghavan & Schütze 2008, Introduction to Information
        Retrieval, section 13.5.2.
    Peer: sklearn.feature_selection.chi2, float64, 1e-12 (A).
    In production: use it for words and other counts; of a real column it depends on the unit, so use f_classif there.
    """
    X = check_array(X, accept_sparse="csr", dtype=(np.float64, np.float32))
    labels = np.asarray(y)
    _, codes = class_codes(labels)
    if len(codes) != X.shape[0]:
        raise ValueError(f"X has {X.shape[0]} rows and y has {len(codes)}: they must be the same rows")
    share = np.bincount(codes) / len(codes)
    observed = sums_by_class(X, codes, None, len(share), counts_for="chi2")
    expected = share[:, None] * observed.sum(axis=0)
    statistic = np.sum(
        np.divide((observed - expected) ** 2, expected, out=np.zeros_like(observed), where=expected > 0), axis=0
    )
    return statistic, special.chdtrc(len(share) - 1, statistic)


def mutual_info_classif(
    X: Any,
    y: ArrayLike,
    *,
    discrete_features: bool | ArrayLike | Literal["auto"] = "auto",
    n_neighbors: int = 3,
    copy: bool = True,
    random_state: int | np.random.RandomState | None = None,
    n_jobs: int | None = None,
) -> Scores:
    """Mutual information of each column with the classes, in nats.

    A discrete column by counts; a continuous one by Ross's estimate: psi(n) + mean[psi(k) - psi(n_c) - psi(m)], with m
    the rows of any class nearer than the k-th nearest of the row's own class.

    Args:
        X: shape (rows, columns), dense; sparse if every column is discrete.
        y: class labels, shape (rows,).
        discrete_features: which columns are discrete: all, none, a mask or indices; "auto" is all if X is sparse.
        n_neighbors: k, >= 1; more lowers variance and raises bias.
        copy, n_jobs: not read, because X is never written to and a line is sorted sooner than shared; present so that
            calls written for scikit-learn run.
        random_state: of the noise, 1e-10 of a column's size, that parts equal values.

    Returns:
        Shape (columns,), >= 0.

    Raises:
        ValueError: if X holds NaN or infinity, is sparse with continuous columns, or an option is out of range.

    Cost: O(n log n) a column: neighbours on a line are found by sorting, without a tree.
    References: Ross 2014, PLoS ONE 9(2): e87357, eq. 6; Kraskov, Stögbauer & Grassberger 2004, Physical Review E 69.
    Peer: sklearn.feature_selection.mutual_info_classif from the same random_state, float64, 1e-10 (A).
    In production: use it where dependence may bend; a column that matters only beside another scores 0, as ever.
    """
    X, labels = check_X_y(X, y, accept_sparse="csc")
    classes, codes = class_codes(labels)
    X, discrete, _ = _prepared(X, discrete_features, n_neighbors, random_state)
    scores = np.empty(X.shape[1])
    with announced():
        for j in range(X.shape[1]):
            if discrete[j]:
                scores[j] = mutual_information_of_samples(_dense(X, j), codes)
            else:
                scores[j] = _between_line_and_classes(X[:, j], codes, len(classes), n_neighbors)
    return np.maximum(scores, 0.0)


def mutual_info_regression(
    X: Any,
    y: ArrayLike,
    *,
    discrete_features: bool | ArrayLike | Literal["auto"] = "auto",
    n_neighbors: int = 3,
    copy: bool = True,
    random_state: int | np.random.RandomState | None = None,
    n_jobs: int | None = None,
) -> Scores:
    """Mutual information of each column with a continuous target, in nats.

    A continuous column by the estimate of Kraskov et al.: psi(n) + psi(k) - mean[psi(m_x + 1) + psi(m_y + 1)], with m
    the rows nearer in one variable than the k-th neighbour is in the larger of both; a discrete one by Ross's.

    Args:
        X: shape (rows, columns), dense; sparse if every column is discrete.
        y: numbers, shape (rows,).
        discrete_features: which columns are discrete: all, none, a mask or indices; "auto" is all if X is sparse.
        n_neighbors: k, >= 1; more lowers variance and raises bias.
        copy, n_jobs: not read, because X is never written to and a line is sorted sooner than shared; present so that
            calls written for scikit-learn run.
        random_state: of the noise, 1e-10 of a column's size, that parts equal values.

    Returns:
        Shape (columns,), >= 0.

    Raises:
        ValueError: if X holds NaN or infinity, is sparse with continuous columns, or an option is out of range.

    Cost: O(n log n) a column: a tree in the plane, and sorting on each axis.
    References: Kraskov, Stögbauer & Grassberger 2004, Physical Review E 69, eq. 8; Ross 2014, PLoS ONE 9(2), eq. 6.
    Peer: sklearn.feature_selection.mutual_info_regression from the same random_state, float64, 1e-10 (A).
    In production: use it where dependence may bend or the spread may change; correlation is quicker and sees lines.
    """
    X, target = check_X_y(X, y, accept_sparse="csc", y_numeric=True)
    X, discrete, rng = _prepared(X, discrete_features, n_neighbors, random_state)
    target = _parted(np.asarray(target, dtype=np.float64)[:, None], rng)[:, 0]
    scores = np.empty(X.shape[1])
    with announced():
        for j in range(X.shape[1]):
            if discrete[j]:
                values, codes = np.unique(_dense(X, j), return_inverse=True)
                scores[j] = _between_line_and_classes(target, codes, len(values), n_neighbors)
            else:
                scores[j] = _between_lines(X[:, j], target, n_neighbors)
    return np.maximum(scores, 0.0)


def _rough_mean(X: NDArray) -> Scores:
    """Column means of about a thousand rows, float64: what is left of a mean then cancels few digits or none."""
    return X[:: max(1, len(X) // 1024)].mean(axis=0, dtype=np.float64)


def _prepared(X: Any, discrete_features: Any, k: int, random_state: Any) -> tuple[Any, NDArray, np.random.RandomState]:
    """X with its continuous columns scaled and parted, which columns are discrete, and the generator as it stands."""
    n, p = X.shape
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k < n:
        raise ValueError(f"n_neighbors must be an integer in [1, {n - 1}], got {k!r}")
    if isinstance(discrete_features, str):
        if discrete_features != "auto":
            raise ValueError(f"discrete_features must be 'auto', a bool, a mask or indices, got {discrete_features!r}")
        discrete_features = sp.issparse(X)
    given = np.asarray(discrete_features)
    discrete = np.zeros(p, dtype=bool)
    if given.ndim == 0:
        discrete[:] = bool(given)
    elif given.dtype == bool:
        if given.shape != (p,):
            raise ValueError(f"the mask discrete_features must have {p} entries, one a column, got {given.shape}")
        discrete = given
    else:
        discrete[given] = True
    rng = check_random_state(random_state)
    if not discrete.all():
        if sp.issparse(X):
            raise ValueError("sparse X cannot have continuous columns: give X.toarray(), or discrete_features=True")
        X = np.array(X, dtype=np.float64, order="F")
        X[:, ~discrete] = _parted(X[:, ~discrete], rng)
    return X, discrete, rng


def _parted(columns: NDArray, rng: np.random.RandomState) -> NDArray[np.float64]:
    """Columns of unit deviation with noise of 1e-10 of their size, drawn as scikit-learn draws it."""
    spread = columns.std(axis=0)
    flat = spread <= 10 * np.finfo(np.float64).eps * np.abs(columns.mean(axis=0))
    scaled = columns / np.where(flat, 1.0, spread)
    size = np.maximum(1.0, np.mean(np.abs(scaled), axis=0))
    return scaled + 1e-10 * size * rng.standard_normal(size=scaled.shape)


def _dense(X: Any, j: int) -> NDArray:
    return X[:, [j]].toarray()[:, 0] if sp.issparse(X) else X[:, j]


def _between_line_and_classes(x: NDArray, codes: NDArray, n_classes: int, k: int) -> float:
    """Ross's estimate; rows whose class has no other are left out."""
    order = np.argsort(x, kind="stable")
    x, codes = x[order], codes[order]
    counts = np.bincount(codes, minlength=n_classes)
    if (counts == 1).any():
        kept = counts[codes] > 1
        x, codes = x[kept], codes[kept]
    n = len(x)
    if n == 0:
        return 0.0
    radius = np.empty(n)
    for c in range(n_classes):
        if counts[c] > 1:
            own = np.flatnonzero(codes == c)
            distance = np.empty(len(own))
            kth_distances(x[own], min(k, int(counts[c]) - 1), distance)
            radius[own] = distance
    within = np.empty(n, dtype=np.int64)
    counts_within(x, np.nextafter(radius, 0.0), within)
    psi = special.digamma(np.arange(n + 1.0))  # of whole numbers only: psi[0] is not read
    present = counts[counts > 1]
    own_k = float(np.sum(present * psi[np.minimum(k, present - 1)])) / n
    own_n = float(np.sum(present * psi[present])) / n
    return float(psi[n] + own_k - own_n - np.mean(psi[within]))


def _between_lines(x: NDArray, y: NDArray, k: int) -> float:
    """The first estimate of Kraskov et al."""
    n = len(x)
    points = np.column_stack([x, y])
    distance = np.asarray(
        cKDTree(points, balanced_tree=False, compact_nodes=False).query(points, k=[k + 1], p=np.inf)[0]
    )
    radius = np.nextafter(distance[:, 0], 0.0)
    psi = special.digamma(np.arange(n + 1.0))
    total = psi[n] + psi[k]
    within = np.empty(n, dtype=np.int64)
    for v in (x, y):
        order = np.argsort(v, kind="stable")
        counts_within(v[order], radius[order], within)
        total -= float(np.mean(psi[within]))
    return float(total)
