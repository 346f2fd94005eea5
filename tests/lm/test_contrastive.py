"""Contrastive search and contrastive decoding by hand, candidate by candidate."""

from __future__ import annotations

import math

import pytest
import torch

from breadth.lm.contrastive import contrast, contrastive_scores, degeneration_penalty
from breadth.lm.generation import generate

from .toy import F64, ToyLM, texts

PROMPTS = [[1, 2, 3], [4], [0, 5]]
INF = math.inf


def cosine(a, b):
    return float(torch.nn.functional.cosine_similarity(a, b, dim=0))


def search_by_hand(model, prompt, length, alpha, k):
    """Su et al., eq. 5: each candidate is appended, read, and compared with every state before it."""
    ids = list(prompt)
    for _ in range(length):
        p = model.next_logits(ids).softmax(-1)
        scores = {}
        for v in p.topk(k).indices.tolist():
            states = model(torch.tensor([[*ids, v]]), hidden=True)[1][0]
            penalty = max(cosine(states[-1], states[j]) for j in range(len(ids)))
            scores[v] = (1 - alpha) * float(p[v]) - alpha * penalty
        ids.append(max(scores, key=scores.__getitem__))
    return ids[len(prompt) :]


@pytest.mark.parametrize(("alpha", "k"), [(0.6, 4), (0.3, 2), (1.0, 6), (0.9, 50)])
def test_contrastive_search_takes_the_candidate_of_the_best_score(alpha, k):
    model = ToyLM()
    found = generate(model, PROMPTS, max_new_tokens=8, penalty_alpha=alpha, top_k=k)
    assert found.ids == [search_by_hand(model, prompt, 8, alpha, min(k, 6)) for prompt in PROMPTS]
    for prompt, ids, logprobs in zip(PROMPTS, found.ids, found.logprobs, strict=True):
        assert sum(logprobs) == pytest.approx(model.log_probability(prompt, ids), rel=1e-6)


@pytest.mark.parametrize("given", [{"penalty_alpha": 0.0, "top_k": 4}, {"penalty_alpha": 0.7, "top_k": 1}])
def test_without_penalty_or_choice_it_is_greedy(given):
    assert generate(ToyLM(), PROMPTS, max_new_tokens=8, **given).ids == generate(ToyLM(), PROMPTS, max_new_tokens=8).ids


def test_contrastive_search_repeats_less_than_greedy():
    model = ToyLM(40, sharpness=3.0, order=1)
    model.table += 0.5 * torch.randn(model.table.shape[1], generator=torch.Generator().manual_seed(2), dtype=F64)

    def repeats(ids):
        return sum(len(row) - len(set(row)) for row in ids)

    prompts = [[i] for i in range(12)]
    greedy = generate(model, prompts, max_new_tokens=30).ids
    searched = generate(model, prompts, max_new_tokens=30, penalty_alpha=0.8, top_k=8).ids
    assert repeats(searched) < repeats(greedy)


def test_the_penalty_is_the_largest_cosine_of_what_is_no_padding():
    g = torch.Generator().manual_seed(0)
    candidates, past = torch.randn(2, 3, 5, generator=g, dtype=F64), torch.randn(2, 4, 5, generator=g, dtype=F64)
    past[0, 0] = 1e4 * candidates[0, 1]  # the same direction, far away, and padding
    valid = torch.tensor([[False, True, True, True], [True] * 4])
    out = degeneration_penalty(candidates, past, valid)
    for b in range(2):
        for v in range(3):
            expected = max(cosine(candidates[b, v], past[b, j]) for j in range(4) if valid[b, j])
            assert out[b, v].item() == pytest.approx(expected, rel=1e-12)
    assert degeneration_penalty(candidates, past)[0, 1].item() == pytest.approx(1, rel=1e-12)
    assert not degeneration_penalty(torch.zeros(1, 1, 5), past[:1].float()).isnan().any()
    scores = contrastive_scores(torch.tensor([0.5]), torch.tensor([0.25]), alpha=0.6)
    assert scores.item() == pytest.approx(0.4 * 0.5 - 0.6 * 0.25)
    with pytest.raises(ValueError, match=r"penalty_alpha must be in \[0, 1\]"):
        contrastive_scores(scores, scores, alpha=2)


@pytest.mark.parametrize("alpha", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("tau", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_contrasted_logits_are_the_difference_where_it_is_plausible(alpha, tau, mean):
    g = torch.Generator().manual_seed(1)
    expert, amateur = (mean + 2 * torch.randn(3, 20, generator=g, dtype=F64) for _ in range(2))
    out = contrast(expert, amateur, alpha=alpha, amateur_temperature=tau)
    p, q = expert.softmax(-1), (amateur / tau).softmax(-1)
    for r in range(3):
        for v in range(20):
            if p[r, v] >= alpha * p[r].max():
                # rounding of logits of size 1e4 is 1e-12
                assert out[r, v].item() == pytest.approx(math.log(p[r, v] / q[r, v]), rel=1e-9, abs=1e-9)
            else:
                assert out[r, v] == -INF


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"alpha": 0.0}, r"contrast_alpha must be in \(0, 1\]"),
        ({"alpha": 1.1}, r"contrast_alpha must be in \(0, 1\]"),
        ({"amateur_temperature": 0.0}, "amateur_temperature must be > 0"),
    ],
)
def test_contrast_refuses_what_is_out_of_range(given, message):
    with pytest.raises(ValueError, match=message):
        contrast(torch.zeros(1, 2), torch.zeros(1, 2), **given)
    with pytest.raises(ValueError, match="amateur must have the shape of expert"):
        contrast(torch.zeros(1, 2), torch.zeros(1, 3))


def test_contrastive_decoding_takes_the_best_of_each_step_and_samples_by_its_scores():
    expert = ToyLM()
    amateur = ToyLM(seed=1, near=expert)
    found = generate(expert, PROMPTS, max_new_tokens=8, amateur=amateur, contrast_alpha=0.1, amateur_temperature=0.7)
    differs = False
    for prompt, ids in zip(PROMPTS, found.ids, strict=True):
        text = list(prompt)
        for token in ids:
            log_p = expert.next_logits(text).log_softmax(-1)
            scores = log_p - (amateur.next_logits(text) / 0.7).log_softmax(-1)
            scores[log_p.exp() < 0.1 * log_p.exp().max()] = -INF
            assert token == int(scores.argmax())
            differs |= token != int(log_p.argmax())
            text.append(token)
    assert differs
    alone = generate(expert, PROMPTS, max_new_tokens=8, amateur=amateur, contrast_alpha=1.0)
    assert alone.ids == generate(expert, PROMPTS, max_new_tokens=8).ids  # only the likeliest is plausible
    drawn = generate(expert, [1], max_new_tokens=2, amateur=amateur, do_sample=True, num_return_sequences=300, seed=0)
    likely = {t for t in texts(6, 2) if plausible(expert, [1], t)}
    assert set(map(tuple, drawn.ids)) <= likely and len(set(map(tuple, drawn.ids))) > 1


def plausible(expert, prompt, text):
    ids = list(prompt)
    for token in text:
        p = expert.next_logits(ids).softmax(-1)
        if p[token] < 0.1 * p.max():
            return False
        ids.append(token)
    return True
