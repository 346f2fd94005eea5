"""Stability selection: the columns that are chosen again and again in half of the rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.linear_model import lars_path
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from breadth.tabular.ensembles.members import seeded_clone
from breadth.tabular.labels import class_codes
from breadth.tabular.selection.importances import sizes_of


class StabilitySelection(SelectorMixin, BaseEstimator):
    """Chooses q columns in each of many random halves of the rows, and keeps those chosen in at least a share of them.

    If the choice is no worse than guessing and treats columns without effect alike, the expected number of them among
    the kept is at most q^2 / ((2 threshold - 1) p). From the bound asked for, q follows.

    Args:
        estimator: unfitted, with coef_ or feature_importances_ after fit; the q largest that are not 0 are chosen. None
            is the lasso path of standardised columns: the first q that enter (numbers, or two classes as 0 and 1).
        threshold: share of halves, in (0.5, 1].
        pfer: bound on the expected number of columns kept without an effect (per-family error rate), > 0; read where
            n_features_per_fit is None.
        n_features_per_fit: q, in [1, columns]; None means the largest that keeps the bound.
        n_subsamples: halves, >= 2.
        importance_getter: "auto", the path of an attribute, or a function of the fitted estimator.
        random_state: None, an integer or a RandomState.
        n_jobs: processes; None means 1, -1 all cores. The choice does not depend on it.

    Attributes:
        selection_probabilities_: share of halves in which each column was chosen, shape (columns,).
        n_features_per_fit_: q.
        error_bound_: q^2 / ((2 threshold - 1) p), which may be below pfer, as q is whole.

    Raises:
        ValueError: if a parameter is out of range, pfer is below what q = 1 gives (the message says which pfer or
            threshold would do), y has more than two labels without an estimator, or there are fewer than 4 rows.

    Cost: n_subsamples fits on half of the rows each.

    References: Meinshausen & Bühlmann 2010, JRSS B 72(4), section 2.1 (subsampling), definition 2, theorem 1 and eq. 9
        (the bound); Shah & Samworth 2013, JRSS B 75(1), on what the bound needs.
    Peer: the definition by brute force on the same halves (B); the bound on 200 data sets without any effect.
    In production: use it where the list of columns is the result (genes, sensors) rather than the prediction: a single
        lasso fit changes its mind with the sample. It keeps few columns; pfer=1 lets one false one in on average.
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        threshold: float = 0.75,
        pfer: float = 1.0,
        n_features_per_fit: int | None = None,
        n_subsamples: int = 100,
        importance_getter: str | Callable[[Any], Any] = "auto",
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
    ):
        self.estimator = estimator
        self.threshold = threshold
        self.pfer = pfer
        self.n_features_per_fit = n_features_per_fit
        self.n_subsamples = n_subsamples
        self.importance_getter = importance_getter
        self.random_state = random_state
        self.n_jobs = n_jobs

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Choose in half of the rows, many times.

        Args:
            X: shape (rows, columns).
            y: target, shape (rows,).

        Returns:
            The fitted selector.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=4)
        p = X.shape[1]
        q = self._check(p)
        target = _numbers(y) if self.estimator is None else y
        entropy = check_random_state(self.random_state).randint(2**31, size=4)
        seeds = np.random.SeedSequence(entropy.tolist()).spawn(self.n_subsamples)
        chosen = Parallel(n_jobs=self.n_jobs)(delayed(self._choose)(X, target, q, seed) for seed in seeds)
        self.selection_probabilities_ = np.mean(list(chosen), axis=0)
        self.n_features_per_fit_ = q
        self.error_bound_ = q**2 / ((2 * self.threshold - 1) * p)
        return self

    def _check(self, p: int) -> int:
        if not 0.5 < self.threshold <= 1:
            raise ValueError(f"threshold must be in (0.5, 1], got {self.threshold!r}")
        if self.n_subsamples < 2:
            raise ValueError(f"n_subsamples must be at least 2, got {self.n_subsamples!r}")
        if self.n_features_per_fit is not None:
            if not 1 <= self.n_features_per_fit <= p:
                raise ValueError(f"n_features_per_fit must be in [1, {p}], got {self.n_features_per_fit!r}")
            return int(self.n_features_per_fit)
        if not self.pfer > 0:
            raise ValueError(f"pfer must be > 0, got {self.pfer!r}")
        q = int(np.sqrt(self.pfer * (2 * self.threshold - 1) * p) * (1 + 1e-12))
        if q < 1:
            raise ValueError(
                f"pfer={self.pfer:g} cannot be kept with {p} columns and threshold={self.threshold:g}, for one column "
                f"a half gives {1 / ((2 * self.threshold - 1) * p):.3g}: raise pfer to that, or threshold, or give "
                "n_features_per_fit=1"
            )
        return min(q, p)

    def _choose(self, X: NDArray, y: NDArray, q: int, seed: np.random.SeedSequence) -> NDArray[np.bool_]:
        rng = np.random.default_rng(seed)
        rows = rng.permutation(len(X))[: len(X) // 2]
        mask = np.zeros(X.shape[1], dtype=bool)
        if self.estimator is None:
            mask[_first_to_enter(X[rows], y[rows], q)] = True
            return mask
        model = seeded_clone(self.estimator, rng).fit(X[rows], y[rows])
        sizes = sizes_of(model, self.importance_getter)
        best = np.argsort(-sizes, kind="stable")[:q]
        mask[best[sizes[best] > 0]] = True
        return mask

    def _get_support_mask(self) -> NDArray[np.bool_]:
        check_is_fitted(self)
        return self.selection_probabilities_ >= self.threshold


def _numbers(y: NDArray) -> NDArray[np.float64]:
    if y.dtype.kind in "fiub":
        return y.astype(np.float64)
    classes, codes = class_codes(y)
    if len(classes) > 2:
        raise ValueError(
            f"y has {len(classes)} labels, and the lasso path takes numbers or two classes: give an estimator, such as "
            "an L1 logistic regression"
        )
    return codes.astype(np.float64)


def _first_to_enter(X: NDArray, y: NDArray, q: int) -> NDArray[np.int64]:
    """The first q columns of the lasso path, standardised, in the order in which they enter."""
    Z = X - X.mean(axis=0)
    length = np.linalg.norm(Z, axis=0)
    varies = np.flatnonzero(length > 1e-12 * np.abs(X).max(axis=0) * np.sqrt(len(X)))
    rest = y - y.mean()
    if not len(varies) or not np.abs(rest).max() > 0:
        return np.zeros(0, dtype=np.int64)
    _, _, path = lars_path(Z[:, varies] / length[varies], rest, method="lasso", max_iter=3 * q + 5)
    active = path != 0  # (columns, steps)
    entered = np.where(active.any(axis=1), active.argmax(axis=1), path.shape[1])
    order = np.argsort(entered, kind="stable")[:q]
    return varies[order[entered[order] < path.shape[1]]]
