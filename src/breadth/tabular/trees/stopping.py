"""Pre-pruning: the rules that keep a node a leaf, resolved from an estimator's parameters."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np

NO_LIMIT = 2**31 - 1
MaxFeatures = int | float | Literal["sqrt", "log2"] | None


@dataclass(frozen=True)
class StoppingRules:
    """Pre-pruning: when a node stays a leaf.

    A node is split only if depth < max_depth, it has at least min_samples_split rows, both children keep at least
    min_samples_leaf rows and min_weight_leaf weight, and (w_t / w_root)(i_t - w_L/w_t i_L - w_R/w_t i_R) reaches
    min_impurity_decrease, where i is the impurity and w the weight of a node.

    Args:
        max_depth: levels below the root, >= 1.
        min_samples_split: rows, >= 2.
        min_samples_leaf: rows, >= 1.
        max_leaf_nodes: leaves in all, >= 2; the best split anywhere is carried out first.
        min_weight_leaf: weight, >= 0.
        min_impurity_decrease: >= 0, in the criterion's units.

    Cost: O(1) per node.

    References: Breiman et al. 1984, Classification and Regression Trees, section 3.1 (stopping rules and their limits).
    Peer: sklearn.tree with the same parameters, same nodes (A).
    In production: use min_samples_leaf first; it bounds the variance of every prediction.
    """

    max_depth: int = NO_LIMIT
    min_samples_split: int = 2
    min_samples_leaf: int = 1
    max_leaf_nodes: int = NO_LIMIT
    min_weight_leaf: float = 0.0
    min_impurity_decrease: float = 0.0

    @classmethod
    def of(
        cls,
        *,
        n_rows: int,
        total_weight: float,
        max_depth: int | None,
        min_samples_split: int | float,
        min_samples_leaf: int | float,
        min_weight_fraction_leaf: float,
        max_leaf_nodes: int | None,
        min_impurity_decrease: float,
    ) -> StoppingRules:
        """The rules that an estimator's parameters mean for `n_rows` rows of weight `total_weight`.

        Fractions of min_samples_split and min_samples_leaf count as ceil(fraction * n_rows).

        Raises:
            ValueError: if a parameter is out of its range.
        """
        leaf = _count("min_samples_leaf", min_samples_leaf, 1, n_rows)
        return cls(
            max_depth=NO_LIMIT if max_depth is None else integer("max_depth", max_depth, 1),
            min_samples_split=max(_count("min_samples_split", min_samples_split, 2, n_rows), 2 * leaf),
            min_samples_leaf=leaf,
            max_leaf_nodes=NO_LIMIT if max_leaf_nodes is None else integer("max_leaf_nodes", max_leaf_nodes, 2),
            min_weight_leaf=within("min_weight_fraction_leaf", min_weight_fraction_leaf, 0.0, 0.5) * total_weight,
            min_impurity_decrease=within("min_impurity_decrease", min_impurity_decrease, 0.0, np.inf),
        )


def integer(name: str, value: Any, low: int) -> int:
    """`value` as an int, or a ValueError that names it."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < low:
        raise ValueError(f"{name} must be an integer >= {low} (or None where that is allowed), got {value!r}")
    return int(value)


def within(name: str, value: Any, low: float, high: float) -> float:
    """`value` as a float in [low, high], or a ValueError that names it."""
    if not isinstance(value, Real) or isinstance(value, bool) or not low <= float(value) <= high:
        raise ValueError(f"{name} must be a number from {low:g} to {high:g}, got {value!r}")
    return float(value)


def _count(name: str, value: Any, low: int, n_rows: int) -> int:
    """Rows meant by a count (integer) or a fraction of the rows (float)."""
    if isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= low:
        return int(value)
    if isinstance(value, Real) and not isinstance(value, Integral) and 0.0 < float(value) <= 1.0:
        return max(low, ceil(float(value) * n_rows))
    raise ValueError(f"{name} must be an integer >= {low} or a fraction of the rows in (0, 1], got {value!r}")


def count_features(max_features: MaxFeatures, n_features: int) -> int:
    """Columns tried per split: sqrt and log2 of the number of columns, a fraction of it, a count, or all for None.

    Raises:
        ValueError: if max_features is none of these.
    """
    if max_features is None:
        return n_features
    if max_features == "sqrt":
        return max(1, int(np.sqrt(n_features)))
    if max_features == "log2":
        return max(1, int(np.log2(n_features)))
    if isinstance(max_features, Integral) and not isinstance(max_features, bool) and max_features >= 1:
        return min(int(max_features), n_features)
    if isinstance(max_features, Real) and not isinstance(max_features, Integral) and 0.0 < max_features <= 1.0:
        return max(1, int(max_features * n_features))
    raise ValueError(
        "max_features must be 'sqrt', 'log2', an integer >= 1, a fraction of the columns in (0, 1] or None, "
        f"got {max_features!r}"
    )


def one_of(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise a ValueError that names the choices unless `value` is one of them."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
