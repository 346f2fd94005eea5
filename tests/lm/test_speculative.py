"""Speculative decoding gives what the target alone gives, token for token or in distribution."""

from __future__ import annotations

import functools
import math
from collections import Counter

import numpy as np
import pytest
import torch

from breadth.lm.draws import draw_from
from breadth.lm.generation import generate, stream
from breadth.lm.speculative import acceptance, expected_tokens, residual

from .test_generation import PROMPTS, chi_square
from .toy import F64, Letters, ToyLM, texts


def two(vocab=6, mix=0.3, **given):
    target = ToyLM(vocab, **given)
    return target, ToyLM(vocab, seed=1, near=target, mix=mix)


@pytest.mark.parametrize("tokens", [1, 2, 4, 7])
@pytest.mark.parametrize("mix", [0.0, 0.3, 1.0])
def test_greedy_speculation_gives_the_tokens_of_greedy_decoding(tokens, mix):
    target, draft = two(mix=mix)
    plain = generate(target, PROMPTS, max_new_tokens=20, eos_token_id=5)
    found = generate(target, PROMPTS, max_new_tokens=20, eos_token_id=5, draft=draft, draft_tokens=tokens)
    assert found.ids == plain.ids and found.finish == plain.finish
    for ours, theirs in zip(found.logprobs, plain.logprobs, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-12)
    assert 0 <= found.accepted <= found.proposed
    if mix == 0.0:
        assert found.accepted == found.proposed > 0  # the draft is the target


def test_rows_accept_unequal_numbers_and_none_waits_for_the_end():
    target, draft = two(vocab=12)
    prompts = [[i, (3 * i) % 12] for i in range(8)]
    found = stream(target, prompts, draft=draft, draft_tokens=4, max_new_tokens=40)
    spread = 0
    for _ in found:
        lengths = [len(ids) for ids in found.result().ids]
        spread = max(spread, max(lengths) - min(lengths))
    assert found.result().ids == generate(target, prompts, max_new_tokens=40).ids
    assert 1 < spread <= 2 * (4 + 1)
    rounds = sum(1 for n in target.calls if n > 1)
    assert rounds < 40  # fewer calls of the target than tokens


def test_penalties_see_each_row_up_to_its_own_end():
    target, draft = two(sharpness=1.0)
    given = {"max_new_tokens": 15, "repetition_penalty": 1.4, "frequency_penalty": 0.5, "no_repeat_ngram_size": 3}
    assert generate(target, PROMPTS, draft=draft, **given).ids == generate(target, PROMPTS, **given).ids


@pytest.mark.parametrize("given", [{}, {"temperature": 1.7, "top_k": 3}, {"frequency_penalty": 1.0, "do_sample": True}])
@pytest.mark.parametrize("tokens", [1, 3])
def test_sampled_speculation_is_distributed_as_the_targets_texts(given, tokens):
    target, draft = two(vocab=4, mix=0.6, sharpness=1.5)
    count = 2500
    found = generate(
        target, [1, 3], max_new_tokens=4, do_sample=True, num_return_sequences=count, seed=2, draft=draft,
        draft_tokens=tokens, **{k: v for k, v in given.items() if k != "do_sample"},
    )  # fmt: skip

    @functools.cache
    def log_p(before):
        logits = target.next_logits([1, 3, *before])
        if "frequency_penalty" in given:
            logits = logits - torch.tensor([before.count(v) for v in range(4)], dtype=F64)
        logits = logits / given.get("temperature", 1.0)
        if "top_k" in given:
            logits[logits < logits.topk(3).values[-1]] = -math.inf
        return logits.log_softmax(-1).tolist()

    exact = {text: math.exp(sum(log_p(text[:i])[token] for i, token in enumerate(text))) for text in texts(4, 4)}
    assert chi_square(Counter(map(tuple, found.ids)), exact) > 1e-4
    assert 0.2 < found.accepted / found.proposed < 0.98


def test_ragged_prompts_keep_each_rows_distribution():
    target, draft = two(vocab=3, mix=0.6, sharpness=1.5)
    prompts = [[1, 2, 0], [2]]
    found = generate(
        target,
        prompts,
        max_new_tokens=4,
        do_sample=True,
        num_return_sequences=1500,
        seed=1,
        draft=draft,
        draft_tokens=2,
    )
    for p, prompt in enumerate(prompts):
        exact = {text: math.exp(target.log_probability(prompt, text)) for text in texts(3, 4)}
        assert chi_square(Counter(map(tuple, found.ids[1500 * p : 1500 * (p + 1)])), exact) > 1e-4


def test_a_rows_text_depends_on_its_seed_alone():
    target, draft = two()
    given = {"max_new_tokens": 20, "temperature": 1.0, "draft": draft}
    together = generate(target, PROMPTS, seed=[7, 8, 9], **given).ids
    assert together == [
        generate(target, [p], seed=[s], **given).ids[0] for p, s in zip(PROMPTS, [7, 8, 9], strict=True)
    ]


def test_what_is_streamed_is_what_is_generated_with_stops_inside_a_round():
    target, draft = two(mix=0.1)
    letters = Letters("abcdef")
    whole = generate(target, PROMPTS, max_new_tokens=20, tokenizer=letters)
    stop = whole.texts[0][4:7]
    given = {"max_new_tokens": 20, "tokenizer": letters, "stop_strings": stop}
    plain = generate(target, PROMPTS, **given)
    found = stream(target, PROMPTS, draft=draft, draft_tokens=6, **given)
    pieces = list(found)
    assert found.result().ids == plain.ids and found.result().texts == plain.texts
    for r in range(3):
        assert "".join(piece.text for piece in pieces if piece.row == r) == plain.texts[r]


def test_kept_and_redrawn_tokens_together_are_distributed_as_the_target():
    g = torch.Generator().manual_seed(0)
    p, q = (torch.randn(200, 9, generator=g, dtype=F64).mul(3).softmax(-1) for _ in range(2))
    beta = acceptance(p, q)
    rest = residual(p, q)
    rest = rest / rest.sum(-1, keepdim=True)
    mixed = q * torch.minimum(torch.ones_like(p), p / q) + (1 - beta)[:, None] * rest
    assert torch.allclose(mixed, p, rtol=1e-12, atol=1e-14)
    assert torch.allclose(beta, 1 - (p - q).abs().sum(-1) / 2, rtol=1e-12)  # 1 - total variation
    assert torch.equal(residual(p, p), p)
    u = torch.from_numpy(np.random.default_rng(0).random((2, 50_000)))
    tokens = draw_from(q[:1].expand(50_000, -1), u[0])
    share = float((u[1] * q[0][tokens] < p[0][tokens]).double().mean())
    assert abs(share - float(beta[0])) < 4 * 0.5 / 50_000**0.5


def test_expected_tokens_is_the_sum_of_its_geometric_series():
    for alpha in (0.0, 0.3, 0.999999, 1.0):
        assert expected_tokens(alpha, 5) == pytest.approx(sum(alpha**i for i in range(6)), rel=1e-9)
    with pytest.raises(ValueError, match=r"alpha must be in \[0, 1\]"):
        expected_tokens(1.5, 3)
    with pytest.raises(ValueError, match="tokens must be >= 1"):
        expected_tokens(0.5, 0)


def test_speculation_never_reads_beyond_the_context():
    target, draft = two(context=23)
    for budget in range(1, 6):
        long = [[1] * (23 - budget), [2] * 3]
        found = generate(target, long, max_new_tokens=budget, draft=draft, draft_tokens=6)
        assert found.ids == generate(target, long, max_new_tokens=budget).ids
