"""A contender before it is fitted: data that says how to build it, and nothing else."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from numpy.typing import NDArray

from breadth.evidence.problem import Problem

Settings = Mapping[str, Any]


class Estimator(Protocol):
    """scikit-learn's protocol, as much of it as a cell uses."""

    def fit(self, X: NDArray, y: NDArray, **with_: Any) -> Any: ...
    def predict(self, X: NDArray) -> NDArray: ...


Make = Callable[[Problem, int, int, Settings], Estimator]  # (problem, seed, n_threads, settings)
Stages = Callable[[Any, NDArray, Problem], Iterator[NDArray]]  # predictions after each iteration


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of a comparison: its name and how to build its estimator for a problem.

    Args:
        name: what tables call it.
        origin: the package that computes: "breadth", "lightgbm", "xgboost", "scikit-learn".
        make: builds the unfitted estimator; imports its package only when called.
        settings: what is set on purpose; everything else is as the package ships it. Goes to `make` and into the table.
        space: name -> list or scipy.stats distribution, for `--tune`; empty: nothing to tune.
        fit_with: keyword arguments of `fit`, for a package that is told of categories only there; None: none.
        stages: yields predictions after each iteration, for learning curves; None: it has no stages.
        cost: rough nanoseconds of one thread for one row × feature of training, for time estimates only.
        rooms: files and folders below `breadth` whose code decides its numbers, beside those of the kind of task.
    """

    name: str
    origin: str
    make: Make
    settings: Settings = field(default_factory=dict)
    space: Mapping[str, Any] = field(default_factory=dict)
    fit_with: Callable[[Problem], Mapping[str, Any]] | None = None
    stages: Stages | None = None
    cost: float = 100.0
    rooms: tuple[str, ...] = ()

    def having(self, **settings: Any) -> Entry:
        """The same contender with some settings replaced."""
        return replace(self, settings={**self.settings, **settings})


def slug(name: str) -> str:
    """A contender's name as it is typed: `breadth-leaf-wise` for "breadth leaf-wise"."""
    return "-".join("".join(c if c.isalnum() else " " for c in name.casefold()).split())


def choose(entries: Sequence[Entry], names: Sequence[str], *, comparison: str) -> tuple[Entry, ...]:
    """The entries that the names mean, in the order of the names.

    Raises:
        ValueError: for a name that no entry has (with the nearest one), or one given twice.
    """
    known = {slug(entry.name): entry for entry in entries}
    chosen: dict[str, Entry] = {}
    for name in names:
        key = slug(name)
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"--contenders: {comparison!r} has no contender {name!r}; {hint}it has {', '.join(known)}")
        if key in chosen:
            raise ValueError(f"--contenders names {name!r} twice; name each contender once")
        chosen[key] = known[key]
    return tuple(chosen.values())
