"""Contenders that draw what they predict, and what a comparison of them says, measured in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from breadth.evidence import cell, measures, plan
from breadth.evidence.entry import Entry
from breadth.evidence.problem import Prepared
from breadth.evidence.settings import Settings
from breadth.evidence.study import Study
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


def drawn(name: str, draw: Callable[[Any, np.random.Generator], Any], *, salt: int = 0) -> Entry:
    return Entry(name, "python", lambda problem, seed, n_threads, settings: Drawn(draw, [seed, salt]), {"salt": salt})


def laid_out(entries: tuple[Entry, ...], prepared: Prepared, **settings: Any) -> plan.Plan:
    return plan.make(
        "planted",
        question="Is the truth found?",
        measures=measures.MEASURES[prepared.problem.family],
        baseline=entries[0].name,
        entries=entries,
        tables=(prepared,),
        settings=Settings(**{"seeds": 1, "rounds": 0, **settings}),
    )


def study_of(laid: plan.Plan) -> Study:
    """The plan's quality cells, measured here."""
    cells = []
    for job in laid.jobs:
        table = laid.tables[job.table]
        arguments = (laid.entries[job.contender], table.problem, table.X, table.y, job, laid.split(job))
        cells.append(cell.quality(*arguments, measure=laid.study.measures[0]))
    assert all(c.status == "ok" for c in cells), [c.error for c in cells if c.error][:1]
    return Study(**{**{f: getattr(laid.study, f) for f in laid.study.__dataclass_fields__}, "cells": tuple(cells)})


def calls(entries: tuple[Entry, ...], prepared: Prepared, *, measure: str | None = None, **settings: Any) -> dict:
    """Verdict by contender."""
    return {v.contender: v.call for v in judge(study_of(laid_out(entries, prepared, **settings)), measure=measure)}


def told_apart(
    draw: Callable[[Any, np.random.Generator], Any],
    tables: Callable[[int], Prepared],
    *,
    by: tuple[str | None, ...] = (None,),
) -> int:
    """Of 200 replays those in which one of two that draw alike is called BETTER or WORSE; the most of any measure."""
    told = np.zeros(len(by), int)
    for i in range(200):
        study = study_of(laid_out(tuple(drawn(name, draw, salt=2 * i + s) for s, name in enumerate("ab")), tables(i)))
        told += [judge(study, measure=name)[1].call in ("BETTER", "WORSE") for name in by]
    return int(told.max())
