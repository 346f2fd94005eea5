"""Drift detectors beside river's."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.harness import OURS, Row, Section, Setup, Times, interleave, ratio_rows

PEER = "river"
BAR = 0.1


def drift_rows(setup: Setup, raw: Times) -> list[Row]:
    from river import drift

    from breadth.tabular import ADWIN, DDM, EDDM, PageHinkley

    n, pieces = setup.size(1_000_000, 5_000), 20
    rng = np.random.default_rng(0)
    errors = (rng.random(n) < np.repeat(rng.uniform(0.05, 0.5, pieces), n // pieces)).astype(float)
    values = rng.normal(size=n) + np.repeat(2 * rng.normal(size=pieces), n // pieces)
    kinds = (
        ("DDM", DDM, drift.binary.DDM, errors),
        ("EDDM", EDDM, drift.binary.EDDM, errors),
        ("Page–Hinkley", PageHinkley, drift.PageHinkley, values),
        ("ADWIN", ADWIN, drift.ADWIN, values),
    )
    rows: list[Row] = []
    for name, own, other, stream in kinds:
        listed = stream.tolist()

        def theirs(_: Any, other: Any = other, listed: Any = listed) -> list[int]:
            detector, found = other(), []
            for i, x in enumerate(listed):
                detector.update(x)
                if detector.drift_detected:
                    found.append(i)
            return found

        def ours(_: Any, own: Any = own, stream: Any = stream) -> list[int]:
            return own().update_many(stream).drifts.tolist()

        what = f"{name}, {n:,} values"
        times = interleave({OURS: ours, PEER: theirs}, lambda _: None, reps=setup.repetitions(5))
        rows += ratio_rows(what, times, {PEER: BAR}, raw)
        differ = len(set(ours(None)) ^ set(theirs(None)))
        rows.append(Row(f"{what}: alarms that the other has not", differ, "count", 0, PEER))
    return rows


SECTIONS = (
    Section(
        "drift",
        "Drift detection",
        "A stream of errors whose rate, and one of numbers whose mean, changes at 19 places; ours takes the array at "
        "once (`update_many`), river's one value after another, as it is made to be used.",
        drift_rows,
    ),
)
