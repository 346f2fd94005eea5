"""The members of a bagging ensemble: their draws, their fits, their mean and their out-of-bag values."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from breadth.stats.resampling import bootstrap_indices
from breadth.tabular.ensembles.members import member_seeds, seeded_clone, validate_for
from breadth.tabular.trees.stopping import integer

if TYPE_CHECKING:
    from breadth.tabular.ensembles.bagging import BaggingClassifier, BaggingRegressor

    Bagging = BaggingClassifier | BaggingRegressor


Output = Callable[[Any, Any], NDArray[np.float64]]  # (member, X) -> (rows, outputs)


@dataclass(frozen=True, eq=False)
class Draws:
    """Which rows and columns each member sees: the same seed gives the same ones again."""

    seeds: list[np.random.SeedSequence]
    n_rows: int
    n_drawn: int
    n_features: int
    n_columns: int
    bootstrap: bool
    bootstrap_features: bool
    weight: NDArray[np.float64] | None  # (rows,)

    @classmethod
    def of(cls, bagging: Bagging, n_rows: int, n_features: int, weight: NDArray[np.float64] | None) -> Draws:
        """The draws that the parameters mean for so many rows and columns; checks them."""
        available = n_rows if weight is None else int(np.count_nonzero(weight))
        mass = n_rows if weight is None else float(weight.sum())
        if bagging.max_samples is None:
            n_drawn = n_rows if bagging.bootstrap else available
        else:
            n_drawn = _part("max_samples", bagging.max_samples, mass if bagging.bootstrap else available, round)
        if not bagging.bootstrap and n_drawn > available:
            raise ValueError(
                f"max_samples={bagging.max_samples!r} needs bootstrap=True: without replacement at most all "
                f"{available} rows of positive weight are drawn"
            )
        n_columns = _part("max_features", bagging.max_features, n_features, int)
        if n_columns > n_features:
            raise ValueError(f"max_features={bagging.max_features!r} is more than the {n_features} columns of X")
        seeds = member_seeds(bagging.random_state, integer("n_estimators", bagging.n_estimators, 1))
        return cls(seeds, n_rows, n_drawn, n_features, n_columns, bagging.bootstrap, bagging.bootstrap_features, weight)

    def of_member(self, t: int) -> tuple[NDArray[np.int64], NDArray[np.int64], np.random.Generator]:
        """Rows and columns of member t, and the generator that its own seeds come from."""
        rng = np.random.default_rng(self.seeds[t])
        if self.bootstrap:
            rows = bootstrap_indices(self.n_rows, rng, self.n_drawn, weight=self.weight)
        else:
            available = np.arange(self.n_rows) if self.weight is None else np.flatnonzero(self.weight)
            rows = np.sort(rng.choice(available, self.n_drawn, replace=False))
        columns = np.sort(rng.choice(self.n_features, self.n_columns, replace=self.bootstrap_features))
        return rows, columns, rng


def _part(name: str, value: int | float, whole: float, to_integer: Callable[[float], int]) -> int:
    """A count as it is, or a fraction of the whole."""
    if isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1:
        return int(value)
    if isinstance(value, Real) and not isinstance(value, Integral) and 0.0 < float(value) <= 1.0:
        return max(1, to_integer(float(value) * whole))
    raise ValueError(f"{name} must be an integer >= 1 or a fraction in (0, 1], got {value!r}")


def _columns(X: Any, columns: NDArray[np.int64]) -> Any:
    whole = columns.size == X.shape[1] and bool((np.diff(columns) == 1).all())
    return X if whole else X[:, columns]


def _in_order(task: Callable[[int], Any], n_members: int, n_jobs: int | None) -> Iterator[Any]:
    """task(t) for every member t on n_jobs threads, results in the order of the members."""
    threads = Parallel(n_jobs=n_jobs, backend="threading", return_as="generator")
    return threads(delayed(task)(t) for t in range(n_members))


def fit_members(bagging: Bagging, X: Any, y: NDArray, weight: NDArray[np.float64] | None) -> None:
    """Set estimator_, estimators_, estimators_features_ and the draws."""
    if bagging.oob_score and not bagging.bootstrap:
        raise ValueError("oob_score=True needs bootstrap=True")
    base = bagging._member()
    takes_weight = has_fit_parameter(base, "sample_weight")
    if weight is not None and not bagging.bootstrap and not takes_weight:
        raise ValueError(
            f"sample_weight with bootstrap=False is passed on to the members, but {base!r} takes none: use "
            "bootstrap=True, which draws rows by weight"
        )
    draws = Draws.of(bagging, X.shape[0], X.shape[1], weight)

    def one(t: int) -> tuple[Any, NDArray[np.int64]]:
        rows, columns, rng = draws.of_member(t)
        member_weight = None if weight is None or draws.bootstrap else weight[rows]
        if draws.bootstrap and takes_weight:
            rows, counts = np.unique(rows, return_counts=True)
            member_weight = counts.astype(np.float64)
        options = {} if member_weight is None else {"sample_weight": member_weight}
        return seeded_clone(base, rng).fit(_columns(X[rows], columns), y[rows], **options), columns

    fitted = list(_in_order(one, len(draws.seeds), bagging.n_jobs))
    bagging.estimator_ = base
    bagging.estimators_ = [member for member, _ in fitted]
    bagging.estimators_features_ = [columns for _, columns in fitted]
    bagging._draws = draws


def mean_output(bagging: Bagging, X: ArrayLike, output: Output) -> NDArray[np.float64]:
    """Mean of the members' outputs, (rows, outputs), added in the order of the members."""
    check_is_fitted(bagging)
    rows = validate_for(bagging, bagging.estimator_, X, reset=False)

    def one(t: int) -> NDArray[np.float64]:
        return output(bagging.estimators_[t], _columns(rows, bagging.estimators_features_[t]))

    total: NDArray[np.float64] | None = None
    for value in _in_order(one, len(bagging.estimators_), bagging.n_jobs):
        total = value if total is None else total + value
    assert total is not None  # n_estimators >= 1
    return total / len(bagging.estimators_)


def out_of_bag(bagging: Bagging, X: Any, output: Output, n_outputs: int) -> NDArray[np.float64]:
    """Mean output of the members that did not draw a row, (rows, n_outputs), NaN where all did."""

    def one(t: int) -> tuple[NDArray[np.bool_], NDArray[np.float64] | None]:
        drawn, columns, _ = bagging._draws.of_member(t)
        outside = np.ones(X.shape[0], np.bool_)
        outside[drawn] = False
        return outside, output(bagging.estimators_[t], _columns(X[outside], columns)) if outside.any() else None

    total, votes = np.zeros((X.shape[0], n_outputs)), np.zeros((X.shape[0], 1))
    for outside, value in _in_order(one, len(bagging.estimators_), bagging.n_jobs):
        if value is not None:
            total[outside] += value
            votes[outside] += 1
    never = int(np.count_nonzero(votes == 0))
    if never:
        warnings.warn(
            f"{never} of {X.shape[0]} rows were drawn by every member and have no out-of-bag value (NaN): "
            f"n_estimators={len(bagging.estimators_)} is too few for them",
            stacklevel=3,
        )
    return np.divide(total, votes, out=np.full_like(total, np.nan), where=votes > 0)


def out_of_bag_score(
    score: Callable[..., float],
    y: NDArray,
    value: NDArray[np.float64],
    weight: NDArray[np.float64] | None,
    *,
    best: Callable[[NDArray[np.float64]], NDArray],
    least: int,
) -> float:
    """Score of the rows that have an out-of-bag value and weight; NaN with fewer than `least` of them."""
    counted = ~np.isnan(value[:, 0]) if weight is None else ~np.isnan(value[:, 0]) & (weight > 0)
    if np.count_nonzero(counted) < least:
        return float("nan")
    return score(y[counted], best(value[counted]), sample_weight=None if weight is None else weight[counted])
