"""Detectors of drift compared: streams that change where they say, scores by hand, planted alarms, and nulls."""

from __future__ import annotations

import json

import numpy as np
import pytest

from breadth.cli.main import main
from breadth.evidence import contenders_drift as c
from breadth.evidence.comparison import get
from breadth.evidence.measures import score, work
from breadth.evidence.problem_trials import from_trials
from tests.evidence.judged import LEVEL_AND_NOISE, calls, drawn, told_apart


def judged(entry, prepared) -> dict[str, float]:
    estimator = entry.make(prepared.problem, 0, 1, entry.settings).fit(prepared.X)
    return score(prepared.problem, prepared.y, estimator.predict(prepared.X))


def named(name: str):
    return next(e for e in get("drift").contenders if e.name == name)


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [("sudden", 0.1, 0.3), ("gradual", 0.1, 0.3), ("falling", 0.3, 0.1), ("still", 0.1, 0.1)],
)
def test_a_stream_has_the_rates_that_it_names_on_either_side_of_its_place(kind, before, after):
    prepared = c.read_streams(kind)
    X, place = prepared.X, prepared.y
    item = np.arange(X.shape[1])
    assert ((place >= 500) & (place < 1500)).all() or kind == "still"
    first, last = X[item < place[:, None]], X[item >= place[:, None] + 400]  # a gradual change has ended by then
    noise = 5 * 0.5 / np.sqrt(min(first.size, last.size or first.size))
    assert first.mean() == pytest.approx(before, abs=noise)
    assert kind == "still" or last.mean() == pytest.approx(after, abs=noise)


def test_scores_are_the_counts_by_hand():
    prepared = from_trials("t", "drift", np.zeros((4, 10)), np.array([4, 4, 4, 10]), size=10)
    alarms = np.zeros((4, 10), bool)
    alarms[0, [6, 8]] = True  # right, two items late
    alarms[1, [1, 4]] = True  # a false one first, and then at once
    alarms[2, [3]] = True  # a false one, and the change is missed
    values = score(prepared.problem, prepared.y, alarms)
    assert values["first alarm right"] == 2 / 4  # the first, and the one that never changes and has none
    assert values["delay"] == (2 + 0 + 6) / 3
    assert values["missed"] == pytest.approx(1 / 3, rel=1e-12)
    assert values["false alarms"] == pytest.approx(1000 * 2 / 22, rel=1e-12)
    still = score(prepared.problem, np.full(4, 10), alarms)
    assert set(still) == {"first alarm right", "false alarms"} and still["first alarm right"] == 1 / 4
    with pytest.raises(ValueError, match=r"shape \(4, 10\), got \(4, 1\)"):
        score(prepared.problem, prepared.y, alarms[:, :1])
    assert work(prepared.problem, prepared.X) == 40


def test_ours_alarm_where_river_s_do():
    pytest.importorskip("river")
    prepared = c.read_streams("sudden:800")
    for peer in c.PEERS:
        entry = named(peer.name.removeprefix("river "))
        ours, theirs = (e.make(prepared.problem, 0, 1, e.settings).predict(prepared.X[:20]) for e in (entry, peer))
        assert np.array_equal(ours, theirs), peer.name


def test_ddm_does_not_see_errors_that_get_fewer_and_adwin_does():
    falling = c.read_streams("falling")
    assert judged(named("DDM"), falling)["missed"] > 0.9
    assert judged(named("ADWIN"), falling)["missed"] == 0
    assert judged(named("dummy"), falling)["first alarm right"] == 0


def planted(n: int = 100, length: int = 200):
    """Streams of zeros that turn to ones half-way."""
    X = np.repeat([[0.0] * (length // 2) + [1.0] * (length // 2)], n, axis=0)
    return from_trials("planted", "drift", X, np.full(n, length // 2), size=length)


def alarming(share: float, false: float = 0.0, late: int = 10):
    """Alarms so many items after the first one, in so many streams, and false ones in so many."""

    def draw(X, rng):
        out = np.zeros(X.shape, bool)
        at = X.argmax(axis=1) + late + rng.integers(-5, 5, size=len(X))
        rows = np.arange(len(X))
        out[rows, at] = rng.random(len(X)) < share
        out[:, 3] = rng.random(len(X)) < false
        return out

    return draw


def test_a_detector_that_sees_more_is_better_one_that_is_wrong_first_is_worse_and_delay_is_its_own_verdict():
    entries = (
        drawn("some", alarming(0.5)), drawn("twin", alarming(0.5)), drawn("all", alarming(1.0)),
        drawn("hasty", alarming(1.0, false=0.9, late=5)),
    )  # fmt: skip
    assert calls(entries, planted()) == {"some": "BASELINE", "twin": "EQUIVALENT", "all": "BETTER", "hasty": "WORSE"}
    assert calls((drawn("soon", alarming(1.0)), drawn("late", alarming(1.0, late=60))), planted(), measure="delay") == {
        "soon": "BASELINE", "late": "WORSE",
    }  # fmt: skip


def test_alike_detectors_are_told_apart_in_at_most_five_percent_of_200_replays():
    assert (
        told_apart(alarming(0.6, false=0.2), lambda i: planted(60), by=("first alarm right", "delay"))
        <= LEVEL_AND_NOISE
    )


@pytest.mark.parametrize(("name", "words"), [("suden", "did you mean 'sudden'"), ("still:20", "write still:2000")])
def test_unknown_streams_are_told(name, words):
    with pytest.raises(ValueError, match=words):
        c.read_streams(name)


def test_the_command_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("river")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(c, "N_STREAMS", 10)
    options = ["--jobs", "1", "--rounds", "1", "--folds", "2", "--backend", "threading", "-o", "json"]
    assert main(["compare", "drift", "--data", "sudden:400", "still:400", *options]) == 0
    tables = json.loads(capsys.readouterr().out)["tables"]
    assert len(tables) == 2
    for table in tables:
        assert {line["contender"] for line in table["results"]} == {e.name for e in get("drift").contenders}
