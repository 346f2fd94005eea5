"""The contenders with equal settings: rounds, leaves, rate, leaf size, threads.

All get C-ordered float32 matrices, which LightGBM and XGBoost read as they are; scikit-learn's histogram boosting
computes in float64 and is handed that, so that its conversion is not timed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import lightgbm
import numpy as np
import xgboost
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from benchmarks.harness import OURS, Setup
from breadth.tabular import GradientBoostingClassifier, GradientBoostingRegressor

LIGHTGBM, QUANTISED, XGBOOST, HGB = "LightGBM", "LightGBM quantised", "XGBoost", "scikit-learn HGB"
LEAVES, RATE = 31, 0.1


def ours(setup: Setup, *, regression: bool = False, **settings: Any) -> Any:
    make = GradientBoostingRegressor if regression else GradientBoostingClassifier
    equal = {"max_iter": setup.rounds, "learning_rate": RATE, "max_leaf_nodes": LEAVES, "n_threads": setup.threads}
    return make(**{**equal, **settings})


def lgbm(setup: Setup, *, regression: bool = False, **settings: Any) -> Any:
    make = lightgbm.LGBMRegressor if regression else lightgbm.LGBMClassifier
    equal = {"n_estimators": setup.rounds, "learning_rate": RATE, "num_leaves": LEAVES, "n_jobs": setup.threads}
    return make(**{**equal, "verbosity": -1, **settings})


def xgb(setup: Setup, *, regression: bool = False, **settings: Any) -> Any:
    """Leaf-wise as the others. XGBoost has no smallest number of rows a leaf."""
    make = xgboost.XGBRegressor if regression else xgboost.XGBClassifier
    equal = {"n_estimators": setup.rounds, "learning_rate": RATE, "max_leaves": LEAVES, "n_jobs": setup.threads}
    leaf_wise = {"tree_method": "hist", "grow_policy": "lossguide", "max_depth": 0}
    return make(**{**equal, **leaf_wise, "verbosity": 0, **settings})


def hgb(setup: Setup, *, regression: bool = False, **settings: Any) -> Any:
    """Its threads are OMP_NUM_THREADS."""
    make = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    equal = {"max_iter": setup.rounds, "learning_rate": RATE, "max_leaf_nodes": LEAVES}
    return make(**{**equal, "early_stopping": False, **settings})


UNREGULARISED = {"reg_lambda": 0, "min_child_weight": 1e-3}  # LightGBM's, scikit-learn's and our defaults


def four_peers(setup: Setup) -> dict[str, Callable[[], Any]]:
    """Ours and the peers without regularisation, unfitted."""
    return {
        OURS: lambda: ours(setup),
        LIGHTGBM: lambda: lgbm(setup),
        QUANTISED: lambda: lgbm(setup, use_quantized_grad=True),
        XGBOOST: lambda: xgb(setup, **UNREGULARISED),
        HGB: lambda: hgb(setup),
    }


def native(name: str, X: np.ndarray) -> np.ndarray:
    """X in the type that the contender computes in."""
    return X.astype(np.float64) if name == HGB else X


def fits(makers: Mapping[str, Callable[[], Any]]) -> dict[str, Callable[[Mapping[str, Any]], Any]]:
    """Whole calls of `fit`, construction included, on data of the form {contender: (X, y, ...)}."""
    return {name: lambda given, name=name, make=make: make().fit(*given[name]) for name, make in makers.items()}
