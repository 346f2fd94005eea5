"""Token pruning on a decoder whose weights are known: what is lost where is known beforehand."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")

from breadth.cli.main import main
from breadth.evidence import contenders_pruning as c
from breadth.evidence.comparison import get


def accuracy(entry, prepared) -> float:
    estimator = entry.make(prepared.problem, 0, 1, entry.settings).fit(prepared.X, prepared.y)
    return float((estimator.predict(prepared.X) == prepared.y).mean())


@pytest.fixture(scope="module")
def prompts():
    return c.read_prompts("retrieval:256")


def test_a_question_has_one_answer_among_its_pairs(prompts):
    X = prompts.X.astype(int)
    assert X.shape == (c.N_PROMPTS, 256)
    asked = X[:, -1] - c.KEYS * c.VALUES
    for row, key, answer in zip(X[:, :-1], asked, prompts.y, strict=True):
        assert [token % c.VALUES for token in row if token // c.VALUES == key] == [answer]


def test_the_decoder_answers_all_with_all_tokens_and_with_those_that_late_attention_chooses(prompts):
    assert accuracy(c.WHOLE, prompts) == 1.0
    assert accuracy(c.LATE, prompts) == 1.0


def test_what_is_dropped_blindly_or_too_early_is_lost(prompts):
    whole, early = accuracy(c.WHOLE, prompts), accuracy(c.EARLY[1], prompts)
    layer_wise = accuracy(c.LAYER_WISE[1], prompts)
    blind = accuracy(c.RANDOM, prompts)
    assert blind < 0.6 and accuracy(c.LAST, prompts) < 0.6
    assert early < layer_wise <= whole
    assert blind < layer_wise


def test_the_time_that_is_saved_is_work_that_is_not_done(prompts):
    """Tokens that each layer computed, rather than seconds."""
    import torch

    from breadth.lm.lazy import LazyLM
    from breadth.lm.prune import layer_wise_schedule

    model = c.decoder(256)
    lazy = LazyLM(model, layer_wise_schedule(8, begin=1, end_keep=0.2), length=256)
    lazy.read(torch.from_numpy(prompts.X[:1]).long())
    assert lazy.computed[:2] == [256, 256] and lazy.computed[-1] == 52
    assert sum(lazy.computed) < 0.75 * 8 * 256


@pytest.mark.parametrize(
    ("name", "words"), [("retreival", "there is 'retrieval'"), ("retrieval:1", "write retrieval:2048")]
)
def test_unknown_prompts_are_told(name, words):
    with pytest.raises(ValueError, match=words):
        c.read_prompts(name)


def test_the_command_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--jobs", "1", "--rounds", "1", "--seeds", "1", "--backend", "threading", "-o", "json"]
    chosen = ["--data", "retrieval:64", "--contenders", "all-tokens,20%-at-random,dummy"]
    assert main(["compare", "token-pruning", *chosen, *options]) == 0
    table = json.loads(capsys.readouterr().out)["tables"][0]
    values = {line["contender"]: line for line in table["results"]}
    assert set(values) == {"all tokens", "20% at random", "dummy"}
    assert np.isfinite(len(get("token-pruning").contenders))
