"""Published language models by exact costs: figures by hand, a planted saving that is found, and twins that are not."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from breadth.cli.main import main
from breadth.evidence import contenders_presets as c
from breadth.evidence.entry import Entry
from breadth.evidence.sources import read_lengths
from breadth.evidence.verdict import judge
from breadth.lm.presets import preset


def costs(name: str, lengths: list[int]) -> np.ndarray:
    return c.Accounted(name, preset(name)).predict(np.array(lengths)[:, None])


def test_costs_of_gpt_2_are_those_counted_by_hand():
    """48 layers of 1600: 12 d^2 weights, 13 d of biases and norms each; a tied head; two norms' worth at the end."""
    d, layers, vocabulary = 1600, 48, 50_257
    matrices = layers * 12 * d**2 + vocabulary * d
    vectors = layers * 13 * d + 2 * d
    cache = 2 * layers * d * 2 * 1000
    (read, flops, kept, stored) = costs("gpt2-xl", [1000])[0]
    assert read * 1e9 == pytest.approx(2 * (matrices + vectors) + cache, rel=1e-12)
    assert flops * 1e9 == pytest.approx(2 * matrices + 4 * layers * d * 1000, rel=1e-12)
    assert kept * 1e9 == pytest.approx(cache, rel=1e-12)
    assert stored * 1e9 == pytest.approx(2 * (matrices + vectors + 1024 * d), rel=1e-12)


def test_of_experts_only_those_that_a_token_meets_are_read():
    config = preset("qwen3-30b-a3b")
    expert = 3 * config.d_model * config.moe.d_ff
    more = replace(config, moe=replace(config.moe, top_k=config.moe.top_k + 1))
    lengths = np.array([[100]])
    extra = c.Accounted("more", more).predict(lengths) - c.Accounted("as published", config).predict(lengths)
    assert extra[0, 0] * 1e9 == pytest.approx(2 * expert * len(config.layers), rel=1e-9)
    assert extra[0, 2] == extra[0, 3] == 0


def test_a_window_stops_the_cache_of_its_layers_from_growing():
    short, long = costs("gpt-oss-20b", [128, 4096])[:, 2]
    assert long / short == pytest.approx((4096 + 128) / (2 * 128), rel=1e-12)  # every other layer keeps 128


def test_a_text_longer_than_the_context_is_refused():
    with pytest.raises(ValueError, match="gpt2-xl reads 1,024 tokens at most, and a text has 2,048"):
        costs("gpt2-xl", [10, 2048])


@pytest.mark.parametrize("name", ["contexts", "contexts:5", "contexts:many", "lengths:100"])
def test_unknown_lengths_are_told(name):
    with pytest.raises(ValueError, match="contexts:TOKENS"):
        read_lengths(name)


def twin(name: str, **changes) -> Entry:
    config = replace(preset("llama-3.2-1b"), **changes)
    return Entry(name, "breadth", lambda *_: c.Accounted(name, config), {})


def verdicts(*entries: Entry, data: str = "contexts:8192") -> dict[str, str]:
    from breadth.evidence.cell import Job, Split, quality
    from breadth.evidence.measures import MEASURES
    from breadth.evidence.study import Contender, Study

    prepared, measures = read_lengths(data), MEASURES["accounting"]
    cells = tuple(
        quality(
            entry, prepared.problem, prepared.X, prepared.y, Job("quality", data, entry.name, 0, fold, 0, ""),
            Split(5, 0, fold), measure=measures[0],
        )
        for entry in entries for fold in range(5)
    )  # fmt: skip
    assert all(cell.status == "ok" for cell in cells), [cell.error for cell in cells]
    contenders = tuple(Contender(entry.name, "breadth") for entry in entries)
    study = Study(
        "language-models", "?", measures, entries[0].name, contenders, (prepared.table,), cells,
        {"folds": "5", "seeds": "1"},
    )  # fmt: skip
    return {verdict.contender: verdict.call for verdict in judge(study)}


def test_fewer_key_heads_are_found_better_more_of_them_worse_and_twins_neither():
    found = verdicts(twin("as published"), twin("twin"), twin("one", n_kv_heads=1), twin("all", n_kv_heads=32))
    assert found["one"] == "BETTER" and found["all"] == "WORSE"
    assert found["twin"] in ("EQUIVALENT", "CAN'T TELL")


def test_the_command_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--jobs", "1", "--backend", "threading", "-o", "json", "--contenders", "llama-3-2-1b,gemma-3-4b,gpt2-xl"]
    assert main(["compare", "language-models", "--data", "contexts:1024", *options]) == 0
    table = json.loads(capsys.readouterr().out)["tables"][0]
    values = {line["contender"]: line["verdict"] for line in table["results"]}
    assert values == {"llama-3.2-1b": "BASELINE", "gemma-3-4b": "WORSE", "gpt2-xl": "WORSE"}
    assert main(["compare", "language-models", "--data", "contexts:2048", *options]) == 3  # gpt2-xl failed, visibly
    table = json.loads(capsys.readouterr().out)["tables"][0]
    assert {line["contender"]: line["verdict"] for line in table["results"]}["gpt2-xl"] == "FAILED"
