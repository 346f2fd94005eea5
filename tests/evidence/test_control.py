"""Methods of reinforcement learning compared: planted truths and nulls, every contender runs, wrong names are told."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from breadth.cli.main import main
from breadth.evidence import cell, measures, plan
from breadth.evidence import contenders_control as c
from breadth.evidence.cell import Job, Split
from breadth.evidence.comparison import get
from breadth.evidence.entry import Entry
from breadth.evidence.settings import Settings
from breadth.evidence.sources import read_control
from breadth.evidence.verdict import judge

gymnasium = pytest.importorskip("gymnasium")


def lean(share: float):
    """A policy for CartPole, made anew for each seed: towards the side that the pole falls to, with some lapses."""

    def train(environment: str, seed: int, settings: Any) -> c.Predict:
        draw = np.random.default_rng(seed)
        return lambda x: np.where(
            draw.random(len(x)) < share, 1 - (x[:, 2] + x[:, 3] > 0), x[:, 2] + x[:, 3] > 0
        ).astype(int)

    return train


def played(name: str, share: float, salt: int = 0) -> Entry:
    train = lean(share)
    return Entry(name, "python", lambda problem, seed, n_threads, settings: c.Agent(
        train, problem.environment, seed + salt, n_threads, settings))  # fmt: skip


def calls(entries: tuple[Entry, ...], n_starts: int, **settings: Any) -> dict[str, str]:
    prepared = read_control(f"CartPole-v1:{n_starts}")
    laid = plan.make(
        "rl",
        question="Is the truth found?",
        measures=measures.MEASURES["control"],
        baseline=entries[0].name,
        entries=entries,
        tables=(prepared,),
        settings=Settings(**{"seeds": 2, "rounds": 0, **settings}),
    )
    cells = [
        cell.quality(laid.entries[job.contender], prepared.problem, prepared.X, prepared.y, job, laid.split(job),
                     measure=laid.study.measures[0])
        for job in laid.jobs
    ]  # fmt: skip
    assert all(done.status == "ok" for done in cells)
    return {v.contender: v.call for v in judge(replace(laid.study, cells=tuple(cells)))}


def test_lapses_are_found_worse_and_a_twin_is_not():
    entries = (played("steady", 0.1), played("twin", 0.1, salt=10_000), played("lapses", 0.3), played("falls", 1.0))
    found = calls(entries, 60)
    assert found["lapses"] == found["falls"] == "WORSE"
    assert found["twin"] not in ("BETTER", "WORSE")


@pytest.mark.slow
def test_alike_policies_are_told_apart_in_at_most_five_percent_of_200_replays():
    told = 0
    for i in range(200):
        pair = (played("one", 0.4, salt=20_000 * i), played("other", 0.4, salt=20_000 * i + 10_000))
        told += calls(pair, 10, seeds=1)["other"] in ("BETTER", "WORSE")
    assert told <= 0.05 * 200 + 2 * np.sqrt(200 * 0.05 * 0.95)


@pytest.mark.parametrize("entry", get("rl").contenders, ids=lambda e: e.name)
def test_every_method_trains_plays_and_is_weighed(entry):
    if entry.origin == "stable-baselines3":
        pytest.importorskip("stable_baselines3")
    prepared = read_control("CartPole-v1:10")
    job = Job("quality", "CartPole-v1", entry.name, 0, 0, 0, "")
    small = entry.having(steps=600)
    rows = (small, prepared.problem, prepared.X, prepared.y, job, Split(5, 0, 0))
    done = cell.quality(*rows, measure=measures.MEASURES["control"][0])
    assert done.status == "ok", done.error
    assert 8 <= done.values["return"] <= 500
    timed = cell.speed(*rows, n_threads=1, warm_up=False)
    assert timed.status == "ok", timed.error
    assert timed.values["model_bytes"] > 0


def test_a_start_is_played_the_same_whatever_is_played_beside_it():
    by_angle_alone = lambda environment, seed, settings: lambda x: (x[:, 2] > 0).astype(int)  # noqa: E731
    agent = c.Agent(by_angle_alone, "CartPole-v1", 0, 1, {}).fit(np.zeros((1, 1)))
    starts = np.arange(6.0)[:, None] + 100
    np.testing.assert_array_equal(agent.predict(starts)[[4, 1]], agent.predict(starts[[4, 1]]))
    assert len(set(agent.predict(starts))) > 1


def test_bins_of_cartpole_are_a_number_each_and_far_values_are_in_the_last():
    x = np.array([[-9, -9, -9, -9], [9, 9, 9, 9], [0, 0, 0, 0], [0.7, 0, 0, 0]], float)
    assert c._cell(x).tolist() == [0, 8**4 - 1, 4 + 4 * 8 + 4 * 64 + 4 * 512, 5 + 4 * 8 + 4 * 64 + 4 * 512]


def test_an_environment_that_is_none_is_told_and_the_command_runs(tmp_path, monkeypatch, capsys):
    with pytest.raises(ValueError, match="gymnasium cannot make it"):
        read_control("CartPol-v1")
    with pytest.raises(ValueError, match="'many' is no number of starts; write CartPole-v1:50"):
        read_control("CartPole-v1:many")
    monkeypatch.chdir(tmp_path)
    options = ["--jobs", "1", "--rounds", "0", "--seeds", "1", "--backend", "threading", "-o", "json"]
    arguments = ["rl", "--data", "CartPole-v1:10", "--contenders", "random,breadth-q-learning", "--quick"]
    assert main(["compare", *arguments, *options]) == 0
    table = json.loads(capsys.readouterr().out)["tables"][0]
    assert {line["contender"] for line in table["results"]} == {"random", "breadth Q-learning"}
