"""Metrics of texts compared: edits by hand, what is known of metrics that count words, planted metrics, and nulls."""

from __future__ import annotations

import json

import numpy as np
import pytest

from breadth.cli.main import main
from breadth.evidence import contenders_edits as c
from breadth.evidence import edits
from breadth.evidence.comparison import get
from breadth.evidence.measures import score
from tests.evidence.judged import LEVEL_AND_NOISE, calls, drawn, told_apart

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def pairs():
    return {kind: c.read_edits(f"{kind}:60") for kind in c.KINDS}


def ranked_first(name: str, prepared) -> float:
    entry = next(e for e in get("text-metrics").contenders if e.name == name)
    estimator = entry.make(prepared.problem, 0, 1, entry.settings).fit(prepared.X)
    return score(prepared.problem, prepared.y, estimator.predict(prepared.X))["ranked first"]


def test_edits_are_those_by_hand():
    text = "If a method is called, its value must be returned before the first test."
    assert (
        edits.paraphrase(text)
        == "In case a member function gets invoked, its value has to be given back before the first test."
    )
    assert edits.negated(text, RNG) == "If a method is not called, its value must be returned before the first test."
    assert edits.negated("It is not so and not more.", RNG) == "It is so and not more."
    assert edits.opposed(text, RNG) == "If a method is called, its value need not be returned before the first test."
    assert edits.cut("One two three, four five six.", RNG) == "One two three."
    assert sorted(edits.shuffled(text, RNG)[:-1].split()) == sorted(text[:-1].split())


def test_articles_follow_what_is_put_behind_them_and_quoted_words_stay():
    text = 'An argument of "argument" is an error; a user-defined method raises it.'
    assert edits.paraphrase(text) == 'A parameter of "argument" is a fault; a user-defined member function throws it.'
    assert edits.paraphrase("There is nothing to be said of it.") is None


@pytest.mark.parametrize("kind", c.KINDS)
def test_a_row_is_a_sentence_its_paraphrase_and_its_edit_all_different(pairs, kind):
    X = pairs[kind].X
    assert X.shape == (60, 3)
    assert all(len(set(row)) == 3 and row[0].endswith(".") for row in X)
    assert len(set(X[:, 0])) == 60


def test_metrics_that_count_words_cannot_see_their_order_nor_metrics_of_words_a_not(pairs):
    assert ranked_first("ROUGE-1", pairs["shuffling"]) == ranked_first("token F1", pairs["shuffling"]) == 0
    assert ranked_first("ROUGE-2", pairs["shuffling"]) > 0.9
    for entry in c.OURS:
        if entry.name != "METEOR, WordNet":
            assert ranked_first(entry.name, pairs["negation"]) < 0.1


def test_peers_say_what_ours_say(pairs):
    pytest.importorskip("sacrebleu")
    pytest.importorskip("rouge_score")
    prepared = pairs["opposite"]
    ours = {e.name: e for e in c.OURS}
    for peer in c.PEERS:
        entry = ours[peer.name.partition(" ")[2]]
        one, other = (
            e.make(prepared.problem, 0, 1, e.settings).fit(prepared.X).predict(prepared.X) for e in (entry, peer)
        )
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)  # the bar of the metrics themselves


def test_a_word_that_was_not_learned_is_like_itself_alone():
    embed = c._word_vectors(edits.sentences()[:60])
    (known, new), (same, other) = embed(["object zebra", "zebra yak"])
    assert known @ new == 0 and new @ same == 1 and new @ other == 0 and known @ known > 0


def counting_nots(X, rng):
    """A metric that sees nothing but whether a "not" was put in or taken out."""
    nots = np.array([[row.count(" not ") + row.count("n't ") for row in rows] for rows in X])
    return -np.abs(nots[:, 1:] - nots[:, :1]).astype(float)


def test_a_metric_that_sees_negation_is_better_at_it_and_blind_to_order(pairs):
    entries = (*(e for e in c.OURS if e.name in ("BLEU", "ROUGE-L")), drawn("nots", counting_nots))
    assert calls(entries, pairs["negation"])["nots"] == "BETTER"
    assert calls(entries, pairs["shuffling"])["nots"] == "WORSE"


def test_alike_metrics_are_told_apart_in_at_most_five_percent_of_200_replays(pairs):
    def noisy(X, rng):
        return np.column_stack([rng.normal(0.5, 1, len(X)), rng.normal(0, 1, len(X))])

    assert told_apart(noisy, lambda i: pairs["cut"], by=("ranked first", "separation")) <= LEVEL_AND_NOISE


@pytest.mark.parametrize(("name", "words"), [("negations", "did you mean 'negation'"), ("cut:3", "write cut:400")])
def test_unknown_edits_are_told(name, words):
    with pytest.raises(ValueError, match=words):
        c.read_edits(name)


def test_the_command_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("sacrebleu")
    pytest.importorskip("rouge_score")
    monkeypatch.chdir(tmp_path)
    options = ["--jobs", "1", "--rounds", "0", "--folds", "2", "--backend", "threading", "-o", "json"]
    names = [e.name for e in get("text-metrics").contenders if e.name != "METEOR, WordNet"]  # files of the system
    chosen = ["--contenders", ",".join(name.replace(",", " ") for name in names)]
    assert main(["compare", "text-metrics", "--data", "shuffling:20", *chosen, *options]) == 0
    table = json.loads(capsys.readouterr().out)["tables"][0]
    assert [line["contender"] for line in table["results"]] == names
