"""Embedded selection: the columns that a model itself makes use of."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.feature_selection import SelectorMixin
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted, validate_data

from breadth.tabular.selection.importances import sizes_of


class SelectFromModel(SelectorMixin, MetaEstimatorMixin, BaseEstimator):
    """Keeps columns whose coefficient or importance is at least a threshold.

    With an L1 penalty these are the columns whose coefficient is not 0; with trees, those that gained more than the
    average. A squared (L2) penalty sets none to 0, so that the threshold alone decides there.

    Args:
        estimator: with coef_ or feature_importances_ after fit; fitted already if `prefit`.
        threshold: a number, "mean", "median", or a multiple such as "1.25*mean"; None is 1e-5 for a model with an L1
            penalty and else "mean". -inf with max_features chooses by number alone.
        prefit: the estimator is fitted; fit then fits nothing, and `transform` needs it only where max_features is a
            function.
        norm_order: norm over the classes of coef_ of shape (classes, columns).
        max_features: columns at most, >= 0, or a function of X that says so; the largest stay.
        importance_getter: "auto", the path of an attribute, or a function of the fitted estimator.

    Attributes:
        estimator_: the fitted estimator.
        threshold_: the number compared with.
        max_features_: the number, if max_features is given.

    Raises:
        ValueError: if a parameter is out of range, or the estimator has no importances.
        NotFittedError: if prefit and the estimator is not.

    Cost: one fit.
    Deviations: `partial_fit` is absent.
    References: Guyon & Elisseeff 2003, JMLR 3, section 4.3; Tibshirani 1996, JRSS B 58(1), section 2.2 (zeros of L1);
        Breiman 2001, Machine Learning 45, section 10 (importance).
    Peer: sklearn.feature_selection.SelectFromModel, the same columns (A).
    In production: use it with Lasso or L1 logistic regression on scaled columns, or with trees; importances of trees
        favour columns of many values. StabilitySelection says how far a choice depends on the sample.
    """

    def __init__(
        self,
        estimator: Any,
        *,
        threshold: str | float | None = None,
        prefit: bool = False,
        norm_order: float = 1,
        max_features: int | Callable[[Any], int] | None = None,
        importance_getter: str | Callable[[Any], Any] = "auto",
    ):
        self.estimator = estimator
        self.threshold = threshold
        self.prefit = prefit
        self.norm_order = norm_order
        self.max_features = max_features
        self.importance_getter = importance_getter

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        own = get_tags(self.estimator)
        tags.input_tags.sparse, tags.input_tags.allow_nan = own.input_tags.sparse, own.input_tags.allow_nan
        tags.target_tags.required = own.target_tags.required
        return tags

    def fit(self, X: Any, y: ArrayLike | None = None, **fit_params: Any) -> Self:
        """Fit the estimator, unless it is fitted, and choose.

        Args:
            X: shape (rows, columns), what the estimator takes.
            y: target, shape (rows,); None for an estimator without one.
            **fit_params: passed to the estimator's fit.

        Returns:
            The fitted selector.
        """
        given: Any = validate_data(
            self, X, dtype=None, accept_sparse=["csr", "csc"], ensure_all_finite=not get_tags(self).input_tags.allow_nan
        )
        if self.prefit:
            check_is_fitted(self.estimator)
            self.estimator_ = deepcopy(self.estimator)
        else:
            self.estimator_ = clone(self.estimator).fit(X, y, **fit_params)
        most = self.max_features(X) if callable(self.max_features) else self.max_features
        self.threshold_, self._mask = self._choice(self.estimator_, most)
        if self._mask.shape != (given.shape[1],):
            raise ValueError(
                f"there must be one importance for each of {given.shape[1]} columns, got {self._mask.shape}"
            )
        if most is not None:
            self.max_features_ = int(most)
        return self

    def _choice(self, model: Any, most: Any) -> tuple[float, NDArray[np.bool_]]:
        """The threshold as a number, and the columns that a fitted model's importances choose by it."""
        sizes = sizes_of(model, self.importance_getter, self.norm_order)
        threshold = self._number(model, sizes)
        mask = sizes >= threshold
        if most is not None:
            if isinstance(most, bool) or not isinstance(most, int | np.integer) or most < 0:
                raise ValueError(f"max_features must be an integer >= 0 or a function of X giving one, got {most!r}")
            mask[np.argsort(-sizes, kind="stable")[int(most) :]] = False
        return threshold, mask

    def _number(self, model: Any, sizes: NDArray) -> float:
        wanted = self.threshold
        if wanted is None:
            wanted = 1e-5 if _has_l1(model) else "mean"
        if not isinstance(wanted, str):
            return float(wanted)
        factor, star, reference = wanted.rpartition("*")
        references = {"mean": sizes.mean, "median": lambda: np.median(sizes)}
        try:
            return (float(factor) if star else 1.0) * float(references[reference.strip()]())
        except (KeyError, ValueError):
            raise ValueError(
                f"threshold must be a number, 'mean', 'median' or a multiple like '1.25*mean', got {wanted!r}"
            ) from None

    def _get_support_mask(self) -> NDArray[np.bool_]:
        if self.prefit and not hasattr(self, "_mask") and not callable(self.max_features):
            check_is_fitted(self.estimator)
            return self._choice(self.estimator, self.max_features)[1]
        check_is_fitted(self)
        return self._mask


def _has_l1(model: Any) -> bool:
    """Whether the model's penalty is L1 alone, so that what it does not need is exactly 0."""
    name = type(model).__name__
    if "Lasso" in name or getattr(model, "penalty", None) == "l1":
        return True
    ratio = getattr(model, "l1_ratio_", getattr(model, "l1_ratio", None))
    families = ("ElasticNet", "ElasticNetCV", "LogisticRegression", "LogisticRegressionCV")
    return name in families and ratio is not None and bool(np.all(np.isclose(np.asarray(ratio, dtype=float), 1.0)))
