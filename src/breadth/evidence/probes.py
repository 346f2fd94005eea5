"""Further questions to a fitted estimator: how much it overfits, and how much there is to read in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breadth.evidence.problem import Problem

TEXTS = 20  # documents that are tokenized and put together again


def overfit_gap(
    estimator: Any, X: NDArray, y: NDArray, problem: Problem, held_out: Mapping[str, float]
) -> dict[str, float]:
    """Score on the training rows, and its lead over the held-out rows: accuracy for classes, R² for numbers."""
    name = "R2" if problem.family == "regression" else "accuracy"
    train = float(estimator.score(X, y))
    gap = {"overfit gap": train - held_out[name]} if name in held_out else {}
    return {f"train {name}": train, **gap}


def restored(
    estimator: Any, X: NDArray, y: NDArray, problem: Problem, held_out: Mapping[str, float]
) -> dict[str, float]:
    """Share of the first TEXTS training documents that come back from their tokens as they were.

    A tokenizer that folds case or white space makes shorter sequences of less text; this tells the two apart.
    """
    texts = X[:TEXTS].tolist()
    return {"restored": sum(estimator.round_trip(text) == text for text in texts) / len(texts)}


def structure(
    estimator: Any, X: NDArray, y: NDArray, problem: Problem, held_out: Mapping[str, float]
) -> dict[str, float]:
    """Leaves in all trees together, depth of the deepest, and features that any split uses.

    Nothing for an estimator that is no tree and holds none; unknown tree ensembles raise TypeError, so that a missing
    number is never taken for a zero.
    """
    origin = type(estimator).__module__.split(".")[0]
    readers = {"sklearn": _sklearn, "lightgbm": _lightgbm, "xgboost": _xgboost, "breadth": _breadth}
    if type(estimator).__name__.startswith("Dummy"):
        return {"leaves": 1.0, "depth": 0.0, "used features": 0.0}
    if origin not in readers:
        raise TypeError(f"structure cannot read trees of {type(estimator).__name__}; it knows {', '.join(readers)}")
    leaves, depth, used = readers[origin](estimator)
    return {"leaves": float(leaves), "depth": float(depth), "used features": float(used)}


def _sklearn(estimator: Any) -> tuple[int, int, int]:
    if hasattr(estimator, "_predictors"):  # histogram boosting has no public view of its trees
        nodes = [tree.nodes for stage in estimator._predictors for tree in stage]
        inner = np.concatenate([n["feature_idx"][n["is_leaf"] == 0] for n in nodes])
        return (
            sum(int(n["is_leaf"].sum()) for n in nodes),
            max(int(n["depth"].max()) for n in nodes),
            np.unique(inner).size,
        )
    members = [estimator, *getattr(estimator, "estimators_", [])]
    trees = [m.tree_ for m in members if hasattr(m, "tree_")]
    used = np.unique(np.concatenate([t.feature[t.children_left >= 0] for t in trees]))
    return sum(t.n_leaves for t in trees), max(t.max_depth for t in trees), used.size


def _lightgbm(estimator: Any) -> tuple[int, int, int]:
    booster = estimator.booster_
    trees = booster.dump_model()["tree_info"]
    used = int((booster.feature_importance("split") > 0).sum())
    return sum(t["num_leaves"] for t in trees), max(_depth(t["tree_structure"]) for t in trees), used


def _depth(node: dict) -> int:
    if "split_index" not in node:
        return 0
    return 1 + max(_depth(node["left_child"]), _depth(node["right_child"]))


def _xgboost(estimator: Any) -> tuple[int, int, int]:
    booster = estimator.get_booster()
    dumps = booster.get_dump()
    lines = [line for tree in dumps for line in tree.splitlines()]
    leaves = sum("leaf=" in line for line in lines)
    depth = max(len(line) - len(line.lstrip("\t")) for line in lines)  # one tab a level
    return leaves, depth, len(booster.get_score(importance_type="weight"))


def _breadth(estimator: Any) -> tuple[int, int, int]:
    """A tree and boosting answer for themselves, a forest through its trees."""
    if hasattr(estimator, "get_n_leaves"):
        return estimator.get_n_leaves(), estimator.get_depth(), estimator.used_features_.size
    trees = [estimator.tree(i) for i in range(estimator.n_estimators)]
    return sum(t.n_leaves for t in trees), max(int(t.node_depth().max()) for t in trees), estimator.used_features_.size
