"""Solutions of the lasso and the elastic net for a falling series of penalties."""

from __future__ import annotations

import numbers
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import _check_sample_weight, check_array, check_consistent_length

from breadth.compilation import announced
from breadth.tabular.linear.lasso_problem import LassoProblem

_WHOLE_COLUMNS = 5000  # products of all pairs of so many columns take 200 MB


def lasso_path(X: ArrayLike, y: ArrayLike, **settings: Any) -> tuple:
    """Coefficients of the lasso along a falling series of penalties: `enet_path` with l1_ratio = 1.

    Args:
        X: features, shape (rows, features), dense or scipy sparse, not centred here.
        y: targets, shape (rows,) or (rows, targets).
        **settings: as of `enet_path`, except l1_ratio.

    Returns:
        As `enet_path`.

    Raises:
        ValueError: as `enet_path`.

    Cost: as `enet_path`.
    References: Friedman, Hastie & Tibshirani 2010, J. Stat. Software 33(1), sections 2.1-2.5.
    Peer: sklearn.linear_model.lasso_path, float64, 1e-9 (A).
    In production: use it to see in which order features enter, and to choose alpha on other rows.
    """
    return enet_path(X, y, l1_ratio=1.0, **settings)


def enet_path(
    X: ArrayLike,
    y: ArrayLike,
    *,
    l1_ratio: float = 0.5,
    eps: float = 1e-3,
    n_alphas: int | None = None,
    alphas: int | ArrayLike = 100,
    precompute: object = "auto",
    Xy: object = None,
    copy_X: bool = True,
    coef_init: ArrayLike | None = None,
    verbose: bool | int = False,
    return_n_iter: bool = False,
    positive: bool = False,
    sample_weight: ArrayLike | None = None,
    tol: float = 1e-4,
    max_iter: int = 1000,
) -> tuple:
    """Coefficients for a falling series of alpha, each the start of the next; without intercept, as the peer's.

    At each alpha minimise sum_i w_i (y_i - x_i . beta)^2 / (2 sum w) + alpha (l1_ratio |beta|_1
    + (1 - l1_ratio) |beta|_2^2 / 2).

    Args:
        X: features, shape (rows, features), dense or scipy sparse; centre them, or use the estimators.
        y: targets, shape (rows,) or (rows, targets).
        l1_ratio: share of the absolute penalty, in [0, 1]; > 0 where alphas is a number.
        eps: smallest alpha over the largest, in (0, 1], where alphas is a number.
        n_alphas: the number of alphas under its old name; None reads alphas.
        alphas: how many, from the least alpha at which all coefficients are 0 downwards in equal ratios; or values > 0.
        precompute, Xy, copy_X, verbose: not read, because shapes decide and X is never written to; present so that
            calls written for scikit-learn run.
        coef_init: coefficients to start from, shape (features,) or (targets, features).
        return_n_iter: return the numbers of sweeps too.
        positive: only coefficients >= 0.
        sample_weight: weight per row, >= 0, shape (rows,).
        tol: the duality gap at which to stop, over the (weighted) mean square of y.
        max_iter: greatest number of sweeps at one alpha.

    Returns:
        alphas, falling, shape (alphas,); coefficients, shape (features, alphas) or (targets, features, alphas);
        duality gaps, shape (alphas,) or (targets, alphas); and the sweeps if asked for, a list (of lists).

    Raises:
        ValueError: if X or y holds NaN or infinity, or a parameter is out of its range.

    Warns:
        ConvergenceWarning: if max_iter sweeps did not reach tol.

    Cost: dense and rows >= features: n p^2 once, then p operations a changed coefficient; otherwise two products with X
        for each working set, two or three an alpha, and products of the columns in working sets.

    Deviations: computes in float64. Weights of rows are taken; several targets take the largest alpha of all, each its
        own lasso (scikit-learn's path for several targets is that of the group lasso).

    References: Friedman, Hastie & Tibshirani 2010, J. Stat. Software 33(1), eqs. 5 and 8 and section 2.5 (path);
        Tibshirani et al. 2012, J. R. Stat. Soc. B 74(2), eq. 5 (sequential strong rule); Massias, Gramfort & Salmon
        2018, ICML, algorithm 1 (working sets); Kim et al. 2007, IEEE JSTSP 1(4), eq. 12 (duality gap).
    Peer: sklearn.linear_model.enet_path, float64, 1e-9 (A).
    In production: use it to see in which order features enter, and to choose alpha on other rows.
    """
    check_settings(tol=tol, max_iter=max_iter, l1_ratio=l1_ratio)
    X = check_array(X, accept_sparse="csc", dtype=np.float64)
    targets: NDArray = np.asarray(check_array(y, dtype=np.float64, ensure_2d=False))
    check_consistent_length(X, targets)
    Y = targets.reshape(len(targets), -1)
    weight = checked_weights(sample_weight, X)
    with announced():
        problem = LassoProblem(X, Y, weight, False, whole=whole_pays(X, path=True))
        series = falling_series(problem, alphas if n_alphas is None else n_alphas, eps, l1_ratio, positive)
        coefs, gaps, sweeps = follow(problem, series, l1_ratio, positive, tol, max_iter, _start(coef_init, Y, X))
    if targets.ndim == 1:
        coefs, gaps, sweeps = coefs[0], gaps[0], sweeps[0]
    return (series, coefs, gaps, sweeps.tolist()) if return_n_iter else (series, coefs, gaps)


def whole_pays(X: Any, path: bool) -> bool:
    """Whether to form the products of all pairs of columns at once."""
    n, p = X.shape
    few = min(n, _WHOLE_COLUMNS) if path else min(n // 4, 128)
    return p <= (few if isinstance(X, np.ndarray) else min(few, 500))


def follow(
    problem: LassoProblem,
    series: NDArray,
    l1_ratio: float,
    positive: bool,
    tol: float,
    max_iter: int,
    start: NDArray,
) -> tuple[NDArray, NDArray, NDArray]:
    """Coefficients (targets, p, alphas), gaps and sweeps (targets, alphas), from `start` (targets, p), overwritten."""
    shape = (len(start), len(series))
    coefs = np.empty((len(start), problem.p, len(series)))
    gaps, sweeps = np.empty(shape), np.empty(shape, dtype=np.int64)
    for t, w in enumerate(start):
        last = None
        for a, alpha in enumerate(series):
            l1, l2 = alpha * l1_ratio, alpha * (1 - l1_ratio)
            gaps[t, a], sweeps[t, a] = problem.solve(
                w, t, l1, l2, positive=positive, tol=tol, max_iter=max_iter, last_l1=last
            )
            coefs[t, :, a] = w
            last = l1
    late = gaps > np.maximum(tol, 1e-15) * problem.square[:, None]
    late &= sweeps >= max_iter
    if late.any():
        t, a = np.argwhere(late)[0]
        warnings.warn(
            f"coordinate descent took all of max_iter={max_iter} sweeps at alpha={series[a]:.3g}, where the duality "
            f"gap is {gaps[t, a]:.2g} > tol x mean square of y = {tol * problem.square[t]:.2g}; raise max_iter, tol or "
            "alpha, or scale the features",
            ConvergenceWarning,
            stacklevel=3,
        )
    return coefs, gaps, sweeps


def falling_series(
    problem: LassoProblem, alphas: Any, eps: float, l1_ratio: float, positive: bool
) -> NDArray[np.float64]:
    """The alphas of a path, falling: as given, or so many from the least at which all coefficients are 0."""
    if not isinstance(alphas, numbers.Integral):
        if np.ndim(alphas) != 1:
            raise ValueError(f"alphas must be how many, an integer, or a list of values > 0, got {alphas!r}")
        series = np.sort(np.asarray(alphas, dtype=np.float64).ravel())[::-1]
        if not len(series) or not (series > 0).all():
            raise ValueError(f"alphas must be > 0, and at least one, got {alphas!r}")
        return series
    if alphas < 1:
        raise ValueError(f"alphas must be a number >= 1 or values > 0, got {alphas!r}")
    if not 0 < eps <= 1:
        raise ValueError(f"eps must be in (0, 1], got {eps!r}")
    if l1_ratio == 0:
        raise ValueError("with l1_ratio=0 no alpha makes all coefficients 0: give the alphas")
    pulls = problem.pulls if positive else np.abs(problem.pulls)
    top = max(float(pulls.max(initial=0.0)) / l1_ratio, np.finfo(np.float64).tiny / eps * 2)
    return np.geomspace(top, top * eps, num=int(alphas))


def _start(coef_init: ArrayLike | None, Y: NDArray, X: Any) -> NDArray[np.float64]:
    shape = (Y.shape[1], X.shape[1])
    if coef_init is None:
        return np.zeros(shape)
    given = np.array(coef_init, dtype=np.float64, ndmin=2)
    if given.shape != shape:
        raise ValueError(f"coef_init must have shape {shape} (targets, features), got {given.shape}")
    return given


def checked_weights(sample_weight: ArrayLike | None, X: Any) -> NDArray | None:
    """Checked weights of rows, or None."""
    if sample_weight is None:
        return None
    return _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)


def check_selection(selection: str) -> None:
    """Raise if the order of visits is none that scikit-learn knows; neither of its two is read."""
    if selection not in ("cyclic", "random"):
        raise ValueError(f"selection must be 'cyclic' or 'random', got {selection!r}")


def check_settings(*, tol: float, max_iter: int, l1_ratio: float) -> None:
    """Raise if a parameter that the path and the estimators share is out of its range."""
    if not tol >= 0:
        raise ValueError(f"tol must be >= 0, got {tol!r}")
    if not isinstance(max_iter, numbers.Integral) or max_iter < 1:
        raise ValueError(f"max_iter must be >= 1, an integer, got {max_iter!r}")
    if not 0 <= l1_ratio <= 1:
        raise ValueError(f"l1_ratio must be in [0, 1], got {l1_ratio!r}")
