"""Early stopping beside LightGBM's."""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest

from breadth.nn.stopping import EarlyStopping

ROUNDS = 60


def lightgbm_stops(values: np.ndarray, patience: int, min_delta: float, maximise: bool) -> tuple[int, int]:
    """Best and last round, from 0, of a training whose validation metric is `values` whatever it predicts."""
    rng = np.random.default_rng(0)
    shown = iter(values.tolist())
    train = lightgbm.Dataset(rng.normal(size=(40, 2)), rng.normal(size=40), params={"verbose": -1})
    booster = lightgbm.train(
        {"objective": "regression", "metric": "none", "verbose": -1, "min_data_in_leaf": 1, "num_threads": 1},
        train,
        ROUNDS,
        valid_sets=[train.create_valid(rng.normal(size=(4, 2)), rng.normal(size=4))],
        feval=lambda prediction, data: ("walk", next(shown), maximise),
        callbacks=[lightgbm.early_stopping(patience, verbose=False, min_delta=min_delta)],
    )
    return booster.best_iteration - 1, ROUNDS - len(list(shown)) - 1


@pytest.mark.parametrize("maximise", [False, True])
@pytest.mark.parametrize(("patience", "min_delta"), [(1, 0.0), (5, 0.0), (5, 0.5), (20, 1.0), (100, 0.0)])
def test_best_and_last_check_are_lightgbms_on_walks_with_ties(patience, min_delta, maximise):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        walk = np.round(rng.normal(size=ROUNDS).cumsum(), 1 - seed % 2)  # rounded to tenths or ones: ties
        stopping = EarlyStopping(patience, min_delta=min_delta, mode="max" if maximise else "min", restore_best=False)
        for last, value in enumerate(walk):  # noqa: B007
            stopping.update(value)
            if stopping.stop:
                break
        assert (stopping.best_check, last) == lightgbm_stops(walk, patience, min_delta, maximise)
