"""Metrics of classifiers compared: trials whose better scorer is known from the curves, scores by hand, and nulls."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import norm

from breadth.cli.main import main
from breadth.evidence import contenders_scores as c
from breadth.evidence.comparison import get
from breadth.evidence.measures import score
from breadth.evidence.problem_trials import from_trials
from tests.evidence.judged import LEVEL_AND_NOISE, calls, drawn, told_apart


def recall(kind: str, which: int, false_alarms: np.ndarray) -> np.ndarray:
    """Of the population: what share of positives passes the threshold that lets so many negatives through."""
    mean, std = c.POSITIVES[kind][which]
    return norm.sf((norm.isf(false_alarms) - 1 - mean) / std)


def judged(name: str, prepared) -> dict[str, float]:
    entry = next(e for e in get("imbalance-metrics").contenders if e.name == name)
    estimator = entry.make(prepared.problem, 0, 1, entry.settings).fit(prepared.X)
    return score(prepared.problem, prepared.y, estimator.predict(prepared.X))


def test_the_better_scorer_is_the_better_one_by_the_curves_of_the_populations():
    rates = np.linspace(0.001, 0.999, 999)
    assert (recall("everywhere", 0, rates) > recall("everywhere", 1, rates)).all()
    at = np.array([0.01])
    assert recall("top", 0, at) > 1.5 * recall("top", 1, at)
    assert recall("top", 0, rates).mean() < recall("top", 1, rates).mean() - 0.03


@pytest.mark.parametrize("one_in", [2, 10, 100])
def test_trials_have_the_scores_and_the_prevalence_that_they_name(one_in):
    X = c.read_scores(f"top:{one_in}").X
    labels = X[0, 0].astype(bool)
    assert labels.sum() == c.N_ROWS // one_in and X[0, 3].sum() == c.N_ROWS // 2
    found = (X[:, 1][:, labels] > norm.isf(0.01) - 1).mean()
    assert found == pytest.approx(recall("top", 0, np.array([0.01]))[0], abs=5 * 0.5 / np.sqrt(labels.sum() * len(X)))


def test_scores_are_those_by_hand():
    problem = c.read_scores("top").problem
    values = score(problem, np.zeros(4), np.array([[3, 1, 4], [1, 2, 0], [5, 5, 5], [3, 1, 2]], float))
    assert values["ranked first"] == 2.5 / 4
    assert values["separation"] == pytest.approx(0.75 / np.std([2, -1, 0, 2]), rel=1e-12)
    assert values["moved"] == pytest.approx(0.25, rel=1e-12)
    assert score(problem, np.zeros(2), np.ones((2, 2))) == {"ranked first": 0.5, "separation": 0.0}
    with pytest.raises(ValueError, match=r"shape \(3, 2\), got \(3, 4\)"):
        score(problem, np.zeros(3), np.zeros((3, 4)))


def test_what_conditions_on_the_class_stays_where_it_is_and_what_counts_false_alarms_beside_hits_does_not():
    prepared = c.read_scores("everywhere:100")
    for name in ("AUROC", "balanced accuracy"):
        assert judged(name, prepared)["moved"] < 0.02  # of 20 positives in each of 200 trials
    for name in ("average precision", "MCC", "F1"):
        assert judged(name, prepared)["moved"] > 0.3


def test_the_area_prefers_the_scorer_that_is_worse_at_the_top_and_average_precision_does_not_where_positives_are_rare():
    balanced, rare = c.read_scores("top:2"), c.read_scores("top:100")
    assert (
        judged("AUROC", balanced)["ranked first"] < 0.05 and judged("average precision", balanced)["ranked first"] < 0.1
    )
    assert judged("AUROC", rare)["ranked first"] < 0.3 and judged("average precision", rare)["ranked first"] > 0.8
    assert judged("dummy", rare)["ranked first"] == pytest.approx(0.5, abs=2.5 / np.sqrt(len(rare.X)))


def test_peers_say_what_ours_say():
    prepared = c.read_scores("everywhere:20")
    X = prepared.X[:5]
    for peer in c.PEERS:
        entry = next(e for e in c.OURS if f"scikit-learn {e.name}" == peer.name)
        ours, theirs = (e.make(prepared.problem, 0, 1, e.settings).predict(X) for e in (entry, peer))
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)  # sum order


def seeing(share: float):
    """Scores that put the better one first in so many trials."""

    def draw(X, rng):
        return np.column_stack([rng.random(len(X)) < share, np.full(len(X), 0.5)]).astype(float)

    return draw


def trials(n: int = 400):
    return from_trials("planted", "judging", np.zeros((n, 1)), np.zeros(n), size=1)


def test_a_metric_that_sees_more_is_found_better_and_one_that_sees_as_much_is_not():
    entries = (
        drawn("half", seeing(0.5)), drawn("twin", seeing(0.5)), drawn("most", seeing(0.9)), drawn("few", seeing(0.1))
    )  # fmt: skip
    assert calls(entries, trials()) == {"half": "BASELINE", "twin": "EQUIVALENT", "most": "BETTER", "few": "WORSE"}


def test_alike_metrics_are_told_apart_in_at_most_five_percent_of_200_replays():
    assert told_apart(seeing(0.7), lambda i: trials(100)) <= LEVEL_AND_NOISE


@pytest.mark.parametrize(
    ("name", "words"),
    [("tops", "did you mean 'top'"), ("top:1", "write top:2"), ("everywhere:5000", "write everywhere:200")],
)
def test_unknown_scorers_are_told(name, words):
    with pytest.raises(ValueError, match=words):
        c.read_scores(name)


def test_every_contender_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(c, "N_TRIALS", 10)
    options = ["--jobs", "1", "--rounds", "0", "--folds", "2", "--backend", "threading", "-o", "json"]
    assert main(["compare", "imbalance-metrics", "--data", "top:50", *options]) == 0
    table = json.loads(capsys.readouterr().out)["tables"][0]
    assert {r["contender"] for r in table["results"]} == {e.name for e in get("imbalance-metrics").contenders}
