"""Intervals compared: populations of known truth, scores by hand, coverage that is known exactly, and nulls."""

from __future__ import annotations

import json

import numpy as np
import pytest

from breadth.cli.main import main
from breadth.evidence import contenders_intervals as c
from breadth.evidence.comparison import get
from breadth.evidence.measures import score
from breadth.evidence.problem_trials import from_trials
from breadth.stats import binomial_coverage, proportion_interval
from tests.evidence.judged import LEVEL_AND_NOISE, calls, drawn, told_apart


def predicted(entry, prepared):
    return entry.make(prepared.problem, 0, 1, entry.settings).fit(prepared.X).predict(prepared.X)


def means(seed: int = 0, n: int = 200, size: int = 4):
    """Samples of N(0, 1)."""
    return from_trials("planted", "mean", np.random.default_rng(seed).normal(size=(n, size)), np.zeros(n), size=size)


@pytest.mark.parametrize("name", c.POPULATIONS)
def test_a_population_has_the_truth_that_it_names(name):
    prepared = c.read_samples(f"{name}:40")
    off = prepared.X.mean(1) - prepared.y
    assert abs(off.mean()) < 5 * off.std() / np.sqrt(len(off))
    if prepared.problem.task == "mean":
        # five standard errors of a lognormal's standard deviation, whose kurtosis is 114, at 40,000 draws
        assert prepared.X.std() == pytest.approx(1.0, abs=2.5 * np.sqrt(113 / prepared.X.size))


def test_scores_are_those_by_hand():
    problem = from_trials("t", "mean", np.zeros((4, 1)), np.zeros(4), size=1).problem
    ends = np.array([[-1, 1], [0, 2], [0.5, 1.5], [-3, -1]], float)
    values = score(problem, np.zeros(4), ends)
    assert values["coverage"] == 0.5 and values["width"] == 7 / 4
    assert values["coverage error"] == pytest.approx(0.45, rel=1e-12)
    assert values["interval score"] == pytest.approx(7 / 4 + 40 * 1.5 / 4, rel=1e-12)


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        (np.zeros((3, 1)), r"shape \(3, 2\), got \(3, 1\)"),
        (np.full((3, 2), np.nan), "6 of 6 predictions are NaN"),
        (np.array([[0, 1], [1, 0], [0, 0]]), "1 of 3 intervals have their low end above"),
    ],
)
def test_ends_that_are_no_intervals_fail_the_cell(ends, words):
    problem = from_trials("t", "mean", np.zeros((3, 1)), np.zeros(3), size=1).problem
    with pytest.raises(ValueError, match=words):
        score(problem, np.zeros(3), ends)


@pytest.mark.parametrize("method", ["wilson", "wald", "exact", "jeffreys", "agresti-coull"])
def test_measured_coverage_is_the_exact_one_up_to_noise(method):
    entry = next(e for e in c.PROPORTION if e.settings.get("method") == method)
    prepared = c.read_samples("rare:50")
    exact = float(binomial_coverage(lambda k, n: proportion_interval(k, n, method=method), 50, 0.02))
    coverage = score(prepared.problem, prepared.y, predicted(entry, prepared))["coverage"]
    assert abs(coverage - exact) < 5 * np.sqrt(exact * (1 - exact) / len(prepared.X))


def test_a_posterior_holds_the_truths_that_its_prior_draws_as_often_as_it_says_and_another_prior_does_not():
    prepared = c.read_samples("drawn:20")
    coverage = {
        entry.name: score(prepared.problem, prepared.y, predicted(entry, prepared))["coverage"]
        for entry in c.PROPORTION
        if entry.settings.get("kind")
    }
    noise = 5 * np.sqrt(0.95 * 0.05 / len(prepared.X))
    assert abs(coverage["credible, uniform prior"] - 0.95) < noise
    assert abs(coverage["HPD, uniform prior"] - 0.95) < noise
    assert coverage["credible, prior Beta(10, 10)"] < 0.8


def test_one_row_for_each_number_of_ones_gives_what_all_rows_give():
    prepared = c.read_samples("half:12")
    whole = c.Intervals(c.T.make.args[0], False, 0, {})
    np.testing.assert_allclose(predicted(c.T, prepared), whole.predict(prepared.X), rtol=0, atol=1e-12)  # sum order


def test_peers_agree_with_ours():
    rare, skewed = c.read_samples("rare:30"), c.read_samples("skewed:10")
    ours = {e.name: e for e in (*c.PROPORTION, *c.MEAN, c.T)}
    for one, other, prepared in (
        ("Wilson", "statsmodels Wilson", rare),
        ("Student's t", "scipy t", skewed),
        ("Student's t", "credible, prior 1/sigma", skewed),  # the reference posterior of a normal mean
    ):
        np.testing.assert_allclose(predicted(ours[one], prepared), predicted(ours[other], prepared), atol=1e-10)


def shifted(spread: float, half: float):
    """Intervals around the mean of each sample, of four, that are `half` wide to either side, give or take noise."""

    def draw(X, rng):
        centre = X.mean(1) + spread * rng.normal(size=len(X))
        return np.column_stack([centre - half, centre + half])

    return draw


def test_the_interval_of_the_right_width_is_better_than_a_narrow_one_and_no_worse_than_its_twin():
    right = 1.96 / 2
    entries = (
        drawn("narrow", shifted(0, right / 3)),
        drawn("right", shifted(0, right)),
        drawn("twin", shifted(0, right / 3)),
        drawn("wide", shifted(0, 20 * right)),
    )
    assert calls(entries, means(n=1000)) == {
        "narrow": "BASELINE", "right": "BETTER", "twin": "EQUIVALENT", "wide": "WORSE",
    }  # fmt: skip


def test_alike_intervals_are_told_apart_in_at_most_five_percent_of_200_replays():
    assert told_apart(shifted(0.3, 1.0), means, by=("interval score", "coverage error")) <= LEVEL_AND_NOISE


@pytest.mark.parametrize(("name", "words"), [("rear", "did you mean 'rare'"), ("rare:1", "write rare:50")])
def test_unknown_populations_are_told(name, words):
    with pytest.raises(ValueError, match=words):
        c.read_samples(name)


@pytest.mark.parametrize("data", ["rare:10", "normal:5"])
def test_every_contender_of_a_kind_of_truth_runs(tmp_path, monkeypatch, capsys, data):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(c, "N_PROPORTIONS", 100)
    monkeypatch.setattr(c, "N_MEANS", 20)
    options = ["--jobs", "1", "--rounds", "0", "--seeds", "1", "--folds", "2", "--backend", "threading", "-o", "json"]
    assert main(["compare", "intervals", "--data", data, *options]) == 0
    table = json.loads(capsys.readouterr().out)["tables"][0]
    comparison = get("intervals")
    family = "proportion" if data == "rare:10" else "mean"
    wanted = {e.name for e in comparison.contenders if comparison.only.get(e.name, family) == family}
    assert {line["contender"] for line in table["results"]} == wanted
