"""Comparisons of tokenizers, indexes and similarities: the planted truth is found, and a null is not taken for one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from breadth.cli.main import main
from breadth.evidence import cell, comparison, measures, plan, present, runner
from breadth.evidence.cell import Job, Split
from breadth.evidence.problem import from_documents, from_vectors
from breadth.evidence.settings import Settings
from breadth.evidence.sources import read_text, read_vectors
from breadth.evidence.store import Store
from breadth.evidence.study import Study
from breadth.evidence.verdict import judge, speed
from tests.evidence import planted_rows as planted


def laid_out(entries, prepared, **settings):
    return plan.make(
        "planted",
        question="Is the truth found?",
        measures=measures.MEASURES[prepared.problem.family],
        baseline=entries[0].name,
        entries=entries,
        tables=(prepared,),
        settings=Settings(**{"seeds": 2, "rounds": 0, **settings}),
    )


def study_of(laid: plan.Plan) -> Study:
    """The plan's quality cells, measured here."""
    cells = []
    for job in laid.jobs:
        table = laid.tables[job.table]
        arguments = (laid.entries[job.contender], table.problem, table.X, table.y, job, laid.split(job))
        cells.append(cell.quality(*arguments, measure=laid.study.measures[0], probes=laid.probes))
    return Study(**{**{f: getattr(laid.study, f) for f in laid.study.__dataclass_fields__}, "cells": tuple(cells)})


def calls(laid):
    return {v.contender: v.call for v in judge(study_of(laid))}


def test_the_tokenizer_of_longer_tokens_is_better_and_its_twin_equivalent():
    sizes = {"four": 4, "twin": 4, "five": 5, "three": 3}
    entries = tuple(planted.chunks(name, size=size) for name, size in sizes.items())
    assert calls(laid_out(entries, planted.documents())) == {
        "four": "BASELINE", "twin": "EQUIVALENT", "five": "BETTER", "three": "WORSE",
    }  # fmt: skip


def test_the_search_that_loses_neighbours_is_worse_and_its_twin_equivalent():
    entries = (
        planted.forgetful("exact", loss=0.0),
        planted.forgetful("twin", loss=0.0),
        planted.forgetful("lossy", loss=0.2),
    )
    assert calls(laid_out(entries, planted.vectors())) == {"exact": "BASELINE", "twin": "EQUIVALENT", "lossy": "WORSE"}


@pytest.mark.parametrize(
    "pair",
    [
        lambda i: (planted.documents(30, seed=i), planted.chunks, {"size": 4, "noise": 0.3}),
        lambda i: (planted.vectors(60, seed=i), planted.forgetful, {"loss": 0.3}),
    ],
    ids=["tokenizers", "searches"],
)
def test_alike_contenders_are_told_apart_in_at_most_five_percent_of_200_replays(pair):
    told = 0
    for i in range(200):
        prepared, make, settings = pair(i)
        one, other = (make(name, **settings, salt=2 * i + salt) for salt, name in enumerate(("one", "other")))
        told += calls(laid_out((one, other), prepared, seeds=1))["other"] in ("BETTER", "WORSE")
    assert told <= 0.05 * 200 + 2 * np.sqrt(200 * 0.05 * 0.95)  # the level, with two standard errors of 200 replays


def test_scores_are_the_counts_by_hand():
    problem = from_documents("d", ["ab cd", "é"]).problem
    values = measures.score(problem, np.array(["ab cd", "é"], object), np.array([[3, 0], [1, 1]]))
    assert values == {"bytes per token": 7 / 4, "tokens per word": 4 / 3, "unknown tokens": 1 / 4}
    base, queries = np.eye(12)[:11], np.eye(12)[11:] + np.arange(12) / 100
    problem = from_vectors("v", base, metric="dot").problem
    truth = measures.answers(problem, base, queries, np.zeros(1))
    assert truth.tolist() == [list(range(10, 0, -1))]
    assert measures.score(problem, truth, truth[:, ::-1])["recall@10"] == 1
    assert measures.score(problem, truth, np.where(truth == 10, 0, truth))["recall@10"] == 0.9


@pytest.mark.parametrize("predicted", [np.zeros((1, 2)), np.zeros((3, 2)), np.full((2, 2), np.nan)])
def test_a_prediction_of_the_wrong_shape_or_without_a_number_fails_the_cell(predicted):
    with pytest.raises(ValueError, match="predictions"):
        measures.score(from_documents("d", ["a"]).problem, np.array(["ab cd", "e"], object), predicted)


def test_rates_and_restored_texts_reach_every_output(tmp_path):
    laid = laid_out(
        (planted.chunks("four", size=4), planted.chunks("twin", size=4)), planted.documents(), seeds=1, rounds=1
    )
    with Store(tmp_path / "db.sqlite") as store:
        study = runner.run(laid, store)
        again = runner.run(laid, store)
    assert [c for c in study.cells if c.status != "ok"] == []
    assert again.cells == study.cells  # resumed
    assert all(s.rate > 0 for s in speed(study))
    text = present.as_markdown(study)
    assert "MB/s ↑" in text
    assert "60 documents of" in text
    results = json.loads(present.as_json(study))["tables"][0]["results"]
    assert all(r["rate"] > 0 for r in results)
    assert "rate" in present.as_csv(study).splitlines()[0]


def test_documents_of_a_file_are_its_lines_put_together(tmp_path):
    (tmp_path / "notes.txt").write_text("a line of text\n" * 1000, encoding="utf-8")
    prepared = read_text(str(tmp_path / "notes.txt"))
    assert "".join(prepared.X) == "a line of text\n" * 1000
    assert prepared.table.name == "notes"
    assert len(prepared.X) == 4
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(ValueError, match="the file is empty"):
        read_text(str(tmp_path / "empty.txt"))
    (tmp_path / "latin.txt").write_bytes("né\n".encode("latin-1"))
    with pytest.raises(ValueError, match="name the text's encoding"):
        read_text(str(tmp_path / "latin.txt"))
    assert read_text(str(tmp_path / "latin.txt"), "latin-1").X.tolist() == ["né\n"]
    with pytest.raises(ValueError, match="did you mean 'english'"):
        read_text("englsh")


def test_vectors_of_a_file_and_of_a_set(tmp_path):
    np.save(tmp_path / "mine.npy", np.eye(30))
    assert read_vectors(str(tmp_path / "mine.npy")).table.shape == "30 vectors of 30 dimensions"
    assert read_vectors("clustered:50").X.shape == (50, 64)
    np.save(tmp_path / "zero.npy", np.zeros((30, 3)))
    (tmp_path / "text.npy").write_text("no array")
    for name, message in (
        ("zero.npy", "has no angle"),
        ("text.npy", "not a .npy file"),
        ("absent.npy", "no such file"),
    ):
        with pytest.raises(ValueError, match=message):
            read_vectors(str(tmp_path / name))
    with pytest.raises(ValueError, match="no number of vectors"):
        read_vectors("lsa:many")
    np.save(tmp_path / "nan.npy", np.full((30, 3), np.nan))
    with pytest.raises(ValueError, match="must be finite"):
        read_vectors(str(tmp_path / "nan.npy"))


@pytest.mark.parametrize("option", [{"target": "y"}, {"task": "binary"}, {"suite": True}])
def test_options_of_tables_are_refused_where_there_is_no_table(option):
    with pytest.raises(ValueError, match="belongs to comparisons on tables"):
        comparison.tables(comparison.get("tokenizers"), **option)


@pytest.mark.parametrize("name", ["tokenizers", "ann", "similarity"])
def test_every_contender_of_every_comparison_can_be_fitted_asked_and_pickled(name):
    for package in ("tokenizers", "tiktoken", "sentencepiece", "faiss", "hnswlib"):
        pytest.importorskip(package)
    asked = comparison.get(name)
    if name == "tokenizers":
        prepared = from_documents("few", read_text("english").X[:12].tolist())
    else:
        prepared = read_vectors("clustered:400")
    for entry in asked.contenders:
        entry = entry.having(vocab_size=400) if "vocab_size" in entry.settings else entry
        job = Job("speed", prepared.table.name, entry.name, 0, 0, 0, "")
        split = Split(3, 0, 0)
        rows = (entry, prepared.problem, prepared.X, prepared.y, job, split)
        first = asked.measures[prepared.problem.family][0]
        quality = cell.quality(*rows, measure=first, probes=asked.probes)
        assert quality.status == "ok", f"{entry.name}: {quality.error}"
        assert first.name in quality.values
        timed = cell.speed(*rows, n_threads=1, warm_up=False)
        assert timed.status == "ok", f"{entry.name}: {timed.error}"
        assert timed.values["rate"] > 0


def test_on_vectors_of_length_one_all_measures_find_the_same_neighbours(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    X = np.random.default_rng(0).normal(size=(300, 6)) * np.random.default_rng(1).lognormal(size=(300, 1))
    np.save("raw.npy", X)
    np.save("unit.npy", X / np.linalg.norm(X, axis=1, keepdims=True))
    arguments = ["similarity", "--data", "raw.npy", "unit.npy", "--jobs", "1", "--rounds", "0", "--seeds", "1"]
    assert main(["compare", *arguments, "--backend", "threading", "-o", "json"]) == 0
    tables = json.loads(capsys.readouterr().out)["tables"]
    found = {t["name"]: {r["contender"]: r["verdict"] for r in t["results"]} for t in tables}
    assert found["unit"] == {"cosine": "BASELINE", "dot product": "EQUIVALENT", "Euclidean distance": "EQUIVALENT"}
    assert found["raw"] == {"cosine": "BASELINE", "dot product": "WORSE", "Euclidean distance": "WORSE"}
