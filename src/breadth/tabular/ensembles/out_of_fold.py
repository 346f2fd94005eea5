"""Predictions of rows by models that have not seen them, and the members that stacks, votes and cascades hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing, get_tags
from sklearn.utils.validation import validate_data

Splits = Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]


def disjoint_splits(cv: Any, X: Any, y: NDArray, *, classifier: bool) -> Splits:
    """Train and test rows of each fold.

    Raises:
        ValueError: if a fold tests a row that it trains on, or the folds do not test each row exactly once.
    """
    n = len(y)
    splits = [
        (_places(train, n), _places(test, n))
        for train, test in check_cv(cv, y, classifier=classifier).split(np.zeros((n, 1)), y)
    ]
    tested = np.zeros(n, np.int64)
    for fold, (train, test) in enumerate(splits):
        seen = np.zeros(n, bool)
        seen[train] = True
        if seen[test].any():
            raise ValueError(
                f"cv: fold {fold} predicts {int(seen[test].sum())} rows that it was fitted on, so that what is learned "
                "from the predictions is that members have seen the answers; give folds whose parts have no row in "
                "common, as an int does"
            )
        np.add.at(tested, test, 1)
    if (tested != 1).any():
        raise ValueError(
            f"cv must test every row exactly once; it tests {int((tested == 0).sum())} of {n} rows never and "
            f"{int((tested > 1).sum())} more than once; KFold and StratifiedKFold do"
        )
    return splits


def _places(rows: NDArray, n: int) -> NDArray[np.int64]:
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else np.arange(n)[rows]


def out_of_fold(
    members: Sequence[Any],
    X: Any,
    y: NDArray,
    splits: Splits,
    methods: Sequence[str],
    *,
    n_classes: int = 0,
    sample_weight: NDArray | None = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> list[NDArray[np.float64]]:
    """What copies of each member, fitted to the other folds, say of each row.

    Args:
        members: estimators, unfitted.
        X: rows, an array, sparse matrix or frame.
        y: targets, or class numbers below n_classes.
        splits: as of `disjoint_splits`.
        methods: "predict_proba", "decision_function" or "predict", of each member.
        n_classes: 0 for a regression.
        sample_weight: passed on to fits, shape (rows,).
        n_jobs, verbose: of joblib, over members and folds.

    Returns:
        Of each member its predictions, shape (rows,) or (rows, columns); 0 is the probability of a class that a fold's
        training rows lack.

    Raises:
        ValueError: if they lack a class, and a decision function has no column for it.
    """
    tasks = [(i, train, test) for i in range(len(members)) for train, test in splits]
    found = Parallel(n_jobs=n_jobs, verbose=verbose)(
        delayed(_fit_and_tell)(members[i], X, y, train, test, methods[i], n_classes, sample_weight)
        for i, train, test in tasks
    )
    out: list[NDArray[np.float64]] = []
    for i in range(len(members)):
        parts = [(test, told) for (j, _, test), told in zip(tasks, found, strict=True) if j == i]
        whole = np.empty((len(y), *parts[0][1].shape[1:]))
        for test, told in parts:
            whole[test] = told
        out.append(whole)
    return out


def _fit_and_tell(
    member: Any, X: Any, y: NDArray, train: NDArray, test: NDArray, method: str, n_classes: int, weight: NDArray | None
) -> NDArray[np.float64]:
    model = fitted_copy(member, _safe_indexing(X, train), y[train], None if weight is None else weight[train])
    told = np.asarray(getattr(model, method)(_safe_indexing(X, test)), np.float64)
    if n_classes == 0 or method == "predict" or not hasattr(model, "classes_"):
        return told
    if len(model.classes_) == n_classes:
        return told
    if method != "predict_proba":
        raise ValueError(
            f"the training rows of a fold have {len(model.classes_)} of {n_classes} classes, so that "
            f"{type(member).__name__}.{method} has no column for the others; give cv fewer folds, or members with "
            "predict_proba"
        )
    whole = np.zeros((len(test), n_classes))
    whole[:, np.asarray(model.classes_, np.int64)] = told
    return whole


def fitted_copy(member: Any, X: Any, y: NDArray, sample_weight: NDArray | None = None) -> Any:
    """A clone fitted to rows and, where given, their weights.

    Raises:
        ValueError: if there are weights and its fit takes none.
    """
    copy = clone(member)
    if sample_weight is None:
        return copy.fit(X, y)
    try:
        return copy.fit(X, y, sample_weight=sample_weight)
    except TypeError as error:
        if "sample_weight" not in str(error):
            raise
        raise ValueError(
            f"sample_weight was given, but {type(member).__name__}.fit takes no weights; leave the weights out, or "
            "the member"
        ) from error


def as_given(ensemble: Any, X: Any, y: Any = "no_validation", *, reset: bool) -> Any:
    """X for members to take as they will: a frame as it is, anything else as an array or a sparse matrix."""
    if y is not None and not isinstance(y, str):
        validate_data(ensemble, X, y, reset=reset, skip_check_array=True)
    if hasattr(X, "columns") and hasattr(X, "dtypes"):
        validate_data(ensemble, X, reset=reset, skip_check_array=True)
        return X
    admits = get_tags(ensemble).input_tags
    return validate_data(
        ensemble,
        X,
        *((None,) if y is None else ()),  # y is required, and its absence told
        reset=reset,
        accept_sparse=["csr", "csc"] if admits.sparse else False,
        ensure_all_finite="allow-nan" if admits.allow_nan else True,
        dtype=None,
    )


def weight_of(fit_params: dict[str, Any], n: int) -> NDArray[np.float64] | None:
    """The weights among the arguments of fit, of which there may be no other.

    Raises:
        TypeError: for another argument.
        ValueError: if weights are negative, not finite, all 0 or not as many as rows.
    """
    unknown = sorted(set(fit_params) - {"sample_weight"})
    if unknown:
        raise TypeError(f"fit takes X, y and sample_weight, got {', '.join(unknown)} too")
    if fit_params.get("sample_weight") is None:
        return None
    weight = np.asarray(fit_params["sample_weight"], np.float64)
    if weight.shape != (n,) or not np.isfinite(weight).all() or (weight < 0).any() or not weight.any():
        raise ValueError(f"sample_weight must be {n} finite numbers >= 0, not all 0, got shape {weight.shape}")
    return weight


def kept_members(ensemble: Any, *, kind: str | None = None) -> tuple[list[str], list[Any]]:
    """Names and estimators of ensemble.estimators that are not "drop".

    Args:
        kind: "classifier" or "regressor" where each must be one; None admits both.

    Raises:
        ValueError: if there is none, or names repeat or clash with parameters.
    """
    given = ensemble.estimators
    if not isinstance(given, Iterable) or not len(list(given)):
        raise ValueError(f"estimators must be a non-empty list of (name, estimator), got {given!r}")
    if any(not isinstance(pair, tuple | list) or len(pair) != 2 or not isinstance(pair[0], str) for pair in given):
        raise ValueError(f"estimators must be a list of (name, estimator), got {given!r}")
    ensemble._validate_names([name for name, _ in given])
    kept = [(name, member) for name, member in given if not (isinstance(member, str) and member == "drop")]
    if not kept:
        raise ValueError("estimators: all are 'drop'; at least one must be an estimator")
    for name, member in kept:
        if isinstance(member, type) or not hasattr(member, "fit"):
            raise ValueError(f"estimators: {name!r} must be an instance with fit, or 'drop', got {member!r}")
        if (kind == "classifier" and not is_classifier(member)) or (kind == "regressor" and not is_regressor(member)):
            raise ValueError(f"The estimator {type(member).__name__} should be a {kind}; {name!r} in estimators is not")
    return [name for name, _ in kept], [member for _, member in kept]


def admitting(tags: Any, pairs: Iterable[tuple[str, Any]]) -> Any:
    """The ensemble's tags: sparse input and missing values where every member admits them."""
    try:
        inputs = [get_tags(member).input_tags for _, member in pairs if not isinstance(member, str)]
    except Exception:  # malformed estimators are told of at fit
        return tags
    tags.input_tags.sparse = bool(inputs) and all(one.sparse for one in inputs)
    tags.input_tags.allow_nan = bool(inputs) and all(one.allow_nan for one in inputs)
    if tags.transformer_tags is not None:
        tags.transformer_tags.preserves_dtype = []
    return tags
