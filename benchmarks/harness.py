"""Interleaved timing, and what is said about it: medians of paired ratios with their spread."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

OURS = "breadth"
ROUNDS = 100
Times = dict[str, list[float]]  # contender -> seconds, one a repetition
Unit = Literal["ratio", "seconds", "CPU seconds", "relative", "absolute", "count"]


@dataclass(frozen=True, slots=True)
class Setup:
    """How much to run: `smoke` takes tiny sizes, whose figures mean nothing; `reps` overrides every repetition."""

    threads: int
    smoke: bool = False
    reps: int | None = None

    def size(self, full: int, tiny: int) -> int:
        return tiny if self.smoke else full

    @property
    def rounds(self) -> int:
        """Of every boosting fit."""
        return self.size(ROUNDS, 5)

    def repetitions(self, full: int) -> int:
        return self.reps or (2 if self.smoke else full)


class Spread(NamedTuple):
    """Order statistics of one figure over its repetitions."""

    median: float
    lower: float  # first quartile
    upper: float  # third quartile
    least: float
    most: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        lower, median, upper = np.quantile(values, (0.25, 0.5, 0.75))
        return cls(float(median), float(lower), float(upper), float(min(values)), float(max(values)), len(values))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a figure of ours, mostly relative to a peer, beside the bar it has to stay under.

    Args:
        what: the work.
        figure: what is judged.
        unit: of figure and bar.
        bar: largest figure that is OK; None where nothing is promised.
        peer: who stands beside; empty where nobody does.
        ours, theirs: the two quantities behind the figure, as text.
        spread: of the figure; None where it was taken once.
        error: standard error of the figure, a mean; with it twice that much is also OK.
        n: repetitions.
    """

    what: str
    figure: float
    unit: Unit
    bar: float | None = None
    peer: str = ""
    ours: str = ""
    theirs: str = ""
    spread: Spread | None = None
    error: float | None = None
    n: int = 1

    @property
    def allowed(self) -> float | None:
        return self.bar if self.bar is None or self.error is None else max(self.bar, 2 * self.error)

    @property
    def verdict(self) -> str:
        behind = f"{self.peer} is faster" if self.unit == "ratio" and self.figure > 1 else ""
        if self.allowed is None:
            return behind or "reported"
        if self.figure <= self.allowed:
            return "; ".join(filter(None, ("OK", behind)))
        return "; ".join(filter(None, ("SHORT OF BAR", behind)))


class Section(NamedTuple):
    """A table of the report: `rows` measures; `about` says on what and how."""

    name: str
    title: str
    about: str
    rows: Callable[[Setup, Times], list[Row]]


def interleave(
    contenders: Mapping[str, Callable[[Any], Any]],
    data: Callable[[int], Any],
    *,
    reps: int,
    warm_up: Any = None,
    look: Callable[[str, int, Any, Any], None] | None = None,
) -> Times:
    """Wall seconds of every contender in turn, `reps` times over.

    Each repetition starts with the next contender, so that nobody always runs after the same neighbour; garbage is
    collected before each run, outside its time.

    Args:
        contenders: name -> what is timed; it takes the repetition's data.
        data: repetition -> data; made outside the time.
        reps: repetitions, >= 1.
        warm_up: data of one run of every contender that does not count; None takes those of the first repetition.
        look: called with (name, repetition, data, result) after each run, outside the time.
    """
    first = data(0) if warm_up is None else warm_up
    for run in contenders.values():
        run(first)
    times: Times = {name: [] for name in contenders}
    names = list(contenders)
    for r in range(reps):
        given = data(r)
        for name in names[r % len(names) :] + names[: r % len(names)]:
            gc.collect()
            began = time.perf_counter()
            result = contenders[name](given)
            times[name].append(time.perf_counter() - began)
            if look is not None:
                look(name, r, given, result)
            del result  # its memory is returned before the next one runs, not during it
    return times


def ratio_rows(what: str, times: Times, bars: Mapping[str, float | None], raw: Times) -> list[Row]:
    """A row for each peer: the median over repetitions of our time / its time in the same repetition."""
    raw.update({f"{what} | {name}": seconds for name, seconds in times.items()})
    rows = []
    for peer, bar in bars.items():
        spread = Spread.of([a / b for a, b in zip(times[OURS], times[peer], strict=True)])
        ours, theirs = (duration(float(np.median(times[name]))) for name in (OURS, peer))
        rows.append(Row(what, spread.median, "ratio", bar, peer, ours, theirs, spread=spread, n=spread.n))
    return rows


def mean_row(what: str, differences: Sequence[float], bar: float | None, *, peer: str, ours: str, theirs: str) -> Row:
    """A row for the mean of relative differences, with its standard error."""
    n = len(differences)
    error = float(np.std(differences, ddof=1) / np.sqrt(n)) if n > 1 else None
    spread = Spread.of(differences)
    mean = float(np.mean(differences))
    return Row(what, mean, "relative", bar, peer, ours, theirs, spread=spread, error=error, n=n)


def duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"
