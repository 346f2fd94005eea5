"""Kinds of attention compared: the planted truth is found, a null is not taken for one, every kind can be asked."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import pytest

from breadth.cli.main import main
from breadth.evidence import cell, comparison, measures, plan
from breadth.evidence.cell import Job, Split
from breadth.evidence.entry import Entry
from breadth.evidence.problem import Prepared, from_sequences
from breadth.evidence.settings import Settings
from breadth.evidence.sources import read_sequences
from breadth.evidence.study import Study
from breadth.evidence.verdict import judge


class Rough:
    """The exact output with relative errors of about `error`, drawn anew for each sequence."""

    def __init__(self, error: float, seed: int):
        self.error, self.draw = error, np.random.default_rng(seed)

    def fit(self, X, y=None):
        return self

    def predict(self, X):
        out = measures._attended(X)
        sizes = self.error * self.draw.uniform(0.5, 1.5, size=(len(X), 1, 1, 1))
        return out * (1 + sizes * self.draw.choice([-1, 1], size=out.shape))


def _rough(error: float, salt: int, problem: Any, seed: int, n_threads: int, settings: Any) -> Rough:
    return Rough(error, 100 * seed + salt)


def rough(name: str, error: float, salt: int = 0) -> Entry:
    return Entry(name, "python", partial(_rough, error, salt))


def sequences(n: int = 20, seed: int = 0) -> Prepared:
    return from_sequences("s", np.random.default_rng(seed).normal(size=(n, 3, 1, 6, 4)))


def calls(entries: tuple[Entry, ...], prepared: Prepared, **settings: Any) -> dict[str, str]:
    laid = plan.make(
        "planted",
        question="Is the truth found?",
        measures=measures.MEASURES["attention"],
        baseline=entries[0].name,
        entries=entries,
        tables=(prepared,),
        settings=Settings(**{"seeds": 2, "rounds": 0, **settings}),
    )
    cells = []
    for job in laid.jobs:
        arguments = (laid.entries[job.contender], prepared.problem, prepared.X, prepared.y, job, laid.split(job))
        cells.append(cell.quality(*arguments, measure=laid.study.measures[0]))
    fields = {f: getattr(laid.study, f) for f in laid.study.__dataclass_fields__}
    return {v.contender: v.call for v in judge(Study(**{**fields, "cells": tuple(cells)}))}


def test_the_rough_kind_is_worse_the_exact_better_and_the_twin_equivalent():
    entries = (rough("base", 0.1), rough("twin", 0.1), rough("rough", 0.3), rough("exact", 0.0))
    assert calls(entries, sequences()) == {
        "base": "BASELINE", "twin": "EQUIVALENT", "rough": "WORSE", "exact": "BETTER",
    }  # fmt: skip


def test_alike_kinds_are_told_apart_in_at_most_five_percent_of_200_replays():
    told = 0
    for i in range(200):
        pair = (rough("one", 0.3, salt=2 * i), rough("other", 0.3, salt=2 * i + 1))
        told += calls(pair, sequences(10, seed=i), seeds=1)["other"] in ("BETTER", "WORSE")
    assert told <= 0.05 * 200 + 2 * np.sqrt(200 * 0.05 * 0.95)  # the level, with two standard errors of 200 replays


def test_the_exact_output_is_the_softmax_by_hand_also_at_large_scores():
    X = np.random.default_rng(0).normal(size=(2, 3, 2, 5, 4))
    X[1, :2] *= 100
    expected = np.empty((2, 2, 5, 4))
    for i, h, row in np.ndindex(2, 2, 5):
        scores = [sum(X[i, 0, h, row] * key) / 2 for key in X[i, 1, h]]
        weights = [np.exp(s - max(scores)) for s in scores]
        expected[i, h, row] = sum(w * v for w, v in zip(weights, X[i, 2, h], strict=True)) / sum(weights)
    np.testing.assert_allclose(measures._attended(X), expected, rtol=1e-12)  # the order of sums differs
    problem = from_sequences("s", X).problem
    assert measures.score(problem, expected, expected * 1.5)["relative error"] == pytest.approx(0.5, rel=1e-12)


def test_every_kind_can_be_asked_pickled_and_timed_and_the_exact_ones_are_exact():
    asked = comparison.get("attention")
    prepared = read_sequences("local:300")
    for entry in asked.contenders:
        job = Job("speed", prepared.table.name, entry.name, 0, 0, 0, "")
        rows = (entry, prepared.problem, prepared.X, prepared.y, job, Split(5, 0, 0))
        quality = cell.quality(*rows, measure=asked.measures["attention"][0])
        assert quality.status == "ok", f"{entry.name}: {quality.error}"
        timed = cell.speed(*rows, n_threads=1, warm_up=False)
        assert timed.status == "ok", f"{entry.name}: {timed.error}"
        assert timed.values["rate"] > 0
        exact = entry.name in ("breadth attend", "breadth naive", "torch SDPA")
        assert (quality.values["relative error"] < 1e-6) == exact, entry.name


def test_a_window_loses_little_where_near_keys_count_and_most_where_all_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["attention", "--data", "local:512", "diffuse:512", "--contenders", "torch-sdpa,breadth-window-128"]
    options = ["--jobs", "1", "--rounds", "0", "--seeds", "1", "--backend", "threading", "-o", "json"]
    assert main(["compare", *arguments, *options]) == 0
    tables = json.loads(capsys.readouterr().out)["tables"]
    error = {t["name"]: {r["contender"]: r["mean"] for r in t["results"]}["breadth window 128"] for t in tables}
    assert error["local:512"] < 0.25 < error["diffuse:512"]


def test_sequences_of_a_file_and_of_a_kind(tmp_path):
    np.save(tmp_path / "mine.npy", np.ones((10, 3, 2, 7, 4)))
    assert read_sequences(str(tmp_path / "mine.npy")).table.shape == "10 sequences of 7 tokens"
    np.save(tmp_path / "flat.npy", np.ones((10, 7)))
    np.save(tmp_path / "nan.npy", np.full((10, 3, 2, 7, 4), np.nan))
    for name, message in (
        (str(tmp_path / "flat.npy"), r"shape \(n, 3, heads, length, head_dim\)"),
        (str(tmp_path / "nan.npy"), "must be finite"),
        ("difuse", "did you mean 'diffuse'"),
        ("local:0", "no number of tokens"),
    ):
        with pytest.raises(ValueError, match=message):
            read_sequences(name)
