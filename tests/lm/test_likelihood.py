from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.testing import assert_close

from breadth.lm.likelihood import perplexity, token_logprobs
from tests.lm.models import BOTH_SIDES, KINDS, ids, perturbed
from tests.lm.toy import ToyLM


def causal(toy):
    toy.config.causal = True
    return toy


def test_probabilities_of_all_texts_of_a_length_sum_to_one():
    model = causal(ToyLM(vocab=4, seed=1))
    texts = torch.tensor([[2, *rest] for rest in itertools.product(range(4), repeat=4)])
    assert_close(token_logprobs(model, texts).sum(1).exp().sum(), torch.tensor(1.0, dtype=torch.float64))


def test_padding_on_either_side_has_no_part():
    model, tokens = perturbed(KINDS["plain"]), ids(3, 12)
    valid = torch.tensor([[True] * 12, [False] * 4 + [True] * 8, [True] * 7 + [False] * 5])
    with torch.no_grad():
        found = token_logprobs(model, tokens, valid=valid)
        alone = [token_logprobs(model, tokens[1:2, 4:]), token_logprobs(model, tokens[2:, :7])]
    assert_close(found[1, 4:], alone[0][0], rtol=0, atol=2e-12)
    assert_close(found[2, :6], alone[1][0], rtol=0, atol=2e-12)
    assert not found[1, :4].any()
    assert not found[2, 6:].any()


@pytest.mark.parametrize(("context", "stride"), [(16, 8), (10, 3), (7, 6), (2, 1), (60, None)])
def test_perplexity_is_that_of_tokens_one_by_one(context, stride):
    model, text = perturbed(KINDS["plain"]), ids(1, 50)[0]
    found = perplexity(model, text, context=context, stride=stride)
    step = stride or context // 2
    total = 0.0
    for t in range(1, 50):
        start = 0
        while start + context <= t:  # the first window that the token is in
            start += step
        with torch.no_grad():
            total += float(model(text[None, start:t])[0, -1].log_softmax(-1)[text[t]])
    assert found.tokens == 49
    assert found.logprob == pytest.approx(total, rel=1e-12)
    assert found.value == pytest.approx(math.exp(-total / 49), rel=1e-12)


def test_a_model_of_even_chances_has_the_vocabulary_s_size_as_perplexity():
    model = causal(ToyLM(vocab=6, sharpness=0.0))
    assert perplexity(model, [0, 3, 5, 1, 1, 2]).value == pytest.approx(6)


def test_what_is_refused():
    model = perturbed(KINDS["plain"])
    with pytest.raises(ValueError, match="model must be causal"):
        token_logprobs(perturbed(BOTH_SIDES), ids(1, 3))
    with pytest.raises(ValueError, match="length >= 2"):
        token_logprobs(model, ids(1, 1))
    with pytest.raises(ValueError, match="length >= 2"):
        perplexity(model, [1])
    with pytest.raises(ValueError, match="from 2 to the model's 512, got 513"):
        perplexity(model, [1, 2], context=513)
    with pytest.raises(ValueError, match="stride must be from 1 to context - 1 = 7"):
        perplexity(model, [1, 2], context=8, stride=8)
