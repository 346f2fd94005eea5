"""Ways of decoding compared: measures by hand, planted writers, a null, and that each strategy runs."""

from __future__ import annotations

from functools import partial
from itertools import combinations, pairwise, product
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from breadth.evidence import cell, measures
from breadth.evidence.cell import Job, Split
from breadth.evidence.comparison import get
from breadth.evidence.entry import Entry
from breadth.evidence.problem import Prepared, from_tokens
from tests.evidence.test_language import calls

VOCABULARY = 6


def chain(n: int = 60, length: int = 32, seed: int = 0, stay: float = 0.5) -> Prepared:
    """Texts of a chain that goes on to the next token with probability `stay`, and else anywhere."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(VOCABULARY, size=(n, length))
    for t in range(1, length):
        goes = rng.random(n) < stay
        ids[goes, t] = (ids[goes, t - 1] + 1) % VOCABULARY
    return from_tokens("chain", ids, vocabulary=VOCABULARY, task="generation")


class Writer:
    """Continues with a chain of its own."""

    def __init__(self, stay: float, seed: int):
        self.stay, self.seed = stay, seed

    def fit(self, X, y=None):
        return self

    def predict(self, X):
        ids = chain(len(X), X.shape[1], self.seed, self.stay).X[:, X.shape[1] // 4 :]
        return np.stack((ids, np.ones(ids.shape)), 1)


def _writer(stay: float, salt: int, problem: Any, seed: int, n_threads: int, settings: Any) -> Writer:
    return Writer(stay, 7919 * salt + seed + 1)


def writing(name: str, stay: float, salt: int = 0) -> Entry:
    return Entry(name, "python", partial(_writer, stay, salt))


def test_who_writes_other_bigrams_is_worse_and_who_writes_the_same_is_not():
    entries = (writing("as the texts", 0.5), writing("twin", 0.5, 1), writing("loop", 1.0), writing("noise", 0.0))
    found = calls(entries, chain(200))
    assert found["loop"] == found["noise"] == "WORSE"
    assert found["twin"] in ("EQUIVALENT", "CAN'T TELL")


@pytest.mark.slow
def test_alike_writers_are_told_apart_in_at_most_five_percent_of_200_replays():
    told = 0
    for i in range(200):
        pair = (writing("one", 0.5, 2 * i), writing("other", 0.5, 2 * i + 1))
        told += calls(pair, chain(20, 16, seed=10**6 + i), seeds=1)["other"] in ("BETTER", "WORSE")
    assert told <= 0.05 * 200 + 2 * np.sqrt(200 * 0.05 * 0.95)  # the level, with two standard errors of 200 replays


def values(ids: Any, texts: Any, vocabulary: int = 3) -> dict[str, float]:
    ids = np.array(ids)
    return measures._continued(vocabulary, np.array(texts), ids, np.zeros(ids.shape))


def test_measures_are_those_by_hand():
    found = values([[0, 1, 0, 1, 0, 1], [0, 1, 2, 2, 1, 0]], [[0] * 6, [1] * 6])
    assert found["distinct-2"] == 5 / 10  # 01, 10, 12, 22, 21 among ten
    assert found["rep-4"] == pytest.approx((1 / 3 + 0) / 2)  # 0101, 1010, 0101; and three different ones


def test_the_distance_is_the_sum_over_pairs_of_different_texts():
    rng = np.random.default_rng(0)
    ids, texts = rng.integers(3, size=(4, 7)), rng.integers(3, size=(5, 9))

    def frequencies(rows):
        return [np.array([[np.mean([(a, b) == p for p in pairwise(r)]) for b in range(3)]
                          for a in range(3)]) for r in rows]  # fmt: skip

    own, other = frequencies(ids.tolist()), frequencies(texts[:, -7:].tolist())
    one = np.mean([(a * b).sum() for a, b in combinations(own, 2)])
    two = np.mean([(a * b).sum() for a, b in combinations(other, 2)])
    cross = np.mean([(a * b).sum() for a, b in product(own, other)])
    assert values(ids, texts)["bigram distance"] == pytest.approx((one + two - 2 * cross) / two, rel=1e-12)
    assert "bigram distance" not in values(ids[:1], texts)


def test_the_distance_of_texts_of_one_kind_is_zero_on_average():
    found = [values(chain(6, 8, 2 * i).X, chain(12, 8, 2 * i + 1).X, VOCABULARY)["bigram distance"] for i in range(400)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(400)
    assert np.mean([values(chain(6, 8, i, 1.0).X, chain(12, 8, i).X, VOCABULARY)["bigram distance"]
                    for i in range(50)]) > 0.3  # fmt: skip


def test_every_strategy_writes_from_the_prompt_and_is_timed_without_training():
    pytest.importorskip("transformers")
    comparison, prepared = get("decoding"), chain(20)
    for entry in comparison.contenders:
        entry = entry.having(steps=1)
        job = Job("speed", "chain", entry.name, 0, 0, 0, "")
        rows = (entry, prepared.problem, prepared.X, prepared.y, job, Split(5, 0, 0))
        done = cell.quality(*rows, measure=comparison.measures["generation"][0])
        assert done.status == "ok", f"{entry.name}: {done.error}"
        assert done.values.keys() >= {m.name for m in comparison.measures["generation"]}
        if entry.origin == "breadth":
            timed = cell.speed(*rows, n_threads=1, warm_up=False)
            assert timed.status == "ok" and "fit_seconds" not in timed.values


def test_greedy_is_the_likeliest_of_those_that_go_token_by_token_and_the_text_is_itself():
    prepared = chain(20)
    made = {e.name: e.having(steps=20) for e in get("decoding").contenders if e.origin != "transformers"}
    found = {}
    for name, entry in made.items():
        model = entry.make(prepared.problem, 0, 1, entry.settings).fit(prepared.X[:15])
        found[name] = model.predict(prepared.X[15:])
    first = {name: p[:, 1, 0].mean() for name, p in found.items() if name != "beam 4"}  # of the first token
    assert first["greedy"] == min(first.values())
    assert np.array_equal(found["the text itself"][:, 0], prepared.X[15:, 8:])
    drawn = found["sampling"][:, 0]
    assert not np.array_equal(drawn, found["greedy"][:, 0])
    again = made["sampling"].make(prepared.problem, 0, 1, made["sampling"].settings).fit(prepared.X[:15])
    assert np.array_equal(again.predict(prepared.X[15:])[:, 0], drawn)  # the seed decides


@pytest.mark.slow
def test_greedy_repeats_itself_where_sampling_does_not():
    """On a text that is half chance: the likeliest continuation goes round in a circle."""
    prepared = chain(200)
    found = {}
    for entry in get("decoding").contenders:
        if entry.name in ("sampling", "greedy", "the text itself"):
            entry = entry.having(steps=150)
            model = entry.make(prepared.problem, 0, 1, entry.settings).fit(prepared.X[:160])
            found[entry.name] = measures.score(prepared.problem, prepared.X[:160], model.predict(prepared.X[160:]))
    assert found["greedy"]["rep-4"] > 0.5 > found["sampling"]["rep-4"]
    assert found["greedy"]["nats per token"] < found["sampling"]["nats per token"]
    assert found["greedy"]["bigram distance"] > 0.3 > abs(found["sampling"]["bigram distance"])
    assert abs(found["the text itself"]["bigram distance"]) < 0.1
