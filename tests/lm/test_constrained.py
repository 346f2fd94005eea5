"""Choices and their probabilities against full forward calls."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import scipy.special
import scipy.stats

from breadth.lm.constrained import Trie, choose
from breadth.lm.generation import generate

from .toy import Letters, Script, ToyLM

CHOICES = [[1, 2], [1, 3, 3], [1, 2, 4], [5], [0, 0, 0, 0]]


@pytest.mark.parametrize("end", [None, 2])
def test_every_choice_gets_its_log_probability(end):
    model = ToyLM()
    found = choose(model, [3, 1], CHOICES, eos_token_id=end)
    texts = [c if end is None else [*c, end] for c in CHOICES]
    exact = [model.log_probability([3, 1], text) for text in texts]
    assert found.logprobs == pytest.approx(exact, rel=1e-12)
    assert found.index == exact.index(max(exact)) and found.text == CHOICES[found.index]
    assert found.probabilities == pytest.approx(scipy.special.softmax(exact), rel=1e-12)
    mean = choose(model, [3, 1], CHOICES, eos_token_id=end, normalize=True)
    means = [e / len(t) for e, t in zip(exact, texts, strict=True)]
    assert mean.index == means.index(max(means)) and mean.logprobs == found.logprobs


def test_common_beginnings_are_read_once():
    model = ToyLM()
    choose(model, [3, 1], [[1, 2, 3, a] for a in range(6)])
    assert model.calls == [2, 1, 1, 1]  # the prompt, and three tokens in one row


def test_the_likeliest_first_token_may_lead_to_the_wrong_choice():
    for seed in range(50):
        model = ToyLM(seed=seed)
        sequences = [[a, b, c] for a in (0, 1) for b in range(2) for c in range(2)]
        best = choose(model, [2], sequences)
        followed = generate(model, [2], max_new_tokens=3, allowed=Trie(sequences).allowed(5)).ids[0]
        if best.text != followed:
            assert best.logprobs[best.index] > model.log_probability([2], followed)
            return
    raise AssertionError("no model among 50 showed it")


def test_a_drawn_choice_follows_the_probabilities():
    model = ToyLM()
    exact = choose(model, [3, 1], CHOICES).probabilities
    counts = Counter(choose(model, [3, 1], CHOICES, do_sample=True, seed=s).index for s in range(300))
    expected = [300 * p for p in exact]
    common = [i for i, e in enumerate(expected) if e >= 5]
    rest = [sum(x) for x in zip(*((counts[i], expected[i]) for i in range(5) if i not in common), strict=True)]
    seen, wanted = [counts[i] for i in common], [expected[i] for i in common]
    if rest and rest[1] > 0:
        seen, wanted = [*seen, rest[0]], [*wanted, rest[1]]
    assert scipy.stats.chisquare(seen, wanted).pvalue > 1e-4
    assert choose(model, [3, 1], CHOICES, do_sample=True, seed=4) == choose(
        model, [3, 1], CHOICES, do_sample=True, seed=4
    )


def test_texts_are_chosen_by_their_tokens():
    letters = Letters("abcdef")
    model = ToyLM()
    found = choose(model, "db", ["bc", "bdd", "f"], tokenizer=letters)
    same = choose(model, [3, 1], [[1, 2], [1, 3, 3], [5]])
    assert found.logprobs == same.logprobs and found.text == ["bc", "bdd", "f"][same.index]
    certain = choose(Script(6, [1, 3, 3], start=2), "db", ["bc", "bdd", "f"], tokenizer=letters)
    assert certain.text == "bdd" and certain.probabilities[1] == pytest.approx(1, abs=1e-12)


def test_generation_that_follows_a_trie_gives_one_of_the_choices():
    trie = Trie(CHOICES)
    found = generate(
        ToyLM(), [[3, 1], [2]], max_new_tokens=6, temperature=2.0, num_return_sequences=40, seed=0, eos_token_id=2,
        allowed=Trie([c for c in CHOICES if 2 not in c]).allowed(2),
    )  # fmt: skip
    assert {tuple(ids[:-1]) for ids in found.ids} <= {tuple(c) for c in CHOICES} and set(found.finish) == {"eos"}
    assert trie.find([1, 2]) is not None and trie.ends[trie.find([1, 2])] == 0
    assert trie.find([1, 4]) is None and trie.find([]) == 0 and trie.ends[trie.find([1])] is None
    assert set(trie.allowed(9)([1, 2])) == {4, 9} and trie.allowed(9)([4]) == [9]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ([], "choices are empty"),
        ([[1], []], "choices hold an empty one, number 1"),
        ([[1], [2], [1]], "choices 0 and 2 are the same tokens"),
        ([[1], [6]], "choices of row 1 hold 6, outside the vocabulary of 6"),
        (["a"], "choices are texts, and no tokenizer"),
        ("ab", "choices must be a list of texts, got one text"),
        ([[1] * 80], "exceed the model's context of 64"),
    ],
)
def test_choices_that_cannot_be_are_named(choices, message):
    with pytest.raises(ValueError, match=message):
        choose(ToyLM(), [1], choices)


def test_a_model_that_says_nan_does_not_choose():
    model = ToyLM()
    model.table[:] = math.nan
    with pytest.raises(ValueError, match="NaN"):
        choose(model, [1], CHOICES)
