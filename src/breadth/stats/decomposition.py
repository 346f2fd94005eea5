"""Where an error comes from: bias, variance and noise, by refitting to many training sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from breadth.stats import arguments
from breadth.stats.resampling import bootstrap_indices

Floats = NDArray[np.float64]


class BiasVariance(NamedTuple):
    """Mean loss over training sets and test rows, and its parts: loss = noise + bias + variance + cross."""

    loss: float
    bias: float  # squared bias; for 0-1 loss the share of rows whose main prediction is wrong
    variance: float  # for 0-1 loss net: variance where unbiased less what it mends where biased
    noise: float  # loss of the best prediction, 0 unless that is given
    cross: float  # of mean 0 over test targets' noise; exactly 0 without a best prediction
    main: NDArray[Any]  # (m,), mean or most frequent prediction
    variance_unbiased: float  # for 0-1 loss: mean of P(prediction != main) over all rows, counted where unbiased
    variance_biased: float  # and where biased
    n_training_sets: int


def bootstrap_training_sets(
    X: Any, y: ArrayLike, n: int = 100, *, rng: np.random.Generator | int | None = 0
) -> Iterator[tuple[Any, NDArray[Any]]]:
    """Training sets drawn with replacement from one, which stand for fresh ones where there is only one.

    Args:
        X: rows that can be indexed, shape (rows, ...).
        y: targets, shape (rows,).
        n: sets, >= 1.
        rng: generator or its seed.

    Returns:
        An iterator over pairs of X and y, each of as many rows as given.

    Raises:
        ValueError: if lengths differ, there is no row, or n < 1.

    Cost: one copy of the rows a set.
    Deviations: bootstrap sets share rows with each other: bias comes out too high and variance differs from that of
        fresh sets.
    References: Efron & Tibshirani 1993, An Introduction to the Bootstrap, ch. 17.
    Peer: mlxtend.evaluate.bias_variance_decomp, which draws the same way (A).
    In production: where data can be generated, give fresh sets to `bias_variance` instead.
    """
    labels = np.asarray(y)
    if labels.ndim == 0 or not len(labels) or len(X) != len(labels):
        raise ValueError(f"X and y must have as many rows, at least one, got {len(X)} and shape {labels.shape}")
    arguments.whole("n", n, 1)
    rows = X.iloc if hasattr(X, "iloc") else X if hasattr(X, "shape") else np.asarray(X)
    generator = np.random.default_rng(rng)

    def sets() -> Iterator[tuple[Any, NDArray[Any]]]:
        for _ in range(n):
            index = bootstrap_indices(len(labels), generator)
            yield rows[index], labels[index]

    return sets()


def bias_variance(
    estimator: Any,
    training_sets: Iterable[tuple[Any, Any]],
    X_test: Any,
    y_test: ArrayLike,
    *,
    loss: Literal["squared", "zero_one"] = "squared",
    best: ArrayLike | None = None,
) -> BiasVariance:
    """Decompose an estimator's expected loss on test rows over training sets.

    Squared loss: E(y - f)^2 = (y - mean f)^2 + E(f - mean f)^2, bias plus variance; with the best prediction y* the
    first term splits into noise (y - y*)^2, bias (y* - mean f)^2 and a cross term of mean 0. 0-1 loss, with main the
    most frequent prediction: bias is whether main is wrong; variance V = P(f != main) adds to the loss where main is
    right, and where it is wrong takes off P(f = y), which is V for two classes: E[f != y] = bias + net variance.

    Args:
        estimator: with fit and predict; it is cloned for each training set.
        training_sets: pairs of X and y, at least two: fresh ones from a generator, or `bootstrap_training_sets`.
        X_test: shape (m, ...).
        y_test: targets, shape (m,).
        loss: which of the two decompositions.
        best: predictions of least risk, shape (m,): the mean, or most probable class, given x; None counts noise as
            bias.

    Returns:
        BiasVariance, averages over test rows. The parts sum to the loss exactly, but for rounding. With 0-1 loss and
        `best`, bias compares main with best, noise is the share of y != best, and cross takes the rest, which is
        noise's interaction with bias and variance and not of mean 0.

    Raises:
        ValueError: if there are fewer than two training sets, lengths differ, or a value is not finite.

    Cost: one fit and one prediction a training set.
    Deviations: of equally frequent classes the first in sorted order is main.
    References: Geman, Bienenstock & Doursat 1992, Neural Computation 4, eq. 1.5; Domingos 2000, A unified bias-variance
        decomposition, theorems 2 and 3.
    Peer: mlxtend.evaluate.bias_variance_decomp on the same sets, 1e-12; linear regression in closed form (A).
    In production: high bias asks for capacity or features, high variance for data, bagging or regularisation.
    """
    arguments.one_of("loss", loss, ("squared", "zero_one"))
    y = np.asarray(y_test)
    target = y if best is None else np.asarray(best)
    if y.ndim != 1 or not len(y) or target.shape != y.shape or len(X_test) != len(y):
        raise ValueError(
            f"X_test, y_test and best must be of one length >= 1, got {len(X_test)}, {y.shape}, {target.shape}"
        )
    predictions = []
    for X, labels in training_sets:
        found = np.asarray(clone(estimator).fit(X, labels).predict(X_test))
        if found.shape != y.shape:
            raise ValueError(f"predictions must have y_test's shape {y.shape}, got {found.shape}")
        predictions.append(found)
    if len(predictions) < 2:
        raise ValueError(f"training_sets must hold at least 2 sets for a variance, got {len(predictions)}")
    f = np.stack(predictions)  # (sets, m)
    if loss == "squared":
        if any(v.dtype.kind not in "biuf" for v in (f, y, target)):
            raise ValueError(f"loss='squared' needs numbers, got classes of dtype {y.dtype}; take loss='zero_one'")
        f, y, target = (v.astype(np.float64) for v in (f, y, target))
        if not (np.isfinite(f).all() and np.isfinite(y).all() and np.isfinite(target).all()):
            raise ValueError("y_test, best or a prediction is not finite")
        return _squared(f, y, target)
    return _zero_one(f, y, target)


def _squared(f: Floats, y: Floats, target: Floats) -> BiasVariance:
    main = f.mean(0)
    total = float(((y - f) ** 2).mean())
    noise, bias = float(((y - target) ** 2).mean()), float(((target - main) ** 2).mean())
    variance = float(((f - main) ** 2).mean())
    cross = 2 * float(((y - target) * (target - main)).mean())
    return BiasVariance(total, bias, variance, noise, cross, main, variance, 0.0, len(f))


def _zero_one(f: NDArray[Any], y: NDArray[Any], target: NDArray[Any]) -> BiasVariance:
    classes, codes = np.unique(f, return_inverse=True)
    codes = codes.reshape(f.shape)
    counts = np.stack([(codes == c).sum(0) for c in range(len(classes))])
    main = classes[counts.argmax(0)]
    biased = main != target
    spread = (f != main).mean(0)
    mended = (f == target).mean(0)
    unbiased_part, biased_part = float(np.where(biased, 0, spread).mean()), float(np.where(biased, spread, 0).mean())
    total = float((f != y).mean())
    bias, noise = float(biased.mean()), float((y != target).mean())
    net = unbiased_part - float(np.where(biased, mended, 0).mean())
    cross = total - noise - bias - net if noise else 0.0
    return BiasVariance(total, bias, net, noise, cross, main, unbiased_part, biased_part, len(f))
