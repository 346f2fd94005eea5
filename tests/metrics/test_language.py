"""Perplexity and bits a byte of models whose values are known in closed form, through windows counted one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from breadth.metrics import bits_per_byte, perplexity

few = settings(max_examples=40, deadline=None)


def uniform(ids):
    return np.full(len(ids) - 1, -math.log(7))


class Markov:
    """log p(x_t | all that the window holds before it), whose value tells how much that was."""

    def __init__(self):
        self.calls = []

    def __call__(self, ids):
        self.calls.append(list(ids))
        return [-1 / t - 0.01 * (ids[t] % 3) for t in range(1, len(ids))]


def test_a_uniform_model_has_its_number_of_tokens_as_perplexity():
    texts = [[1, 2, 3], list(range(50)), [0, 0]]
    for context, stride in ((None, None), (2, 1), (8, 3), (8, 7), (100, 50)):
        found = perplexity(uniform, texts, context=context, stride=stride)
        assert_allclose(found.value, 7, rtol=1e-12)
        assert_allclose(found.segments, 7, rtol=1e-12)
        assert found.parts["tokens"] == 2 + 49 + 1
        assert_allclose(found.parts["bits_per_token"], math.log2(7), rtol=1e-12)


def test_a_fair_coins_text_has_one_bit_a_byte():
    texts = [[2, 0, 1, 1, 0], [2, 1]]  # a token for the beginning, then one a byte
    found = bits_per_byte(lambda ids: np.full(len(ids) - 1, math.log(0.5)), texts, [4, 1])
    assert_allclose(found.value, 1, rtol=1e-12)
    assert (found.parts["tokens"], found.parts["bytes"]) == (5, 5)
    # tokens of two bytes halve it: what counts is the text
    assert_allclose(bits_per_byte(lambda ids: np.full(len(ids) - 1, math.log(0.5)), texts, [8, 2]).value, 0.5)


@few
@given(st.integers(2, 40), st.integers(2, 12), st.data())
def test_each_token_but_the_first_counts_once_in_the_first_window_it_is_in(n, context, data):
    stride = data.draw(st.integers(1, context - 1))
    model, ids = Markov(), [5 * i % 11 for i in range(n)]
    total = 0.0
    for t in range(1, n):
        start = next(s for s in range(0, n, stride) if t < s + context)
        total += 1 / (t - start) + 0.01 * (ids[t] % 3)
    found = perplexity(model, [ids], context=context, stride=stride)
    assert_allclose(found.parts["logprob"], -total, rtol=1e-12)
    assert_allclose(found.value, math.exp(total / (n - 1)), rtol=1e-12)
    assert all(len(call) <= context for call in model.calls)


def test_a_smaller_stride_gives_each_token_more_context():
    ids = list(range(60))
    values = [perplexity(Markov(), [ids], context=12, stride=stride).value for stride in (11, 6, 3, 1)]
    assert values == sorted(values, reverse=True)
    assert perplexity(Markov(), [ids]).value < values[-1]
    default = perplexity(Markov(), [ids], context=12)
    assert default.value == values[1]
    assert "context:12|stride:6" in default.signature


def test_repetition_is_foreseen_best_and_what_cannot_be_has_no_bound():
    def copier(ids):
        return [math.log(0.9 if ids[t] == ids[t - 1] else 0.1) for t in range(1, len(ids))]

    assert perplexity(copier, [[3] * 20]).value < perplexity(copier, [list(range(20))]).value
    assert perplexity(lambda ids: np.full(len(ids) - 1, -math.inf), [[1, 2]]).value == math.inf


@pytest.mark.parametrize(
    ("texts", "how", "message"),
    [
        ([], {}, "texts must hold at least one, got none"),
        ([[1, 2], [1]], {}, r"texts\[1\] must have two tokens at least, as the first is not scored; got 1"),
        ([[]], {}, r"texts\[0\] must have two tokens at least"),
        ([1, 2, 3], {}, "texts must hold the ids of each text, got the number 1; put one text in a list"),
        ([[1, 2]], {"context": 1}, "context must be an integer >= 2 or None, got 1"),
        ([[1, 2]], {"context": 4, "stride": 4}, "stride must be from 1 to context - 1, got 4 and context 4"),
        ([[1, 2]], {"context": 4, "stride": 0}, "stride must be from 1 to context - 1, got 0"),
        ([[1, 2]], {"stride": 2}, "stride must be from 1 to context - 1, got 2 and context None"),
    ],
)
def test_bad_input_is_refused_by_name(texts, how, message):
    with pytest.raises(ValueError, match=message):
        perplexity(uniform, texts, **how)


@pytest.mark.parametrize("returned", [[-1.0], [-1.0, 0.5], [-1.0, math.nan], [[-1.0, -1.0]]])
def test_what_are_no_log_probabilities_is_refused(returned):
    with pytest.raises(ValueError, match="score must return 2 log-probabilities <= 0 for 3 ids"):
        perplexity(lambda ids: returned, [[1, 2, 3]])


@pytest.mark.parametrize("n_bytes", [[], [0], [1.5], [1, 2]])
def test_bytes_must_be_given_for_each_text(n_bytes):
    with pytest.raises(ValueError, match="n_bytes must hold an integer >= 1 for each of 1 texts"):
        bits_per_byte(uniform, [[1, 2]], n_bytes)
