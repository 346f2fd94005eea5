"""Risk, generalisation gap, and how both move with data and capacity: for any estimator with fit and predict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from breadth.stats import arguments
from breadth.stats.inference import t_test

Floats = NDArray[np.float64]
Loss = Literal["squared", "absolute", "zero_one"] | Callable[[Any, Any], Any]
LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "squared": lambda y, predicted: (y - predicted) ** 2,
    "absolute": lambda y, predicted: np.abs(y - predicted),
    "zero_one": lambda y, predicted: (y != predicted).astype(np.float64),
}


class Risk(NamedTuple):
    """A mean loss with its standard error and interval."""

    mean: float
    se: float
    low: float
    high: float
    n: int


class Gap(NamedTuple):
    """Empirical risk on the training rows, estimated true risk on held-out rows, and the difference."""

    train: Risk
    test: Risk
    gap: float  # test less train
    low: float  # of the gap, from the test rows' spread: the training risk is a given number
    high: float


class LearningCurve(NamedTuple):
    """Risks over sizes, or over values of a parameter, and repeats."""

    axis: Literal["size", "capacity"]
    values: NDArray[Any]  # (points,)
    train: Floats  # (points, repeats)
    validation: Floats  # (points, repeats)

    @property
    def gap(self) -> Floats:
        """Validation less training risk, (points, repeats)."""
        return self.validation - self.train


def empirical_risk(
    y: ArrayLike, predicted: ArrayLike, *, loss: Loss = "squared", weight: ArrayLike | None = None
) -> Risk:
    """Mean loss (1/n) sum L(y_i, f(x_i)), which estimates the risk E[L(y, f(x))] without bias where f has not seen y.

    Args:
        y: targets, shape (n,), n >= 1.
        predicted: f(x), shape (n, ...); what the loss takes.
        loss: "squared", "absolute", "zero_one", or a function of both that gives one number a row.
        weight: >= 0 with a positive sum, shape (n,); the mean and its standard error are weighted.

    Returns:
        Risk; its 95 % interval is by Student's t, infinite for a single row.

    Raises:
        ValueError: if lengths differ, there is no row, or a loss is not finite or not one number a row.

    Cost: O(n).
    References: Vapnik 1998, Statistical Learning Theory, section 1.6.
    Peer: scikit-learn's mean_squared_error, mean_absolute_error and zero_one_loss with weights, 1e-12 (A).
    In production: of the rows that f was fitted to it is too low by the generalisation gap.
    """
    values = _losses(y, predicted, loss)
    n = len(values)
    w = np.ones(n) if weight is None else arguments.finite("weight", weight)
    if w.shape != (n,) or (w < 0).any() or not w.any():
        raise ValueError(f"weight must be >= 0 with a positive sum, one for each of {n} rows, got shape {w.shape}")
    w = w / w.sum()
    if weight is None and n > 1:
        found = t_test(values)
        return Risk(float(found.estimate), float(found.se), float(found.low), float(found.high), n)
    mean = float(w @ values)
    effective = 1 / float(w @ w)
    if effective <= 1 + 1e-9:
        return Risk(mean, np.inf, -np.inf, np.inf, n)
    se = float(np.sqrt((w**2 * (values - mean) ** 2).sum() * effective / (effective - 1)))
    half = 1.959963984540054 * se
    return Risk(mean, se, mean - half, mean + half, n)


def generalisation_gap(
    estimator: Any, X_train: Any, y_train: ArrayLike, X_test: Any, y_test: ArrayLike, *, loss: Loss = "squared"
) -> Gap:
    """How much lower an estimator's risk is on the rows it was fitted to than on rows it has not seen.

    Args:
        estimator: with fit and predict; it is cloned and fitted to the training rows.
        X_train: shape (n, ...).
        y_train: shape (n,).
        X_test: other rows of the same population, shape (m, ...).
        y_test: shape (m,).
        loss: as in `empirical_risk`.

    Returns:
        Gap. Of empirical risk minimisation over a fixed class it falls as n^(-1/2), or as p/n where p parameters are
        fit to squared loss.

    Raises:
        ValueError: as `empirical_risk`.

    Cost: one fit and two predictions.
    References: Vapnik 1998, section 1.6; Shalev-Shwartz & Ben-David 2014, Understanding Machine Learning, ch. 4.
    Peer: linear regression, whose expected gap is sigma^2 p (1/n + ...) in closed form (B).
    In production: read the test risk first: a gap is no fault where the test risk is low.
    """
    fitted = _cloned(estimator).fit(X_train, y_train)
    train = empirical_risk(y_train, fitted.predict(X_train), loss=loss)
    test = empirical_risk(y_test, fitted.predict(X_test), loss=loss)
    return Gap(train, test, test.mean - train.mean, test.low - train.mean, test.high - train.mean)


def learning_curve(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    sizes: Sequence[int],
    *,
    loss: Loss = "squared",
    n_repeats: int = 10,
    test_size: float = 0.25,
    splits: Iterable[tuple[NDArray[np.intp], NDArray[np.intp]]] | None = None,
    rng: np.random.Generator | int | None = 0,
) -> LearningCurve:
    """Risk on training and held-out rows as a function of the number of training rows, over repeats.

    In each repeat rows are split at random; the first n rows of the shuffled training part are taken for each size n,
    so that sizes are nested and share their held-out rows.

    Args:
        estimator: with fit and predict; it is cloned for each fit.
        X: rows that can be indexed, shape (n, ...).
        y: targets, shape (n,).
        sizes: training rows, ascending, each >= 1 and no more than a training part holds.
        loss: as in `empirical_risk`.
        n_repeats: >= 1.
        test_size: share of rows held out, in (0, 1).
        splits: training and held-out row numbers of each repeat, in the order to take them; None draws them.
        rng: generator or its seed.

    Returns:
        LearningCurve with axis "size".

    Raises:
        ValueError: if lengths differ, sizes are not ascending or too large, or an argument is out of range.

    Cost: sizes × repeats fits.
    References: Cortes et al. 1994, Learning curves: asymptotic values and rate of convergence; Hastie, Tibshirani &
        Friedman 2009, section 7.10.
    Peer: sklearn.model_selection.learning_curve on the same splits, 1e-12 (A).
    In production: more data lower the validation risk while the two curves are apart; `diagnose` says whether.
    """
    labels = np.asarray(y)
    rows = _rows(X, labels)
    ns = [arguments.whole("sizes", n, 1) for n in sizes]
    if not ns or sorted(set(ns)) != ns:
        raise ValueError(f"sizes must be ascending without repeats, got {list(sizes)!r}")
    parts = _splits(len(labels), n_repeats, test_size, splits, rng)
    if ns[-1] > min(len(train) for train, _ in parts):
        raise ValueError(f"sizes go to {ns[-1]}, but a training part holds {min(len(t) for t, _ in parts)} rows")

    def fit(n: int, train: NDArray[np.intp]) -> tuple[Any, NDArray[np.intp]]:
        return _cloned(estimator).fit(rows(train[:n]), labels[train[:n]]), train[:n]

    return LearningCurve("size", np.array(ns), *_curve(fit, ns, parts, rows, labels, loss))


def capacity_curve(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    parameter: str,
    values: Sequence[Any],
    *,
    loss: Loss = "squared",
    n_repeats: int = 10,
    test_size: float = 0.25,
    splits: Iterable[tuple[NDArray[np.intp], NDArray[np.intp]]] | None = None,
    rng: np.random.Generator | int | None = 0,
) -> LearningCurve:
    """Risk on training and held-out rows as a function of a parameter that sets capacity, such as a tree's depth.

    Args:
        estimator: with fit, predict and set_params; it is cloned for each fit.
        X: rows that can be indexed, shape (n, ...).
        y: targets, shape (n,).
        parameter: name that set_params takes.
        values: of it, in the order of growing capacity.
        loss: as in `empirical_risk`.
        n_repeats: >= 1.
        test_size: share of rows held out, in (0, 1).
        splits: training and held-out row numbers of each repeat; None draws them.
        rng: generator or its seed.

    Returns:
        LearningCurve with axis "capacity".

    Raises:
        ValueError: if lengths differ, there is no value, or an argument is out of range.

    Cost: values × repeats fits.
    References: Hastie, Tibshirani & Friedman 2009, section 7.2 and figure 7.1.
    Peer: sklearn.model_selection.validation_curve on the same splits, 1e-12 (A).
    In production: choose the value with `breadth compare` or a search in cross-validation; this shows why it won.
    """
    labels = np.asarray(y)
    rows = _rows(X, labels)
    if not len(values):
        raise ValueError("values must hold at least one value of the parameter")
    parts = _splits(len(labels), n_repeats, test_size, splits, rng)

    def fit(value: Any, train: NDArray[np.intp]) -> tuple[Any, NDArray[np.intp]]:
        return _cloned(estimator).set_params(**{parameter: value}).fit(rows(train), labels[train]), train

    return LearningCurve("capacity", np.asarray(values), *_curve(fit, values, parts, rows, labels, loss))


def _curve(
    fit: Callable[[Any, NDArray[np.intp]], tuple[Any, NDArray[np.intp]]],
    points: Sequence[Any],
    parts: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]],
    rows: Callable[[NDArray[np.intp]], Any],
    labels: NDArray[Any],
    loss: Loss,
) -> tuple[Floats, Floats]:
    train_risk, test_risk = np.empty((2, len(points), len(parts)))
    for r, (train, test) in enumerate(parts):
        for i, point in enumerate(points):
            fitted, seen = fit(point, train)
            train_risk[i, r] = _losses(labels[seen], fitted.predict(rows(seen)), loss).mean()
            test_risk[i, r] = _losses(labels[test], fitted.predict(rows(test)), loss).mean()
    return train_risk, test_risk


def _losses(y: ArrayLike, predicted: ArrayLike, loss: Loss) -> Floats:
    """One loss a row."""
    if isinstance(loss, str):
        arguments.one_of("loss", loss, tuple(LOSSES))
    labels, found = np.asarray(y), np.asarray(predicted)
    if labels.ndim == 0 or not len(labels) or len(labels) != len(found):
        raise ValueError(f"y and predicted must be of one length >= 1, got shapes {labels.shape} and {found.shape}")
    if isinstance(loss, str) and labels.shape != found.shape:
        raise ValueError(f"predicted must have y's shape {labels.shape}, got {found.shape}")
    if loss in ("squared", "absolute") and any(v.dtype.kind not in "biuf" for v in (labels, found)):
        raise ValueError(
            f"loss={loss!r} needs numbers, got {labels.dtype} and {found.dtype}; of classes take 'zero_one'"
        )
    values = np.asarray((LOSSES[loss] if isinstance(loss, str) else loss)(labels, found), np.float64)
    if values.shape != (len(labels),) or not np.isfinite(values).all():
        raise ValueError(f"loss must give one finite number for each of {len(labels)} rows, got shape {values.shape}")
    return values


def _cloned(estimator: Any) -> Any:
    return clone(estimator)


def _rows(X: Any, labels: NDArray[Any]) -> Callable[[NDArray[np.intp]], Any]:
    if labels.ndim == 0 or len(X) != len(labels):
        raise ValueError(f"X and y must have as many rows, got {len(X)} and shape {labels.shape}")
    indexable = X.iloc if hasattr(X, "iloc") else X if hasattr(X, "shape") else np.asarray(X)
    return lambda index: indexable[index]


def _splits(
    n: int,
    n_repeats: int,
    test_size: float,
    splits: Iterable[tuple[NDArray[np.intp], NDArray[np.intp]]] | None,
    rng: np.random.Generator | int | None,
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    if splits is not None:
        parts = [(np.asarray(train), np.asarray(test)) for train, test in splits]
        if not parts or not all(len(train) and len(test) for train, test in parts):
            raise ValueError("splits must hold at least one pair of training and held-out rows, neither empty")
        return parts
    arguments.whole("n_repeats", n_repeats, 1)
    arguments.open_unit("test_size", test_size)
    held = max(1, round(test_size * n))
    if held >= n:
        raise ValueError(f"test_size {test_size!r} leaves no training row of {n}")
    generator = np.random.default_rng(rng)
    orders = [generator.permutation(n) for _ in range(n_repeats)]
    return [(order[held:], order[:held]) for order in orders]
