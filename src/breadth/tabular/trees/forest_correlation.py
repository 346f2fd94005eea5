"""What a forest's error rests on: how strong its trees are, and how much they err together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted, validate_data

from breadth.tabular.trees.forest import RandomForestClassifier, RandomForestRegressor


class CorrelationAndStrength(NamedTuple):
    """The two quantities that bound a forest's generalisation error."""

    correlation: float  # mean correlation between two trees; nan if fewer than two trees vary
    strength: float  # mean margin of the forest (classifier), mean R^2 of a tree (regressor)
    bound: float  # correlation (1 - strength^2) / strength^2 for a classifier of positive strength, else nan


def tree_correlation_and_strength(
    forest: RandomForestClassifier | RandomForestRegressor, X: np.ndarray, y: np.ndarray
) -> CorrelationAndStrength:
    """Mean correlation between the trees of a forest, and their strength, on rows it was not grown on.

    Classifier: the raw margin of tree t at (x, y) is rmg_t = I(h_t(x) = y) - I(h_t(x) = j(x, y)), where j is the wrong
    class with most votes; the margin is mr = mean_t rmg_t, strength s = E mr, and
    correlation = var(mr) / (mean_t sd(rmg_t))^2, with E, var and sd over the rows.
    Regressor: correlation = mean over pairs of trees of the Pearson correlation of their predictions; strength = mean
    over trees of R^2.

    Args:
        forest: a fitted forest.
        X: rows unseen in training, shape (rows, features), at least 2.
        y: their targets, shape (rows,).

    Returns:
        correlation in [-1, 1], strength in [-1, 1] (classifier) or (-inf, 1] (regressor), and the bound on the error
        rate PE* <= correlation (1 - s^2) / s^2.

    Raises:
        ValueError: if X has fewer than 2 rows or other columns than the training rows, or y holds an unknown class.

    Cost: O(trees * rows * depth) time, O(trees * rows) memory.
    Deviations: Breiman estimates both out of bag; here on the rows given. A regressor's correlation is of predictions,
        not of residuals (section 11), so that it needs no target and shows how alike the trees are.
    References: Breiman 2001, "Random forests", Machine Learning 45, section 2.2: strength, raw margin function, mean
        correlation and Theorem 2.3.
    Peer: NumPy from the definitions, over scikit-learn's forest loop by loop (B).
    In production: use it to choose max_features: fewer columns lower the correlation and, in time, the strength.
    """
    check_is_fitted(forest)
    classifier = is_classifier(forest)
    X, y = validate_data(
        forest,
        X,
        y,
        reset=False,
        dtype=np.float32,
        order="C",
        ensure_all_finite="allow-nan",
        ensure_min_samples=2,
        y_numeric=not classifier,
    )
    values = forest.forest_.values_by_tree(X, forest.n_jobs)
    if not classifier:
        return _of_regressor(np.stack([v[:, 0] for v in values]), y.astype(np.float64))
    unknown = np.setdiff1d(y, forest.classes_)
    if unknown.size:
        raise ValueError(f"y holds classes unknown to the forest: {unknown.tolist()}; it knows {forest.classes_}")
    n_classes = forest.n_classes_
    # (trees, rows); two classes are stored as the probability of the second, ties go to the first
    votes = np.stack([v[:, 0] > 0.5 if n_classes == 2 else v.argmax(1) for v in values]).astype(np.int64)
    return _of_classifier(votes, np.searchsorted(forest.classes_, y), n_classes)


def _of_classifier(votes: np.ndarray, truth: np.ndarray, n_classes: int) -> CorrelationAndStrength:
    rows = np.arange(truth.size)
    share = np.stack([(votes == k).mean(0) for k in range(n_classes)], axis=1)  # (rows, classes)
    share[rows, truth] = -1.0
    rival = share.argmax(1) if n_classes > 1 else np.full(truth.size, -1)  # the wrong class with most votes
    raw = (votes == truth).astype(np.float64) - (votes == rival)  # (trees, rows)
    margin = raw.mean(0)
    strength = float(margin.mean())
    spread = float(raw.std(1).mean())
    correlation = float(margin.var()) / spread**2 if spread > 0 and len(votes) > 1 else float("nan")
    bound = correlation * (1 - strength**2) / strength**2 if strength > 0 else float("nan")
    return CorrelationAndStrength(correlation, strength, bound)


def _of_regressor(prediction: np.ndarray, y: np.ndarray) -> CorrelationAndStrength:
    residual = ((prediction - y) ** 2).mean(1)
    strength = float(1.0 - residual.mean() / y.var()) if y.var() > 0 else float("nan")
    centred = prediction - prediction.mean(1, keepdims=True)
    scale = np.sqrt((centred**2).mean(1, keepdims=True))
    z = centred[scale[:, 0] > 0] / scale[scale[:, 0] > 0]  # (trees that vary, rows)
    t = len(z)
    # the sum of all t^2 correlations is the mean square of the summed z; t of them are a tree with itself
    correlation = float(((z.sum(0) ** 2).mean() - t) / (t * (t - 1))) if t > 1 else float("nan")
    return CorrelationAndStrength(correlation, strength, float("nan"))
