"""Trials as a data set: rows that are small experiments whose truth is known."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breadth.evidence.problem import Prepared, Problem
from breadth.evidence.study import Table, Trial


def from_trials(
    name: str,
    task: Trial,
    X: ArrayLike,
    y: ArrayLike,
    *,
    size: int,
    n_classes: int = 0,
    cardinality: tuple[int, ...] = (),
    timed_fits: bool = False,
    note: str = "",
    rate_unit: str = "",
) -> Prepared:
    """Prepare experiments, for methods that are told a row and held against its truth.

    Args:
        name: what tables call them.
        task: what is asked of a row.
        X: what is seen of each: numbers, or strings as objects, shape (n, ...).
        y: its truth, shape (n,).
        size: of a row, in the unit of its task's table.
        n_classes, cardinality, timed_fits: as in `Problem`.
        note: provenance.
        rate_unit: of the work that a prediction does in a second, where the task has such a unit.

    Raises:
        ValueError: if there is no row, or truths are not as many as rows.
    """
    X, y = np.ascontiguousarray(X), np.ascontiguousarray(y)
    if not len(X) or y.shape != X.shape[:1]:
        raise ValueError(
            f"data set {name!r}: there must be rows, and a truth for each, got shapes {X.shape} and {y.shape}"
        )
    digest = hashlib.sha256(repr((X.shape, X.dtype.str, task, n_classes, cardinality)).encode())
    digest.update(json.dumps(X.tolist()).encode() if X.dtype == object else X.tobytes())
    digest.update(y.tobytes())
    return Prepared(
        table=Table(name, task, len(X), size, note=note, rate_unit=rate_unit),
        problem=Problem(task, n_classes, size, cardinality=cardinality, timed_fits=timed_fits),
        X=X,
        y=y,
        digest=digest.hexdigest(),
    )


def named(name: str, kinds: Collection[str], *, unit: str, default: int, least: int) -> tuple[str, int]:
    """A kind of trials and its size, from `kind` or `kind:size`.

    Raises:
        ValueError: if there is no such kind, or the size is no number from `least` on.
    """
    kind, _, count = name.partition(":")
    if kind not in kinds:
        if Path(name).is_file():
            raise ValueError(
                f"--data {name}: this comparison reads no file, for the truth must be known beforehand; the sets are "
                f"{', '.join(kinds)}"
            )
        near = difflib.get_close_matches(kind, kinds, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"--data {name}: there is no such set; the sets are {', '.join(kinds)}{hint}")
    if count and not (count.isdecimal() and int(count) >= least):
        raise ValueError(f"--data {name}: {count!r} is no number of {unit} from {least} on; write {kind}:{default}")
    return kind, int(count) if count else default


def ends(low: ArrayLike, high: ArrayLike) -> NDArray[np.float64]:
    """Intervals as predictions, shape (n, 2)."""
    return np.column_stack([np.asarray(low, np.float64), np.asarray(high, np.float64)])
