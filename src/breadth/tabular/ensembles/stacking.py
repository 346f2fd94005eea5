"""Stacking: a model of what other models say of rows that they have not seen."""

from __future__ import annotations

import warnings
from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, RegressorMixin, TransformerMixin, clone, is_classifier, is_regressor
from sklearn.linear_model import RidgeCV
from sklearn.utils import Bunch
from sklearn.utils.metaestimators import _BaseComposition, available_if
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, column_or_1d

from breadth.tabular.ensembles.out_of_fold import (
    admitting,
    as_given,
    disjoint_splits,
    fitted_copy,
    kept_members,
    out_of_fold,
    weight_of,
)
from breadth.tabular.labels import class_codes
from breadth.tabular.linear.logistic import LogisticRegression

Method = Literal["auto", "predict_proba", "decision_function", "predict"]
_METHODS = ("predict_proba", "decision_function", "predict")


class InSampleWarning(UserWarning):
    """A second stage may have learned from predictions of rows that members were fitted on."""


def _final_has(method: str) -> Any:
    def check(stack: Any) -> bool:
        final = getattr(stack, "final_estimator_", None) or stack.final_estimator
        return final is None or hasattr(final, method)

    return check


class StackingClassifier(ClassifierMixin, TransformerMixin, _BaseComposition):
    """A classifier of what members say: f(x) = g(f_1(x), ..., f_M(x)), g learned from out-of-fold predictions.

    Row i of what g is fitted to is (f_1^(-k(i))(x_i), ..., f_M^(-k(i))(x_i)), with f_m^(-k) fitted without fold k,
    which holds i: members that learn their training rows by heart gain no credit for it. The members in use are fitted
    to all rows.

    Args:
        estimators: list of (name, estimator), "drop" for one that is left out; regressors are admitted.
        final_estimator: g; None is LogisticRegression().
        cv: folds: an int, a splitter, an iterable of (train, test), None for 5 (stratified), or "prefit": members are
            fitted already, and g is fitted to what they say of X, which must be rows they have not seen.
        stack_method: what members say; "auto" is the first they have of predict_proba, decision_function, predict.
        n_jobs: processes of joblib, over members and folds.
        passthrough: g sees X too.
        verbose: of joblib.
        fresh: with cv="prefit", your word that members were not fitted on X.

    Attributes:
        classes_, estimators_ (fitted to class numbers), named_estimators_, final_estimator_, stack_method_ (of each
        estimator kept), n_features_in_.

    Raises:
        ValueError: if a fold of cv tests what it trains on or not every row once, a member lacks the method or takes
            no weights, or a parameter is out of its range.

    Warns:
        InSampleWarning: for cv="prefit" without fresh=True.

    Cost: (folds + 1) fits of each member and one of g.
    Deviations: weights reach every member; one that takes none is an error, as in scikit-learn. A fold that lacks a
        class gives it probability 0. Folds that overlap are refused, and cv="prefit" warns (scikit-learn does
        neither). No multilabel targets, no metadata routing. One column of two is kept of a two-class
        predict_proba, as there.
    References: Wolpert 1992, "Stacked generalization", Neural Networks 5(2), section 2; Breiman 1996, "Stacked
        regressions", Machine Learning 24, section 2 (out-of-fold predictions); van der Laan, Polley & Hubbard 2007,
        "Super learner", Stat. Appl. Genet. Mol. Biol. 6(1), section 2.
    Peer: sklearn.ensemble.StackingClassifier with the same members and folds, 1e-12 (A).
    In production: use it over members that err differently; over near copies a vote does as well and costs less.
    """

    def __init__(
        self,
        estimators: list[tuple[str, Any]],
        final_estimator: Any = None,
        *,
        cv: Any = None,
        stack_method: Method = "auto",
        n_jobs: int | None = None,
        passthrough: bool = False,
        verbose: int = 0,
        fresh: bool = False,
    ):
        self.estimators = estimators
        self.final_estimator = final_estimator
        self.cv = cv
        self.stack_method = stack_method
        self.n_jobs = n_jobs
        self.passthrough = passthrough
        self.verbose = verbose
        self.fresh = fresh

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters, of members too if deep."""
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params: Any) -> Self:
        """Set parameters, a member by its name, or its parameters by name__parameter."""
        self._set_params("estimators", **params)
        return self

    def __sklearn_tags__(self):
        return admitting(super().__sklearn_tags__(), self.estimators)

    def fit(self, X: ArrayLike, y: ArrayLike, **fit_params: ArrayLike | None) -> Self:
        """Fit members and g on X (rows, features), labels y (rows,) and, if given, sample_weight (rows,)."""
        names, members = kept_members(self)
        final = LogisticRegression() if self.final_estimator is None else self.final_estimator
        if not is_classifier(final):
            raise ValueError(f"'final_estimator' parameter should be a classifier. Got {final!r}")
        X = as_given(self, X, y, reset=True)
        self.classes_, codes = class_codes(column_or_1d(y, warn=True))
        return _fit(self, names, members, final, X, codes, fit_params, n_classes=len(self.classes_))

    def transform(self, X: ArrayLike) -> Any:
        """What members say of X, and with passthrough X, shape (rows, columns)."""
        return _told(self, X)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[Any]:
        """Names of the columns of transform."""
        return _names(self, input_features)

    @available_if(_final_has("predict"))
    def predict(self, X: ArrayLike, **predict_params: Any) -> NDArray:
        """Labels that g says, shape (rows,)."""
        told = _told(self, X)
        codes = self.final_estimator_.predict(told, **predict_params)
        return self.classes_[codes]

    @available_if(_final_has("predict_proba"))
    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Class probabilities of g, shape (rows, classes)."""
        told = _told(self, X)
        return self.final_estimator_.predict_proba(told)

    @available_if(_final_has("decision_function"))
    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Decision function of g."""
        told = _told(self, X)
        return self.final_estimator_.decision_function(told)


class StackingRegressor(RegressorMixin, TransformerMixin, _BaseComposition):
    """A regression on what members say: f(x) = g(f_1(x), ..., f_M(x)), g learned from out-of-fold predictions.

    Args:
        estimators, cv, n_jobs, passthrough, verbose, fresh: as of StackingClassifier; folds are not stratified.
        final_estimator: g; None is scikit-learn's RidgeCV().

    Attributes:
        estimators_, named_estimators_, final_estimator_, stack_method_, n_features_in_.

    Raises:
        ValueError: as StackingClassifier.

    Warns:
        InSampleWarning: for cv="prefit" without fresh=True.

    Cost: (folds + 1) fits of each member and one of g.
    Deviations: as StackingClassifier. Breiman's weights are >= 0; take
        final_estimator=LinearRegression(positive=True) of scikit-learn for that.
    References: Breiman 1996, "Stacked regressions", Machine Learning 24, section 2; Wolpert 1992, Neural Networks 5(2).
    Peer: sklearn.ensemble.StackingRegressor with the same members and folds, 1e-12 (A).
    In production: use it over members that err differently.
    """

    def __init__(
        self,
        estimators: list[tuple[str, Any]],
        final_estimator: Any = None,
        *,
        cv: Any = None,
        n_jobs: int | None = None,
        passthrough: bool = False,
        verbose: int = 0,
        fresh: bool = False,
    ):
        self.estimators = estimators
        self.final_estimator = final_estimator
        self.cv = cv
        self.n_jobs = n_jobs
        self.passthrough = passthrough
        self.verbose = verbose
        self.fresh = fresh

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters, of members too if deep."""
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params: Any) -> Self:
        """Set parameters, a member by its name, or its parameters by name__parameter."""
        self._set_params("estimators", **params)
        return self

    def __sklearn_tags__(self):
        return admitting(super().__sklearn_tags__(), self.estimators)

    def fit(self, X: ArrayLike, y: ArrayLike, **fit_params: ArrayLike | None) -> Self:
        """Fit members and g on X (rows, features), targets y (rows,) and, if given, sample_weight (rows,)."""
        names, members = kept_members(self, kind="regressor")
        final = RidgeCV() if self.final_estimator is None else self.final_estimator
        if not is_regressor(final):
            raise ValueError(f"'final_estimator' parameter should be a regressor. Got {final!r}")
        X = as_given(self, X, y, reset=True)
        return _fit(self, names, members, final, X, column_or_1d(y, warn=True), fit_params, n_classes=0)

    def transform(self, X: ArrayLike) -> Any:
        """What members say of X, and with passthrough X, shape (rows, columns)."""
        return _told(self, X)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[Any]:
        """Names of the columns of transform."""
        return _names(self, input_features)

    @available_if(_final_has("predict"))
    def predict(self, X: ArrayLike, **predict_params: Any) -> Any:
        """Predictions of g, shape (rows,); predict_params are its own."""
        told = _told(self, X)
        return self.final_estimator_.predict(told, **predict_params)


def _fit(
    stack: Any, names: list[str], members: list[Any], final: Any, X: Any, y: NDArray, params: Any, *, n_classes: int
) -> Any:
    weight = weight_of(params, len(y))
    methods = [_method(name, member, n_classes, stack) for name, member in zip(names, members, strict=True)]
    if isinstance(stack.cv, str) and stack.cv == "prefit":
        for member in members:
            check_is_fitted(member)
        if not stack.fresh:
            warnings.warn(
                "cv='prefit' fits the final estimator to what members say of X; if they were fitted on X, it learns to "
                "trust those that know it by heart. Give rows that they have not seen and say fresh=True, or let cv "
                "be a number of folds",
                InSampleWarning,
                stacklevel=3,
            )
        fitted = members
        told = [np.asarray(getattr(m, how)(X)) for m, how in zip(fitted, methods, strict=True)]
    else:
        splits = disjoint_splits(stack.cv, X, y, classifier=n_classes > 0)
        fitted = [fitted_copy(member, X, y, weight) for member in members]
        told = out_of_fold(
            members, X, y, splits, methods,
            n_classes=n_classes, sample_weight=weight, n_jobs=stack.n_jobs, verbose=stack.verbose,
        )  # fmt: skip
    stack.estimators_, stack.stack_method_ = fitted, methods
    by_name = dict(zip(names, fitted, strict=True))
    stack.named_estimators_ = Bunch(**{name: by_name.get(name, "drop") for name, _ in stack.estimators})
    parts = _parts(stack, told)
    stack._widths = [part.shape[1] for part in parts]
    columns = _joined(stack, X, parts)
    stack.final_estimator_ = fitted_copy(clone(final), columns, y, weight)
    return stack


def _method(name: str, member: Any, n_classes: int, stack: Any) -> str:
    if n_classes == 0:
        return "predict"
    if stack.stack_method not in ("auto", *_METHODS):
        raise ValueError(f"stack_method must be 'auto' or one of {', '.join(_METHODS)}, got {stack.stack_method!r}")
    wanted = _METHODS if stack.stack_method == "auto" else (stack.stack_method,)
    for method in wanted:
        if hasattr(member, method):
            return method
    raise ValueError(f"estimators: {name!r}, {type(member).__name__}, does not implement {' or '.join(wanted)}")


def _told(stack: Any, X: Any) -> Any:
    check_is_fitted(stack)
    X = as_given(stack, X, reset=False)
    told = [np.asarray(getattr(m, how)(X)) for m, how in zip(stack.estimators_, stack.stack_method_, strict=True)]
    return _joined(stack, X, _parts(stack, told))


def _parts(stack: Any, told: list[NDArray]) -> list[NDArray]:
    """Columns of each member for the second stage: of two probabilities the second, all of several."""
    two = len(getattr(stack, "classes_", ())) == 2
    parts = []
    for said, method in zip(told, stack.stack_method_, strict=True):
        if said.dtype.kind not in "fiub":  # labels of members that were fitted to labels
            said = np.searchsorted(stack.classes_, said)
        part = said.reshape(len(said), -1)
        parts.append(part[:, 1:] if two and method == "predict_proba" and part.shape[1] == 2 else part)
    return parts


def _joined(stack: Any, X: Any, parts: list[NDArray]) -> Any:
    if not stack.passthrough:
        return np.hstack(parts)
    return sp.hstack([*parts, X], format=X.format) if sp.issparse(X) else np.hstack([*parts, np.asarray(X)])


def _names(stack: Any, input_features: Any) -> NDArray[Any]:
    check_is_fitted(stack)
    seen = _check_feature_names_in(stack, input_features, generate_names=stack.passthrough)
    kept = [name for name, member in stack.estimators if not isinstance(member, str)]
    prefix, names = type(stack).__name__.lower(), []
    for name, width in zip(kept, stack._widths, strict=True):
        names += [f"{prefix}_{name}"] if width == 1 else [f"{prefix}_{name}{i}" for i in range(width)]
    return np.asarray([*names, *seen] if stack.passthrough else names, dtype=object)
