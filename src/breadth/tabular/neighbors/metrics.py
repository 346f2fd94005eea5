"""Metrics of the nearest neighbours, by their names in scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from breadth.tabular.neighbors.cosine import CosineIndex
from breadth.tabular.neighbors.sparse import SPARSE_METRICS, SparseIndex
from breadth.tabular.neighbors.table import TableIndex
from breadth.tabular.neighbors.tile import TileIndex
from breadth.tabular.neighbors.tree import build_index

Algorithm = Literal["auto", "brute", "kd_tree", "ball_tree"]
Metric = Literal[
    "minkowski", "p", "euclidean", "l2", "manhattan", "l1", "cityblock", "chebyshev", "infinity", "cosine", "hamming",
    "canberra", "braycurtis", "precomputed",
]  # fmt: skip
_SAME = {"l2": "euclidean", "l1": "manhattan", "cityblock": "manhattan", "infinity": "chebyshev", "p": "minkowski"}
_KNOWN = (
    "minkowski",
    "euclidean",
    "manhattan",
    "chebyshev",
    "cosine",
    "hamming",
    "canberra",
    "braycurtis",
    "precomputed",
)
_BY_POWER = {1.0: "manhattan", 2.0: "euclidean", np.inf: "chebyshev"}


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric and what it needs."""

    name: str  # of _KNOWN, or "function"
    power: float = 2.0  # of "minkowski"
    between: Callable[[Any, Any], float] | None = None  # of "function"


def measure_of(model: Any) -> Measure:
    """Metric of an estimator's parameters; an error where one of these is not known."""
    if not (callable(model.weights) or model.weights in ("uniform", "distance", None)):
        raise ValueError(f"weights must be 'uniform', 'distance' or a function, got {model.weights!r}")
    if model.algorithm not in ("auto", "brute", "kd_tree", "ball_tree"):
        raise ValueError(
            f"algorithm must be 'auto', 'brute', 'kd_tree' or 'ball_tree' (each is exact), got {model.algorithm!r}"
        )
    given = model.metric_params
    if given is not None and not isinstance(given, dict):
        raise ValueError(f"metric_params must be None or a dict, got {given!r}")
    if callable(model.metric):
        return Measure("function", between=partial(model.metric, **given) if given else model.metric)
    name = _SAME.get(model.metric, model.metric) if isinstance(model.metric, str) else model.metric
    if name not in _KNOWN:
        raise ValueError(f"metric must be a function or one of {', '.join(map(repr, _KNOWN))}, got {model.metric!r}")
    known = {"p"} if name == "minkowski" else set()
    for key in given or ():
        if key not in known:
            raise ValueError(f"metric_params: metric {model.metric!r} takes no {key!r}, got {given!r}")
    if name != "minkowski":
        return Measure(name)
    if given and model.p not in (None, 2, given["p"]):
        warnings.warn(f"metric_params has p={given['p']!r}: p={model.p!r} is not read", SyntaxWarning, stacklevel=4)
    p = given["p"] if given else model.p
    if isinstance(p, bool) or not isinstance(p, int | float | np.integer | np.floating) or not p > 0:
        raise ValueError(f"p must be a number above 0, got {p!r}")
    return Measure(_BY_POWER.get(float(p), name), float(p))


def takes_sparse(model: Any) -> bool:
    """Whether training rows may be sparse, with the estimator's metric."""
    name = _SAME.get(model.metric, model.metric) if isinstance(model.metric, str) else None
    if name == "minkowski":
        name = _BY_POWER.get((model.metric_params or {}).get("p", model.p))
    return callable(model.metric) or name == "precomputed" or name in SPARSE_METRICS


def index_of(model: Any, X: Any, measure: Measure) -> Any:
    """Rows prepared for exact search by a metric."""
    name = measure.name
    if name == "precomputed":
        if X.shape[0] != X.shape[1]:
            raise ValueError(f"metric 'precomputed' takes a square matrix of distances, got shape {X.shape}")
        return TableIndex(X, None)
    if name == "function":
        return TableIndex(X, measure.between)
    if sp.issparse(X):
        if name not in SPARSE_METRICS:
            raise ValueError(
                f"metric {name!r} is not for sparse rows, which take 'euclidean', 'manhattan' or 'cosine', or a "
                "function: choose one of these, or give X.toarray()"
            )
        return SparseIndex.build(X, name)
    if name in ("euclidean", "manhattan"):
        tree = name == "euclidean" and model.algorithm in ("kd_tree", "ball_tree")
        return build_index(
            X, name, "kd_tree" if tree else "brute" if model.algorithm == "brute" else "auto", model.n_neighbors
        )
    if name == "cosine":
        return CosineIndex.build(X)
    return TileIndex.build(X, name, measure.power)
