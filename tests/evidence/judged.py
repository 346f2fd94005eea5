"""Contenders that draw what they predict, and what a comparison of them says, measured in this process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from unittest import mock

import numpy as np

from breadth.evidence import cell, measures
from breadth.evidence.cell import Job, Split
from breadth.evidence.entry import Entry
from breadth.evidence.problem import Prepared
from breadth.evidence.study import Contender, Study
from breadth.evidence.verdict import judge

LEVEL_AND_NOISE = 0.05 * 200 + 2 * np.sqrt(200 * 0.05 * 0.95)  # 5 % of 200 replays, and two standard errors of them


class Drawn:
    """Predicts draw(rows, generator)."""

    def __init__(self, draw: Callable[[Any, np.random.Generator], Any], seed: list[int]):
        self.draw, self.seed = draw, seed

    def fit(self, X, y=None, **with_):
        return self

    def predict(self, X):
        return self.draw(X, np.random.default_rng(self.seed))

    def predict_proba(self, X):
        return self.predict(X)


def drawn(name: str, draw: Callable[[Any, np.random.Generator], Any], *, salt: int = 0) -> Entry:
    return Entry(name, "python", lambda problem, seed, n_threads, settings: Drawn(draw, [seed, salt]), {"salt": salt})


def study_of(entries: tuple[Entry, ...], prepared: Prepared, folds: int = 5) -> Study:
    """Quality cells of one repeat, measured here; the first entry is the baseline."""
    family = measures.MEASURES[prepared.problem.family]
    name = prepared.table.name
    cells = tuple(
        cell.quality(
            entry, prepared.problem, prepared.X, prepared.y, Job("quality", name, entry.name, 0, fold, fold, ""),
            Split(folds, 0, fold), measure=family[0],
        )
        for entry in entries for fold in range(folds)
    )  # fmt: skip
    assert all(c.status == "ok" for c in cells), [c.error for c in cells if c.error][:1]
    contenders = tuple(Contender(entry.name, entry.origin) for entry in entries)
    how = {"folds": str(folds), "seeds": "1"}
    return Study("planted", "Is the truth found?", family, entries[0].name, contenders, (prepared.table,), cells, how)


def calls(entries: tuple[Entry, ...], prepared: Prepared, *, measure: str | None = None) -> dict[str, str]:
    """Verdict by contender."""
    return {v.contender: v.call for v in judge(study_of(entries, prepared), measure=measure)}


def told_apart(
    draw: Callable[[Any, np.random.Generator], Any],
    tables: Callable[[int], Prepared],
    *,
    by: tuple[str | None, ...] = (None,),
) -> int:
    """Of 200 replays those in which one of two that draw alike is called BETTER or WORSE; the most of any measure."""
    told = np.zeros(len(by), int)
    with mock.patch.object(cell, "threadpool_limits", lambda *_: nullcontext()):  # looks for pools, slowly
        for i in range(200):
            study = study_of(tuple(drawn(name, draw, salt=2 * i + s) for s, name in enumerate("ab")), tables(i))
            told += [judge(study, measure=name)[1].call in ("BETTER", "WORSE") for name in by]
    return int(told.max())
