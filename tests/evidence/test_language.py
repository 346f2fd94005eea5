"""Small decoders compared: texts and measures with known truths, planted contenders, nulls, and that each runs."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from breadth.cli.main import main
from breadth.evidence import cell, measures, plan
from breadth.evidence import contenders_language as c
from breadth.evidence.cell import Job, Split
from breadth.evidence.comparison import get
from breadth.evidence.entry import Entry
from breadth.evidence.problem import Prepared, from_tokens
from breadth.evidence.settings import Settings
from breadth.evidence.sources import COPIED, read_tokens
from breadth.evidence.verdict import judge


def texts(n: int = 40, length: int = 16, vocabulary: int = 5, task: Any = "modelling", seed: int = 0) -> Prepared:
    ids = np.random.default_rng(seed).integers(vocabulary, size=(n, length))
    return from_tokens("t", ids, vocabulary=vocabulary, task=task)


def calls(entries: tuple[Entry, ...], prepared: Prepared, **settings: Any) -> dict[str, str]:
    laid = plan.make(
        "planted",
        question="Is the truth found?",
        measures=measures.MEASURES[prepared.problem.family],
        baseline=entries[0].name,
        entries=entries,
        tables=(prepared,),
        settings=Settings(**{"seeds": 2, "rounds": 0, **settings}),
    )
    data = (prepared.problem, prepared.X, prepared.y)
    cells = [
        cell.quality(laid.entries[job.contender], *data, job, laid.split(job), measure=laid.study.measures[0])
        for job in laid.jobs
    ]
    assert all(done.status == "ok" for done in cells), [done.error for done in cells]
    return {v.contender: v.call for v in judge(replace(laid.study, cells=tuple(cells)))}


class Charges:
    """Tokens cost so many nats, more or less."""

    def __init__(self, nats: float, seed: int):
        self.nats, self.draw = nats, np.random.default_rng(seed)

    def fit(self, X, y=None):
        return self

    def predict(self, X):
        return self.nats + 0.1 * self.draw.normal(size=(len(X), X.shape[1] - 1))


def _charges(nats: float, salt: int, problem: Any, seed: int, n_threads: int, settings: Any) -> Charges:
    return Charges(nats, 10_000 * salt + seed)


def charging(name: str, nats: float, salt: int = 0) -> Entry:
    return Entry(name, "python", partial(_charges, nats, salt))


def test_the_dear_model_is_worse_the_cheap_one_better_and_the_twin_equivalent():
    entries = (charging("base", 2.0), charging("twin", 2.0, 1), charging("dear", 2.2), charging("cheap", 1.8))
    assert calls(entries, texts(200)) == {
        "base": "BASELINE", "twin": "EQUIVALENT", "dear": "WORSE", "cheap": "BETTER",
    }  # fmt: skip


@pytest.mark.slow
def test_alike_models_are_told_apart_in_at_most_five_percent_of_200_replays():
    told = 0
    for i in range(200):
        pair = (charging("one", 2.0, 2 * i + 1), charging("other", 2.0, 2 * i + 2))
        told += calls(pair, texts(10, 8, seed=i), seeds=1)["other"] in ("BETTER", "WORSE")
    assert told <= 0.05 * 200 + 2 * np.sqrt(200 * 0.05 * 0.95)  # the level, with two standard errors of 200 replays


def test_nats_are_means_over_texts_cut_to_l_2l_and_4l():
    nats = np.arange(15.0)[None] + np.zeros((2, 1))
    assert measures.score(texts(2).problem, np.zeros(2), nats) == {
        "nats per token": 7.0, "nats at 4L": 7.0, "nats at 2L": 3.0, "nats at L": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize(("kind", "behind"), [("copies", 6), ("far-copies", 16)])
def test_tokens_are_copied_from_where_it_is_said(kind, behind):
    X = read_tokens(f"{kind}:64", task="modelling", length=32).X
    assert (X[:, behind:] == X[:, :-behind]).mean() == pytest.approx(0.9 + 0.1 / COPIED, abs=0.005)
    assert (X[:, 5:] == X[:, :-5]).mean() == pytest.approx(1 / COPIED, abs=0.005)


def test_texts_of_a_file_are_its_byte_pairs(tmp_path):
    (tmp_path / "mine.txt").write_text("to be, or not to be. " * 2000)
    prepared = read_tokens(f"{tmp_path / 'mine.txt'}", task="modelling", length=64)
    assert prepared.table.name == "mine"
    assert prepared.table.shape == f"{len(prepared.X)} texts of 64 tokens"
    assert len(np.unique(prepared.X)) < 40
    (tmp_path / "short.txt").write_text("to be, or not to be. ")
    for name, message in (
        (str(tmp_path / "short.txt"), "too few for 20 texts"),
        ("copies:x", "write copies:64"),
        ("english:2", "no number of tokens from 4 on"),
        ("englisch", "did you mean 'english'"),
    ):
        with pytest.raises(ValueError, match=message):
            read_tokens(name, task="modelling", length=64)


@pytest.mark.parametrize(
    ("ids", "message"),
    [(np.zeros((3, 3), int), "length >= 4"), (np.zeros((3, 8)), "must be integers"),
     (np.full((3, 8), 5), "from 0 to 4"), (np.full((3, 8), -1), "from 0 to 4"), (np.zeros((0, 8), int), "n >= 1")],
)  # fmt: skip
def test_ids_that_are_no_texts_are_told(ids, message):
    with pytest.raises(ValueError, match=message):
        from_tokens("t", ids, vocabulary=5, task="modelling")


def test_bigram_counts_are_the_frequencies_smoothed():
    X = np.array([[0, 1, 0, 1], [0, 1, 1, 1]])
    model = c.Bigrams(texts(vocabulary=3).problem, weight=2.0).fit(X)
    one = np.array([4, 6, 1]) / 11  # three zeros, five ones, each and one more
    expected = (np.array([[0, 3, 0], [1, 2, 0], [0, 0, 0]]) + 2 * one) / np.array([[5], [5], [2]])
    np.testing.assert_allclose(model.predict(np.array([[2, 1, 0]])), -np.log([[expected[2, 1], expected[1, 0]]]))
    np.testing.assert_allclose(np.exp(-model.nats_).sum(1), 1)


@pytest.mark.parametrize("name", ["positions", "kv-cache"])
def test_every_contender_runs_and_is_timed(name):
    comparison, prepared = get(name), texts(20, 32)
    for entry in comparison.contenders:
        entry = entry.having(steps=1) if "steps" in entry.settings else entry
        job = Job("speed", "t", entry.name, 0, 0, 0, "")
        rows = (entry, prepared.problem, prepared.X, prepared.y, job, Split(5, 0, 0))
        done = cell.quality(*rows, measure=comparison.measures["modelling"][0], probes=comparison.probes)
        assert done.status == "ok", f"{entry.name}: {done.error}"
        timed = cell.speed(*rows, n_threads=1, warm_up=False)
        assert timed.status == "ok", f"{entry.name}: {timed.error}"
        assert timed.values["rate"] > 0 and "fit_seconds" not in timed.values


def test_positions_differ_in_nothing_else_than_the_positions():
    prepared = texts(20, 32)
    made = [e.make(prepared.problem, 0, 1, e.settings) for e in get("positions").contenders if e is not c.BIGRAMS]
    kinds = {
        (m.config.alibi, m.config.relative, m.config.sinusoidal, m.config.learned_positions, m.config.ropes,
         m.config.layers)
        for m in made
    }  # fmt: skip
    assert len(kinds) == len(made)
    neutral = {"alibi": False, "relative": None, "sinusoidal": False, "learned_positions": 0, "ropes": (),
               "layers": made[3].config.layers}  # fmt: skip
    assert len({replace(m.config, **neutral) for m in made}) == 1
    assert {m.length for m in made} == {8}


@pytest.mark.slow
def test_what_is_known_of_positions_is_found_on_copies():
    """Absolute ones that were not trained say nothing; relative ones and a window go on as before."""
    prepared = read_tokens("copies:128", task="modelling", length=128)
    train, rest = prepared.X[:320], prepared.X[320:]

    def nats(entry: Entry) -> dict[str, float]:
        entry = entry.having(steps=200)
        model = entry.make(prepared.problem, 0, 1, entry.settings).fit(train)
        return measures.score(prepared.problem, np.zeros(len(rest)), model.predict(rest))

    for entry in (c.ROPE_WINDOW, c.RELATIVE):
        found = nats(entry)
        assert found["nats at L"] < 1.6 and found["nats at 4L"] < found["nats at L"]
    for entry in (c.LEARNED, c.SINUSOIDAL):
        found = nats(entry)
        assert found["nats at L"] < 1.6 and found["nats at 4L"] > found["nats at L"] + 1
    assert nats(c.NOPE)["nats at L"] > 2.5


def test_the_command_prints_what_quick_leaves_out(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--contenders", "bigram-counts", "--jobs", "1", "--backend", "threading", "-o", "json"]
    assert main(["compare", "positions", "--data", "copies:32", "--quick", *options]) == 0
    captured = capsys.readouterr()
    assert "quick: steps 200 for 300\n" in captured.err
    record = json.loads(captured.out)
    assert record["signature"]["tier"] == "quick: steps 200 for 300"
    assert record["tables"][0]["results"][0]["measures"].keys() == {"nats at 4L", "nats at 2L", "nats at L"}
