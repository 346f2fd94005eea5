"""What every grown tree has to keep, whatever the options: rows in each leaf, bounds, and steps that are finite."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from breadth.tabular import GradientBoostingClassifier, GradientBoostingRegressor


@pytest.mark.parametrize(
    "options",
    [
        {"subsample": a, "max_features": b, "min_samples_leaf": c, "growth": g}
        for a, b, c, g in itertools.product((1.0, 0.5), (1.0, 0.67), (1, 20), ("leaf", "level"))
    ],
    ids=str,
)
def test_constraints_hold_and_no_leaf_is_empty_whatever_rows_and_features_are_drawn(options):
    """A leaf that its bounds hold back and that no split helps must stay a leaf."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(1500, 3)).astype(np.float32)
        y = (X[:, 0] - X[:, 1] + 2 * np.sin(3 * X[:, 2]) + rng.normal(size=1500) > 0).astype(int)
        model = GradientBoostingClassifier(monotonic_cst=[1, -1, 0], max_iter=60, random_state=seed, **options).fit(
            X, y
        )
        assert model._ensemble.rows.min() > 0
        grid = np.repeat(X[:50], 40, axis=0)
        for feature, sign in ((0, 1), (1, -1)):
            moved = grid.copy()
            moved[:, feature] = np.tile(np.linspace(-3, 3, 40), 50)
            steps = sign * np.diff(model.decision_function(moved).reshape(50, 40), axis=1)
            assert steps.min() >= 0


def test_a_tree_without_a_split_takes_no_step_that_nothing_supports():
    """Hessians of nearly separated rows vanish, and -G / H of all of them says nothing."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    y = (X[:, 0] > 0).astype(int)
    for seed in range(5):
        model = GradientBoostingClassifier(max_iter=200, learning_rate=1.0, subsample=0.5, random_state=seed).fit(X, y)
        assert np.abs(model.decision_function(X)).max() < 1e6


@pytest.mark.parametrize("model", [GradientBoostingClassifier(), GradientBoostingRegressor()])
def test_half_of_a_validation_set_is_refused_by_name(model):
    X, y = np.zeros((40, 2)), np.arange(40) % 2
    with pytest.raises(ValueError, match="y_val was given without X_val; pass both, or neither"):
        model.fit(X, y, y_val=y)
    with pytest.raises(ValueError, match="X_val was given without y_val; pass both, or neither"):
        model.fit(X, y, X_val=X)
