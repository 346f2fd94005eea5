"""Detectors of drift as contenders: streams of errors whose rate changes at a known place, or does not.

A row is a stream, which each detector reads from its start, as its package ships it; what is predicted are its alarms.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from breadth.evidence.entry import Entry, Settings
from breadth.evidence.problem import Prepared, Problem
from breadth.evidence.problem_trials import from_trials, named

STREAMS = {
    "sudden": "errors of rate 0.1, from a place in the middle half on 0.3",
    "gradual": "errors of rate 0.1, which from a place in the middle half on rises to 0.3 within a fifth of the stream",
    "falling": "errors of rate 0.3, from a place in the middle half on 0.1",
    "still": "errors of rate 0.1 to the end",
}
LOW, HIGH = 0.1, 0.3
LENGTH, N_STREAMS = 2000, 100
Alarms = NDArray[np.bool_]


def read_streams(name: str, encoding: str = "utf-8") -> Prepared:
    """Streams of zeros and ones, with the place from which on they are others.

    Args:
        name: of STREAMS, with `:n` for that many items; the place of one that never changes is n.
        encoding: not read; readers are called alike.

    Raises:
        ValueError: if there is no such stream, or n is no number from 200 on.
    """
    kind, length = named(name, STREAMS, unit="items", default=LENGTH, least=200)
    rng = np.random.default_rng(0)
    at = rng.integers(length // 4, 3 * length // 4, size=N_STREAMS)
    since = np.arange(length) - at[:, None]
    share = {
        "sudden": since >= 0,
        "gradual": np.clip(since / (length // 5), 0, 1),
        "falling": since < 0,
        "still": np.zeros_like(since),
    }[kind]
    X = (rng.random(since.shape) < LOW + (HIGH - LOW) * share).astype(np.float64)
    place = np.full(N_STREAMS, length) if kind == "still" else at
    return from_trials(name, "drift", X, place, size=length, note=STREAMS[kind], rate_unit="items/s")


class Watch:
    """A detector as an estimator that has nothing to fit.

    Args:
        alarms: from one stream, shape (length,), to the positions of its alarms.
    """

    def __init__(self, alarms: Callable[[NDArray], Any]):
        self.alarms = alarms

    def fit(self, X: NDArray, y: object = None, **with_: Any) -> Self:
        return self

    def predict(self, X: NDArray) -> Alarms:
        out = np.zeros(X.shape, bool)
        for row, stream in zip(out, X, strict=True):
            row[self.alarms(stream)] = True
        return out


def _ours(name: str, problem: Problem, seed: int, n_threads: int, settings: Settings) -> Watch:
    from breadth import tabular

    make = getattr(tabular, name)
    return Watch(lambda stream: make(**settings).update_many(stream).drifts)


def _river(name: str, problem: Problem, seed: int, n_threads: int, settings: Settings) -> Watch:
    from river import drift

    make = getattr(drift.binary if name in ("DDM", "EDDM") else drift, name)

    def alarms(stream: NDArray) -> list[int]:
        detector, found = make(**settings), []
        for i, x in enumerate(stream.tolist()):
            detector.update(x)
            if detector.drift_detected:
                found.append(i)
        return found

    return Watch(alarms)


def _clock(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Watch:
    return Watch(lambda stream: np.arange(settings["every"] - 1, len(stream), settings["every"]))


def detector(name: str, kind: str, origin: str = "breadth", **settings: Any) -> Entry:
    """A detector as a contender."""
    return Entry(name, origin, partial(_river if origin == "river" else _ours, kind), settings, cost=10.0)


DDM = detector("DDM", "DDM")
OURS = (
    DDM,
    detector("EDDM", "EDDM"),
    detector("ADWIN", "ADWIN"),
    detector("Page–Hinkley", "PageHinkley"),
    detector("windows, Welch", "WindowTest", test="welch"),
    detector("windows, Kolmogorov–Smirnov", "WindowTest", test="ks"),
)
PEERS = tuple(
    detector(f"river {name}", kind, "river")
    for name, kind in (("DDM", "DDM"), ("EDDM", "EDDM"), ("ADWIN", "ADWIN"), ("Page–Hinkley", "PageHinkley"))
)
DUMMY = Entry("dummy", "numpy", _clock, {"every": 500}, cost=0.1)
