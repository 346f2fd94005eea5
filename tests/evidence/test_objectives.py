"""Objectives compared on languages whose truth is known: what decides a token lies before it, or behind it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from breadth.cli.main import main
from breadth.evidence import cell
from breadth.evidence import contenders_objectives as c
from breadth.evidence.cell import Job, Split
from breadth.evidence.comparison import get
from breadth.evidence.measures import MEASURES, score
from breadth.evidence.problem import Prepared
from breadth.evidence.sources import VOCABULARY
from tests.evidence.test_language import calls

LENGTH, N = 12, 160
TWINS = np.random.default_rng(7).permutation(c.CLASSES)


def pairs(behind: bool, hole: int, n: int = N, seed: int = 0) -> Prepared:
    """Texts of pairs: a token and its twin, which decides it. The hidden one is the first of its pair, or the second.

    Twins are other ids, so that nothing but the pair says anything of a token.
    """
    rng = np.random.default_rng(seed)
    first = rng.permutation(np.arange(n * LENGTH // 2) % c.CLASSES).reshape(n, -1)
    first[:, hole // 2] = rng.permutation(np.arange(n) % c.CLASSES)  # as many of each class: no fold lacks one
    X = np.empty((n, LENGTH), int)
    X[:, 0::2], X[:, 1::2] = (first, TWINS[first] + c.CLASSES) if behind else (TWINS[first] + c.CLASSES, first)
    y = X[:, hole].copy()
    X[:, hole] = VOCABULARY
    return c._prepared("pairs", X, y, "pairs")


def entry(which: c.Entry, steps: int = 60) -> c.Entry:
    return which.having(steps=steps, rate=2e-2)


def accuracy(which: c.Entry, prepared: Prepared, steps: int = 60, train: int = 120) -> float:
    made = entry(which, steps)
    X, y = prepared.X, prepared.y
    model = made.make(prepared.problem, 0, 1, made.settings).fit(X[:train], y[:train])
    return score(prepared.problem, y[train:], model.predict_proba(X[train:]))["accuracy"]


def test_what_is_decided_from_behind_is_found_by_masks_and_by_bayes_and_not_from_the_left():
    prepared = pairs(behind=True, hole=6)
    assert accuracy(c.MASKED[1], prepared, steps=150) > 0.8  # it learns from fewer tokens of each text
    assert accuracy(c.BOTH, prepared) > 0.9
    assert accuracy(c.LEFT, prepared) < 0.4


def test_what_is_decided_from_before_is_found_from_the_left():
    prepared = pairs(behind=False, hole=LENGTH - 1)
    assert accuracy(c.LEFT, prepared) > 0.9
    assert accuracy(c.UNTRAINED, prepared, steps=0) < 0.4


@pytest.mark.slow
def test_the_verdicts_say_so():
    found = calls((entry(c.LEFT), entry(c.BOTH), entry(c.MASKED[1], 200)), pairs(behind=True, hole=6), seeds=1)
    assert found == {c.LEFT.name: "BASELINE", c.BOTH.name: "BETTER", c.MASKED[1].name: "BETTER"}


@pytest.mark.slow
def test_a_twin_with_other_seeds_is_told_apart_in_at_most_five_percent_of_200_replays():
    from dataclasses import replace

    def other(i: int) -> c.Entry:
        return replace(entry(c.LEFT, 5), name="twin", make=lambda problem, seed, n_threads, settings: c._make(
            problem, seed + 7919 * (i + 1), n_threads, settings))  # fmt: skip

    told = 0
    for i in range(200):
        prepared = pairs(behind=True, hole=6, n=80, seed=i)  # five of each class, one a fold
        told += calls((entry(c.LEFT, 5), other(i)), prepared, seeds=1)["twin"] in ("BETTER", "WORSE")
    assert told <= 0.05 * 200 + 2 * np.sqrt(200 * 0.05 * 0.95)  # the level, with two standard errors of 200 replays


def test_both_sides_is_bayes_rule_on_the_probability_of_whole_texts():
    prepared = pairs(behind=True, hole=6, n=64)
    made = entry(c.BOTH, 3)
    model = made.make(prepared.problem, 0, 1, made.settings).fit(prepared.X, prepared.y)
    row = torch.from_numpy(prepared.X[0]).long()
    joint = []
    for token in range(c.CLASSES):
        filled = row.clone()
        filled[6] = token
        logits = model.model_(filled[None])[0].double().log_softmax(-1)
        joint.append(sum(logits[t, filled[t + 1]] for t in range(LENGTH - 1)))
    expected = torch.stack(joint).softmax(0).detach().numpy()
    np.testing.assert_allclose(model.predict_proba(prepared.X[:1])[0], expected, rtol=1e-3)  # sums in float32


def test_masked_tokens_alone_are_charged_and_are_not_seen():
    class Spy(torch.nn.Module):
        def forward(self, ids):
            self.ids = ids
            return torch.zeros(*ids.shape, 5)

    torch.manual_seed(0)
    spy, ids = Spy(), torch.randint(4, (200, 50))
    total, count = c.masked_token_loss(spy, ids, share=0.3, mask=4)
    assert int(count) == int((spy.ids == 4).sum()) == pytest.approx(3000, rel=0.05)
    assert float(total / count) == pytest.approx(np.log(5), rel=1e-5)
    assert torch.equal(spy.ids[spy.ids != 4], ids[spy.ids != 4])


def test_the_states_tell_texts_of_different_tokens_apart():
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    X = rng.integers(10, size=(90, LENGTH)) + 10 * y[:, None]
    prepared = c._prepared("topic", X, y, "three alphabets")
    assert accuracy(c.LEFT, prepared, steps=1, train=60) == accuracy(c.MASKED[0], prepared, 1, 60) == 1.0


def test_rows_that_lack_a_class_are_told():
    prepared = pairs(behind=True, hole=6)
    few = prepared.y < 10
    made = entry(c.LEFT, 1)
    with pytest.raises(ValueError, match="hold 10 of 16 classes"):
        made.make(prepared.problem, 0, 1, made.settings).fit(prepared.X[few], prepared.y[few])


@pytest.mark.parametrize("kind", ["cloze", "next"])
def test_the_hidden_token_is_a_frequent_one_of_the_text(kind, tmp_path):
    text = "".join(np.random.default_rng(0).choice(list("abcdefghij klmnop\n"), 40_000))
    (tmp_path / "mine.txt").write_text(text)
    prepared = c.read_rows(f"{kind}:{tmp_path / 'mine.txt'}")
    assert prepared.X.shape == (min(c.N_ROWS, len(prepared.X)), c.LENGTH)
    assert ((prepared.X == VOCABULARY).sum(1) == 1).all()
    place = (prepared.X == VOCABULARY).argmax(1)
    assert (place == c.LENGTH - 1).all() if kind == "next" else ((place >= 12) & (place < 36)).all()
    assert set(np.unique(prepared.y)) <= set(range(c.CLASSES))
    assert prepared.problem.vocabulary == VOCABULARY + 1
    counts = np.bincount(prepared.X.astype(int).ravel(), minlength=VOCABULARY)[:VOCABULARY]
    assert counts[: c.CLASSES].min() > counts[2 * c.CLASSES :].max()


@pytest.mark.parametrize("name", ["clozes", "topic:english"])
def test_unknown_questions_are_told(name):
    with pytest.raises(ValueError, match="there are cloze, next, topic"):
        c.read_rows(name)


def test_every_contender_runs():
    comparison, prepared = get("objectives"), pairs(behind=True, hole=6)
    for contender in comparison.contenders:
        made = entry(contender, 1) if "steps" in contender.settings else contender
        task = (prepared.problem, prepared.X, prepared.y, Job("quality", "t", "c", 0, 0, 0, "k"), Split(5, 0, 0))
        done = cell.quality(made, *task, measure=MEASURES["classification"][0])
        assert done.status == "ok", f"{contender.name}: {done.error}"


def test_the_command_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options: list[Any] = ["--jobs", "1", "--backend", "threading", "-o", "json"]
    assert main(["compare", "objectives", "--data", "topic", "--contenders", "untrained,dummy", *options]) == 0
    assert '"untrained"' in capsys.readouterr().out
