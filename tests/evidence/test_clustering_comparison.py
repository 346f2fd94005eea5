"""Clusterings compared: groups that are known, scores by hand, planted contenders, nulls, and that each runs."""

from __future__ import annotations

import json

import numpy as np
import pytest

from breadth.cli.main import main
from breadth.evidence import contenders_clustering as c
from breadth.evidence.comparison import get
from breadth.evidence.measures import answers, score
from breadth.evidence.problem_trials import from_trials
from tests.evidence.judged import LEVEL_AND_NOISE, calls, drawn, told_apart


def groups(n: int = 200, seed: int = 0):
    """Three groups along a line, far apart."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % 3)
    X = np.column_stack([10.0 * y + rng.uniform(-1, 1, n), rng.normal(size=n)])
    return from_trials("planted", "clustering", X, y, size=2, n_classes=3, timed_fits=True)


def seeing(share: float):
    """Groups that are right for so many rows, and drawn for the others."""

    def draw(X, rng):
        return np.where(rng.random(len(X)) < share, np.round(X[:, 0] / 10), rng.integers(3, size=len(X))).astype(int)

    return draw


@pytest.mark.parametrize("name", ["spheres", "cigars", "unequal"])
def test_planted_groups_are_told_apart_by_the_densities_that_drew_them(name):
    """Fitted with the groups in sight, a Gaussian for each finds nearly all rows again; so the truth can be found."""
    from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis

    prepared = c.read_groups(name)
    assert QuadraticDiscriminantAnalysis().fit(prepared.X, prepared.y).score(prepared.X, prepared.y) > 0.9
    assert prepared.problem.n_classes == np.unique(prepared.y).size


def test_a_table_has_standardised_columns_and_its_classes_for_groups():
    prepared = c.read_groups("wine")
    np.testing.assert_allclose(prepared.X.mean(0), 0, atol=1e-9)  # of columns up to 1,680 in 178 rows
    np.testing.assert_allclose(prepared.X.std(0), 1, rtol=1e-9)
    assert np.bincount(prepared.y).tolist() == [59, 71, 48]


def test_scores_are_those_of_our_metrics_too_and_names_of_groups_do_not_count():
    from breadth import metrics

    prepared = groups()
    truth = answers(prepared.problem, prepared.X, prepared.X, prepared.y)
    found = seeing(0.6)(prepared.X, np.random.default_rng(0))
    values = score(prepared.problem, truth, found)
    assert values["ARI"] == pytest.approx(metrics.adjusted_rand_score(prepared.y, found), rel=1e-9)
    assert values["NMI"] == pytest.approx(metrics.normalized_mutual_info_score(prepared.y, found), rel=1e-9)
    assert values["silhouette"] == pytest.approx(metrics.silhouette_score(prepared.X, found), rel=1e-9)
    assert score(prepared.problem, truth, (prepared.y + 1) % 3)["ARI"] == 1
    assert "silhouette" not in score(prepared.problem, truth, np.zeros(len(prepared.X), int))
    with pytest.raises(ValueError, match=r"shape \(200,\), got \(200, 2\)"):
        score(prepared.problem, truth, prepared.X)


def test_no_clustering_sees_the_groups_while_it_learns():
    class Watchful:
        def fit(self, *given):
            assert len(given) == 1
            return self

    c.Clusterer(Watchful()).fit(np.zeros((3, 1)), np.arange(3))


def test_the_clustering_that_finds_more_is_better_and_one_that_finds_as_much_is_not():
    entries = (
        drawn("some", seeing(0.8)), drawn("twin", seeing(0.8)), drawn("all", seeing(1.0)), drawn("none", seeing(0.0))
    )  # fmt: skip
    assert calls(entries, groups()) == {"some": "BASELINE", "twin": "EQUIVALENT", "all": "BETTER", "none": "WORSE"}


def test_alike_clusterings_are_told_apart_in_at_most_five_percent_of_200_replays():
    assert told_apart(seeing(0.7), lambda i: groups(60, i), by=("ARI", "silhouette")) <= LEVEL_AND_NOISE


def test_the_shape_of_groups_decides_who_finds_them():
    """Groups that are long and lie across each other are a mixture's, and not those of distances to centres."""
    mixture = next(e for e in c.PEERS if "mixture" in e.name)
    found = calls((c.KMEANS, c.MIXTURE, mixture, c.DUMMY), c.read_groups("cigars:600"))
    assert found[c.MIXTURE.name] == found[mixture.name] == "BETTER"
    assert calls((c.KMEANS, c.DUMMY), c.read_groups("spheres:300"))["dummy"] == "WORSE"


@pytest.mark.parametrize(
    ("name", "words"),
    [("sphere", "did you mean 'spheres'"), ("cigars:9", "write cigars:2000"), ("wine:100", "has the rows that it has")],
)
def test_unknown_groups_are_told(name, words):
    with pytest.raises(ValueError, match=words):
        c.read_groups(name)


def test_the_command_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--jobs", "1", "--rounds", "1", "--seeds", "1", "--folds", "2", "--backend", "threading", "-o", "json"]
    assert main(["compare", "clustering", "--data", "spheres:200", *options]) == 0
    table = json.loads(capsys.readouterr().out)["tables"][0]
    assert {line["contender"] for line in table["results"]} == {e.name for e in get("clustering").contenders}


def test_a_file_is_refused_with_the_reason_and_the_sets_that_there_are(tmp_path):
    path = tmp_path / "customers.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"this comparison reads no file, .*; the sets are spheres, cigars"):
        c.read_groups(str(path))
