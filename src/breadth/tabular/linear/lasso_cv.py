"""The lasso and the elastic net with penalties chosen by cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import check_cv
from sklearn.utils.validation import check_is_fitted, validate_data

from breadth.compilation import announced
from breadth.tabular.linear.lasso_paths import (
    check_selection,
    check_settings,
    checked_weights,
    falling_series,
    follow,
    whole_pays,
)
from breadth.tabular.linear.lasso_problem import LassoProblem

_FORMS = ["csr", "csc", "coo"]


class LassoCV(RegressorMixin, BaseEstimator):
    """The lasso at the alpha whose mean square error on held-out rows, averaged over folds, is least.

    On each fold's training rows the whole path of alphas is followed; the alpha chosen is then fitted to all rows.

    Args:
        eps: smallest alpha over the largest, in (0, 1], where alphas is a number.
        alphas: how many, from the least alpha at which all coefficients are 0 downwards in equal ratios; or values > 0.
        fit_intercept: estimate b; otherwise b = 0 and X is not centred.
        max_iter: greatest number of sweeps at one alpha, >= 1.
        tol: the duality gap at which to stop, over the (weighted) mean square of the centred y, >= 0.
        cv: number of folds (None: 5) in the order of rows, a splitter of scikit-learn's, or (train, test) pairs. Rows
            sorted by time or by target want a splitter that says so.
        n_jobs: folds at a time, in threads; None is one, -1 all cores.
        positive: only coefficients >= 0.
        precompute, copy_X, verbose, random_state, selection: not read, as in `Lasso`.

    Attributes:
        alpha_: the alpha chosen.
        alphas_: those tried, falling, shape (alphas,).
        mse_path_: mean square errors on held-out rows, shape (alphas, folds).
        coef_, intercept_, n_iter_, dual_gap_: of the fit to all rows, as `Lasso`'s.

    Raises:
        ValueError: as `Lasso`, and if cv or alphas is no valid choice, or a fold has no weight.

    Warns:
        ConvergenceWarning: if max_iter sweeps did not reach tol at some alpha of some fold.

    Cost: a path of `enet_path` for each fold, and one fit.

    Deviations: one target, as scikit-learn's. Computes in float64. Weights count in training and in errors, and folds
        count equally.

    References: Friedman, Hastie & Tibshirani 2010, J. Stat. Software 33(1), sections 2.5 and 6 (choice of lambda);
        Stone 1974, J. R. Stat. Soc. B 36(2) (cross-validatory choice).
    Peer: sklearn.linear_model.LassoCV, float64, equal alphas, errors to 1e-8 (A).
    In production: use it to choose alpha for predictions. The features that it keeps are too many as an answer to which
        of them matter: `StabilitySelection` is for that.
    """

    def __init__(
        self,
        *,
        eps: float = 1e-3,
        alphas: int | ArrayLike = 100,
        fit_intercept: bool = True,
        precompute: Any = "auto",
        max_iter: int = 1000,
        tol: float = 1e-4,
        copy_X: bool = True,
        cv: Any = None,
        verbose: Any = False,
        n_jobs: int | None = None,
        positive: bool = False,
        random_state: Any = None,
        selection: Literal["cyclic", "random"] = "cyclic",
    ):
        self.eps = eps
        self.alphas = alphas
        self.fit_intercept = fit_intercept
        self.precompute = precompute
        self.max_iter = max_iter
        self.tol = tol
        self.copy_X = copy_X
        self.cv = cv
        self.verbose = verbose
        self.n_jobs = n_jobs
        self.positive = positive
        self.random_state = random_state
        self.selection = selection

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Choose alpha, and estimate coefficients and intercept.

        Args:
            X: features, shape (rows, features), dense or scipy sparse.
            y: targets, shape (rows,).
            sample_weight: weight per row, >= 0, shape (rows,). None means 1.

        Returns:
            The fitted estimator.
        """
        alphas, errors, _ = _fit(self, X, y, sample_weight, [1.0])
        self.alphas_, self.mse_path_ = alphas[0], errors[0]
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Fitted mean b + X beta, shape (rows,)."""
        return _predict(self, X)


class ElasticNetCV(RegressorMixin, BaseEstimator):
    """The elastic net at the alpha and the l1_ratio whose mean square error on held-out rows is least.

    As `LassoCV`, for each l1_ratio given.

    Args:
        l1_ratio: share of the absolute penalty, in (0, 1], or several to choose from; 0 with alphas as values.
        eps, alphas, fit_intercept, max_iter, tol, cv, n_jobs, positive: as `LassoCV`; a number of alphas makes a series
            of its own for each l1_ratio.
        precompute, copy_X, verbose, random_state, selection: not read, as in `Lasso`.

    Attributes:
        alpha_, l1_ratio_: the penalty chosen.
        alphas_: those tried, falling, shape (alphas,), or (ratios, alphas) where series differ.
        mse_path_: mean square errors on held-out rows, shape (alphas, folds), or (ratios, alphas, folds) for several.
        coef_, intercept_, n_iter_, dual_gap_: of the fit to all rows, as `Lasso`'s.

    Raises:
        ValueError: as `LassoCV`.

    Warns:
        ConvergenceWarning: as `LassoCV`.

    Cost: a path of `enet_path` for each fold and ratio, and one fit.

    Deviations: as `LassoCV`.

    References: Zou & Hastie 2005, J. R. Stat. Soc. B 67(2), section 3.5 (choice of both by cross-validation);
        otherwise as `LassoCV`.
    Peer: sklearn.linear_model.ElasticNetCV, float64, equal alphas, errors to 1e-8 (A).
    In production: use it where features are correlated, with l1_ratio=[0.1, 0.5, 0.9, 1].
    """

    def __init__(
        self,
        *,
        l1_ratio: float | Sequence[float] = 0.5,
        eps: float = 1e-3,
        alphas: int | ArrayLike = 100,
        fit_intercept: bool = True,
        precompute: Any = "auto",
        max_iter: int = 1000,
        tol: float = 1e-4,
        cv: Any = None,
        copy_X: bool = True,
        verbose: Any = 0,
        n_jobs: int | None = None,
        positive: bool = False,
        random_state: Any = None,
        selection: Literal["cyclic", "random"] = "cyclic",
    ):
        self.l1_ratio = l1_ratio
        self.eps = eps
        self.alphas = alphas
        self.fit_intercept = fit_intercept
        self.precompute = precompute
        self.max_iter = max_iter
        self.tol = tol
        self.cv = cv
        self.copy_X = copy_X
        self.verbose = verbose
        self.n_jobs = n_jobs
        self.positive = positive
        self.random_state = random_state
        self.selection = selection

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Choose alpha and l1_ratio, and estimate coefficients and intercept.

        Args:
            X: features, shape (rows, features), dense or scipy sparse.
            y: targets, shape (rows,).
            sample_weight: weight per row, >= 0, shape (rows,). None means 1.

        Returns:
            The fitted estimator.
        """
        ratios = np.atleast_1d(np.asarray(self.l1_ratio, dtype=np.float64)).tolist()
        if not ratios:
            raise ValueError("l1_ratio must be a number in [0, 1] or at least one, got none")
        alphas, errors, self.l1_ratio_ = _fit(self, X, y, sample_weight, ratios)
        self.alphas_ = alphas[0] if len(ratios) == 1 or np.ndim(self.alphas) else alphas
        self.mse_path_ = errors[0] if len(ratios) == 1 else errors
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Fitted mean b + X beta, shape (rows,)."""
        return _predict(self, X)


def _fit(
    model: Any, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, ratios: list[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Fit the model at the best penalty; alphas (ratios, alphas), errors (ratios, alphas, folds), the ratio chosen."""
    check_selection(model.selection)
    for ratio in ratios:
        check_settings(tol=model.tol, max_iter=model.max_iter, l1_ratio=ratio)
    rows: Any
    rows, target = validate_data(model, X, y, accept_sparse=_FORMS, dtype=np.float64, y_numeric=True)
    rows = rows.tocsr() if sp.issparse(rows) else rows
    Y = np.asarray(target, dtype=np.float64)[:, None]
    weight = checked_weights(sample_weight, rows)
    splits = [_places(pair, len(Y)) for pair in check_cv(model.cv).split(rows, target)]
    if not splits:
        raise ValueError("cv gives no folds; give a number >= 2, a splitter, or pairs of training and held-out rows")

    def problem_of(part: Any) -> LassoProblem:
        own = rows[part].tocsc() if sp.issparse(rows) else rows[part]
        w = None if weight is None else weight[part]
        if w is not None and not w.sum() > 0:
            raise ValueError("a fold's training rows all have weight 0; give folds of rows that count")
        return LassoProblem(own, Y[part], w, model.fit_intercept, whole=whole_pays(own, path=True))

    def path(problem: LassoProblem, series: NDArray, ratio: float) -> tuple[NDArray, NDArray, NDArray]:
        start = np.zeros((1, problem.p))
        return follow(problem, series, ratio, model.positive, model.tol, model.max_iter, start)

    def errors_of(train: NDArray, test: NDArray) -> NDArray[np.float64]:
        problem, out = problem_of(train), []
        for ratio, series in zip(ratios, alphas, strict=True):
            coefs = path(problem, series, ratio)[0][0]
            missed = rows[test] @ coefs + (problem.y_mean - problem.mean @ coefs) - Y[test]
            out.append(np.average(missed**2, axis=0, weights=None if weight is None else weight[test]))
        return np.array(out)

    with announced():
        everything = problem_of(slice(None))
        alphas = np.array([falling_series(everything, model.alphas, model.eps, r, model.positive) for r in ratios])
        if weight is not None and not all(weight[test].sum() > 0 for _, test in splits):
            raise ValueError("a fold's held-out rows all have weight 0; give folds of rows that count")
        found = Parallel(n_jobs=model.n_jobs, prefer="threads")(delayed(errors_of)(*pair) for pair in splits)
        errors = np.stack(found, axis=-1)
        best = np.unravel_index(np.argmin(errors.mean(axis=-1)), alphas.shape)
        ratio, alpha = ratios[best[0]], float(alphas[best])
        coefs, gaps, sweeps = path(everything, np.array([alpha]), ratio)
    model.alpha_, model.coef_ = alpha, coefs[0, :, 0]
    model.intercept_ = float(everything.y_mean[0] - everything.mean @ model.coef_)
    model.n_iter_, model.dual_gap_ = int(sweeps[0, 0]), float(gaps[0, 0])
    return alphas, errors, ratio


def _places(pair: tuple[Any, Any], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Training and held-out rows as numbers; splitters and users may give masks."""
    train, test = (np.arange(n)[np.asarray(part)] if len(part) else np.arange(0) for part in pair)
    if not len(train) or not len(test):
        raise ValueError("cv gives a fold without training rows or without held-out rows; give fewer folds")
    return train, test


def _predict(model: Any, X: ArrayLike) -> NDArray[np.float64]:
    check_is_fitted(model)
    rows: Any = validate_data(model, X, accept_sparse=_FORMS, dtype=np.float64, reset=False)
    return rows @ model.coef_ + model.intercept_
