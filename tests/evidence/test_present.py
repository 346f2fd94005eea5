import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from breadth.evidence import present
from breadth.evidence.study import Cell, Measure, Unrun
from tests.evidence.test_verdict import simulated


@pytest.fixture
def study():
    study = simulated({"base": 0.0, "good": -0.1, "bad|pipe": 0.0}, rng=np.random.default_rng(0), tables=2, noise=0.004)
    cells = [
        replace(c, status="failed", error="ValueError: no", values={}) if c.contender == "bad|pipe" else c
        for c in study.cells
    ]
    for name, seconds in (("base", 2.0), ("good", 1.0)):
        values = {"fit_seconds": seconds, "predict_seconds": 0.1, "model_bytes": 2500.0}
        cells.append(Cell("speed", "t0", name, 0, 0, 0, "ok", values=values))
    return replace(
        study,
        measures=(*study.measures, Measure("AUC", "higher", 0.01)),
        cells=tuple(cells),
        signature={"tuning": "none", "threads": "quality: 1"},
        unrun=(Unrun("speed", "t1", "good", 3),),
    )


def test_markdown_shows_arrows_natural_signs_failures_and_what_was_not_run(study):
    text = present.as_markdown(study)
    assert "log loss ↓" in text
    assert "AUC ↑" in text
    good = next(line for line in text.splitlines() if line.startswith("| good"))
    assert "−0.1" in good
    assert "BETTER" in good
    assert "0.50\u00a0×" in good
    assert "2.5 kB" in good
    assert "FAILED bad|pipe: 10 of 10 splits failed; 10 ×: ValueError: no" in text
    assert r"| bad\|pipe" in text
    assert "NOT RUN: 3 cells" in text
    assert "speed on t1: good × 3" in text
    assert "Over 2 data sets" in text
    assert "Left out, without a value on every data set: bad|pipe" in text
    assert "fewer than 5 data sets, so no general verdict" in text
    widths = {len(line) for line in text.splitlines() if line.startswith("|")}
    assert len(widths) <= 3  # one per table: the columns line up


def test_json_is_strict_and_holds_the_same_numbers_unrounded(study):
    record = json.loads(present.as_json(study), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    base, good, bad = record["tables"][0]["results"]
    assert (base["verdict"], good["verdict"], bad["verdict"]) == ("BASELINE", "BETTER", "FAILED")
    assert good["fit_ratio"] == 0.5
    assert base["difference"] is None
    assert len(record["failures"]) == 20
    assert record["not_run"] == [{"stage": "speed", "table": "t1", "contender": "good", "cells": 3}]
    assert record["ranking"]["average_ranks"] == {"base": 2.0, "good": 1.0}
    assert good["mean"] == pytest.approx(good["measures"]["log loss"])


def test_csv_has_a_line_for_every_contender_on_every_data_set(study):
    rows = list(csv.DictReader(io.StringIO(present.as_csv(study))))
    assert [(r["table"], r["contender"]) for r in rows[:3]] == [("t0", "base"), ("t0", "good"), ("t0", "bad|pipe")]
    assert len(rows) == 6
    assert rows[2]["mean"] == ""
    assert rows[2]["reason"].startswith("10 of 10 splits failed")
    assert float(rows[1]["fit_ratio"]) == 0.5
