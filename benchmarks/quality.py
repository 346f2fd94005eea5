"""What the trees are worth: the same ones as LightGBM's on equal bins, and held-out loss beside three peers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.model_selection import train_test_split

from benchmarks.boosting import table
from benchmarks.harness import OURS, ROUNDS, Row, Section, Setup, Times, mean_row
from benchmarks.peers import HGB, LEAVES, LIGHTGBM, RATE, UNREGULARISED, XGBOOST, hgb, lgbm, ours, xgb
from breadth.data import Dataset, load

XGBOOST_BARE = "XGBoost, unregularised"
PEERS = (LIGHTGBM, XGBOOST, XGBOOST_BARE, HGB)
SETS = (
    "digits", "fair", "randhie_any", "randhie", "higgs_like:5000", "higgs_like:40000", "friedman:2000",
    "friedman:20000", "imbalanced:40000", "categorical:20000", "multiclass:6000", "missing:20000",
)  # fmt: skip
TINY_SETS = ("friedman:400", "higgs_like:400", "categorical:600")


def same_trees_rows(setup: Setup, raw: Times) -> list[Row]:
    n = setup.size(150_000, 3000)
    X, y = table(n)
    edges = np.quantile(X, np.linspace(0, 1, 251)[1:-1], axis=0)
    binned = np.column_stack([1 + np.searchsorted(edges[:, j], X[:, j]) for j in range(28)]).astype(np.float32)
    model = ours(setup, max_iter=20).fit(binned, y)
    peer = lgbm(setup, n_estimators=20).fit(binned, y)
    apart = [
        float(np.abs(scores - peer.predict(binned, raw_score=True, num_iteration=trees)).max())
        for trees, scores in enumerate(model.staged_decision_function(binned), 1)
    ]
    raw["same trees | largest raw difference after 1 to 20 trees"] = apart
    return [
        Row(f"largest difference of raw scores, {n:,} x 28, {trees} trees", apart[trees - 1], "absolute", bar, LIGHTGBM)
        for trees, bar in ((1, None), (5, None), (20, 1e-4))
    ]


def contenders(dataset: Dataset, setup: Setup) -> dict[str, Callable[[], Any]]:
    """Unfitted estimators that know which columns are categorical; LightGBM is told in `fit`.

    scikit-learn takes up to 255 categories; a column with more goes to it as ordered codes.
    """
    regression = dataset.task == "regression"
    categorical = np.flatnonzero(dataset.categorical_mask).tolist()
    types = ["c" if is_category else "q" for is_category in dataset.categorical_mask]
    native = {"enable_categorical": True, "feature_types": types} if categorical else {}
    narrow = [j for j in categorical if dataset.X.to_series(j).n_unique() <= 255]
    return {
        OURS: lambda: ours(setup, regression=regression, categorical_features=categorical or None),
        LIGHTGBM: lambda: lgbm(setup, regression=regression),
        XGBOOST: lambda: xgb(setup, regression=regression, **native),
        XGBOOST_BARE: lambda: xgb(setup, regression=regression, **native, **UNREGULARISED),
        HGB: lambda: hgb(setup, regression=regression, categorical_features=narrow or None),
    }


def held_out_losses(name: str, seed: int, setup: Setup) -> dict[str, float]:
    """Loss of every contender on 30 % of the rows after fitting to the others; generators draw anew for each seed."""
    dataset = load(name, seed=seed)
    X, y = dataset.to_numpy(np.float32), dataset.y
    classes = None if dataset.task == "regression" else y
    X, X_out, y, y_out = train_test_split(X, y, test_size=0.3, random_state=seed, stratify=classes)
    told = {"categorical_feature": np.flatnonzero(dataset.categorical_mask).tolist() or "auto"}
    losses = {}
    for contender, make in contenders(dataset, setup).items():
        model = make().fit(X, y, **(told if contender == LIGHTGBM else {}))
        if dataset.task == "regression":
            losses[contender] = float(mean_squared_error(y_out, model.predict(X_out)))
        else:
            p = model.predict_proba(X_out).astype(np.float64)
            p /= p.sum(axis=1, keepdims=True)  # XGBoost's are float32, with sums that are 1 only to its precision
            losses[contender] = float(log_loss(y_out, p))
    return losses


def held_out_rows(setup: Setup, raw: Times) -> list[Row]:
    seeds = range(setup.repetitions(5))
    by_set, by_peer = [], defaultdict(list)
    for name in TINY_SETS if setup.smoke else SETS:
        runs = [held_out_losses(name, seed, setup) for seed in seeds]
        raw.update({f"held-out loss | {name} | {contender}": [run[contender] for run in runs] for contender in runs[0]})
        for peer in PEERS:
            apart = [run[OURS] / run[peer] - 1 for run in runs]
            by_peer[peer].append(float(np.mean(apart)))
            mean_ours, mean_theirs = (np.mean([run[c] for run in runs]) for c in (OURS, peer))
            by_set.append(mean_row(name, apart, None, peer=peer, ours=f"{mean_ours:.5f}", theirs=f"{mean_theirs:.5f}"))
    verdicts = [
        mean_row(f"mean over {len(means)} sets", means, 0.001, peer=peer, ours="", theirs="")
        for peer, means in by_peer.items()
    ]
    return verdicts + by_set


SECTIONS = (
    Section(
        "same-trees",
        "Boosting: the same trees as LightGBM",
        "28 integer features of 250 distinct values each, so that both see the same candidate splits; raw scores of "
        f"the training rows. {LEAVES} leaves, rate {RATE}.",
        same_trees_rows,
    ),
    Section(
        "held-out",
        "Boosting: held-out loss",
        f"Log loss, or squared error for randhie and friedman, on 30 % of the rows; {ROUNDS} rounds, {LEAVES} leaves, "
        f"rate {RATE}, no early stopping, all leaf-wise, the rest as each package ships it (XGBoost: reg_lambda 1, "
        "min_child_weight 1; unregularised: 0 and 1e-3, as ours, LightGBM and scikit-learn are). Each figure is "
        "loss of ours / loss of the peer - 1: for a set the mean over seeds, in the first rows the mean over sets with "
        "its standard error, which may be up to 0.1 % or within two standard errors.",
        held_out_rows,
    ),
)
