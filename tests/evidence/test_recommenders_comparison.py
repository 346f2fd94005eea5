"""Recommenders compared: what was taken and why, scores by hand, planted lists, nulls, files, and that each runs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from breadth.cli.main import main
from breadth.evidence import contenders_recommend as c
from breadth.evidence.comparison import get
from breadth.evidence.measures import answers, score, work
from breadth.evidence.problem_trials import from_trials
from tests.evidence.judged import LEVEL_AND_NOISE, calls, drawn, told_apart


def taken(rows, users: int, items: int):
    rows = np.asarray(rows, float)
    return from_trials(
        "planted", "recommendation", rows, np.zeros(len(rows)), size=users, cardinality=(users, items), timed_fits=True
    )


def judged(name: str, prepared) -> float:
    """NDCG@10 on a fifth of the interactions, learned from the others."""
    entry = next(e for e in get("recommenders").contenders if e.name == name)
    hidden = np.random.default_rng(1).random(len(prepared.X)) < 0.2
    estimator = entry.make(prepared.problem, 0, 1, entry.settings).fit(prepared.X[~hidden])
    return score(prepared.problem, prepared.X[hidden], estimator.predict(prepared.X[hidden]))["NDCG@10"]


@pytest.mark.parametrize("kind", c.TAKEN)
def test_no_user_takes_an_item_twice_and_some_items_are_taken_by_many(kind):
    prepared = c.read_interactions(f"{kind}:200")
    pairs = prepared.X[:, :2].astype(int)
    assert np.unique(pairs, axis=0).shape == pairs.shape
    assert prepared.problem.cardinality[0] == 200
    count = np.sort(np.bincount(pairs[:, 1], minlength=c.N_ITEMS))[::-1]
    assert count[:50].sum() > 2 * count[50:100].sum() if kind == "popular" else count[:50].sum() > count[-250:].sum()
    assert set(np.unique(prepared.X[:, 2])) <= {1, 2, 3, 4, 5}


def test_four_in_five_items_are_of_the_user_s_genre():
    """Two users of one genre share more items than two of others, so that similar users come in ten groups."""
    X = c.read_interactions("genres:300").X.astype(int)
    matrix = np.zeros((300, c.N_ITEMS))
    matrix[X[:, 0], X[:, 1]] = 1
    shared = matrix @ matrix.T
    same = np.corrcoef(shared) > 0.5
    assert 0.05 < same.mean() < 0.2  # a tenth, and the diagonal


def test_scores_are_those_by_hand_and_scikit_learn_s():
    rows = [[4, 0, 1], [4, 3, 1], [7, 2, 1], [9, 5, 1]]
    prepared = taken(rows, 10, 20)
    lists = np.array([[3, 9, 0, *range(10, 17)], list(range(10, 20)), [5, *[-1] * 9]])
    values = score(prepared.problem, answers(prepared.problem, prepared.X, prepared.X, prepared.y), lists)
    first = (1 + 1 / np.log2(4)) / (1 + 1 / np.log2(3))
    assert values["NDCG@10"] == pytest.approx((first + 0 + 1) / 3, rel=1e-12)
    assert values["recall@10"] == pytest.approx(2 / 3, rel=1e-12)
    assert values["coverage"] == 14 / 20
    truth, place = np.zeros((1, 20)), np.zeros((1, 20))
    truth[0, [0, 3]], place[0, lists[0]] = 1, np.arange(10, 0, -1)
    assert ndcg_score(truth, place, k=10) == pytest.approx(first, rel=1e-12)
    assert work(prepared.problem, prepared.X) == 3


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        (np.zeros((2, 9), int), r"shape \(2, 10\), got \(2, 9\)"),
        (np.zeros((2, 10), int), "different items from 0 to 19"),
        (np.arange(11, 31).reshape(2, 10), "different items from 0 to 19"),
    ],
)
def test_lists_that_are_none_fail_the_cell(lists, words):
    prepared = taken([[0, 1, 1], [1, 2, 1]], 2, 20)
    with pytest.raises(ValueError, match=words):
        score(prepared.problem, prepared.X, lists)


def test_where_there_are_tastes_they_are_found_and_where_there_are_none_popularity_is_best():
    tastes, popular = c.read_interactions("genres:400"), c.read_interactions("popular:400")
    for name in ("item neighbours", "user neighbours", "implicit ALS"):
        assert judged(name, tastes) > 2 * judged("popularity", tastes)
        assert judged(name, popular) < 1.05 * judged("popularity", popular)
    for name in ("explicit ALS", "mean rating"):  # they tell how much an item is liked, and not whether it is taken
        assert judged(name, tastes) < judged("popularity", tastes)
    assert judged("dummy", popular) < 0.05


def test_nothing_that_was_taken_is_recommended():
    prepared = c.read_interactions("tastes:100")
    for entry in c.OURS:
        estimator = entry.make(prepared.problem, 0, 1, entry.settings).fit(prepared.X)
        lists = estimator.predict(prepared.X)
        assert lists.shape == (100, 10)
        assert not any(np.isin(items, row.indices).any() for items, row in zip(lists, estimator.taken, strict=True))


def planted(n: int = 300):
    """Each user takes the items 0 to 4, of 30."""
    return taken([[u, i, 1] for u in range(n) for i in range(5)], n, 30)


def finding(share: float):
    """The first five items in so many lists, in a place drawn anew, and others in the rest."""

    def draw(X, rng):
        users = np.unique(X[:, 0]).size
        right = rng.permuted(np.tile(np.arange(10), (users, 1)), axis=1)
        return np.where(rng.random(users)[:, None] < share, right, np.arange(10, 20))

    return draw


def test_lists_that_hold_more_of_what_was_hidden_are_better_and_as_good_ones_are_not():
    entries = (
        drawn("some", finding(0.5)), drawn("twin", finding(0.5)), drawn("most", finding(0.9)),
        drawn("few", finding(0.1)),
    )  # fmt: skip
    found = calls(entries, planted())
    assert found.pop("twin") in ("EQUIVALENT", "CAN'T TELL")
    assert found == {"some": "BASELINE", "most": "BETTER", "few": "WORSE"}


def test_alike_recommenders_are_told_apart_in_at_most_five_percent_of_200_replays():
    table = planted(60)
    assert told_apart(finding(0.6), lambda i: table, by=("NDCG@10", "recall@10")) <= LEVEL_AND_NOISE


def test_a_file_of_interactions_is_read_by_the_order_of_its_columns(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("who,what,stars\nann,x,5\nbob,y,1\nann,y,2\nann,x,3\n")
    prepared = c.read_interactions(str(path))
    assert prepared.X.tolist() == [[0, 0, 5], [0, 1, 2], [1, 1, 1]]  # of a pair given twice the first
    assert (prepared.problem.cardinality, prepared.table.name) == ((2, 2), "mine")
    path.write_text("who,what\nann,x\nbob,y\n")
    assert c.read_interactions(str(path)).X[:, 2].tolist() == [1, 1]
    path.write_text("who\nann\nbob\n")
    with pytest.raises(ValueError, match="user, item and, if given, a number"):
        c.read_interactions(str(path))


@pytest.mark.parametrize(("name", "words"), [("taste", "did you mean 'tastes'"), ("genres:20", "write genres:800")])
def test_unknown_sets_are_told(name, words):
    with pytest.raises(ValueError, match=words):
        c.read_interactions(name)


def test_the_command_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("implicit")
    monkeypatch.chdir(tmp_path)
    options = ["--jobs", "1", "--rounds", "1", "--seeds", "1", "--folds", "2", "--backend", "threading", "-o", "json"]
    assert main(["compare", "recommenders", "--data", "tastes:60", *options]) == 0
    table = json.loads(capsys.readouterr().out)["tables"][0]
    assert {line["contender"] for line in table["results"]} == {e.name for e in get("recommenders").contenders}
    assert all(line["verdict"] != "FAILED" for line in table["results"])
