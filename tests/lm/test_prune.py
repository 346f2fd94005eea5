"""Importance, schedules and what they select, beside loops that follow the definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from breadth.lm.prune import (
    Prune,
    attention_importance,
    check_schedule,
    dynamic_schedule,
    layer_wise_schedule,
    static_schedule,
)


def probabilities(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).softmax(-1)


def test_importance_is_the_mean_attention_that_a_token_is_given():
    p = probabilities(2, 3, 5, 7)
    of_all, of_last = attention_importance(p, queries="all"), attention_importance(p)
    for b in range(2):
        for j in range(7):
            by_hand = [[p[b, h, q, j].item() for q in range(5)] for h in range(3)]
            assert of_all[b, j].item() == pytest.approx(np.mean(by_hand), abs=1e-15)
            assert of_last[b, j].item() == pytest.approx(np.mean([heads[-1] for heads in by_hand]), abs=1e-15)
    torch.testing.assert_close(of_last.sum(-1), torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-15)


def by_definition(rule: Prune, scores: list[float], n_tokens: int) -> list[int]:
    """Token after token in order of importance, the last one first and later ones before equal ones."""
    n = len(scores)
    ranked = [n - 1, *sorted(range(n - 1), key=lambda j: (-scores[j], -j))]
    if rule.keep is not None:
        count = max(1, math.ceil(round(rule.keep * n_tokens, 9)))
        return sorted(ranked[:count])
    if rule.threshold is not None:
        return sorted(j for j in range(n) if scores[j] >= rule.threshold or j == n - 1)
    kept, total = [], 0.0
    for j in ranked:
        kept.append(j)
        total += scores[j]
        if total >= rule.mass * sum(scores) - 1e-12:
            break
    return sorted(kept)


@pytest.mark.parametrize("n", [1, 2, 9, 50])
@pytest.mark.parametrize("ties", [False, True])
def test_what_is_selected_is_what_a_loop_by_the_definition_selects(n, ties):
    rng = np.random.default_rng(n)
    rules = [Prune(after=0, keep=k) for k in (1e-9, 0.1, 1 / 3, 0.5, 0.9, 1.0)]
    rules += [Prune(after=0, mass=m) for m in (1e-9, 0.3, 0.9, 1.0)]
    rules += [Prune(after=0, threshold=t) for t in (0.0, 1 / n / 2, 0.5, 0.999)]
    for rule in rules:
        scores = rng.integers(0, 4, n) + 1.0 if ties else rng.exponential(size=n)
        scores = scores / scores.sum()
        n_tokens = n if rule.keep is None else n + 3
        assert rule.select(torch.from_numpy(scores), n_tokens).tolist() == by_definition(
            rule, scores.tolist(), n_tokens
        )


def test_a_peaked_text_keeps_fewer_tokens_under_mass_and_as_many_under_keep():
    peaked, flat = torch.full((100,), 0.1 / 97), torch.full((100,), 0.01)
    peaked[[3, 50, 99]] = 0.3
    assert Prune(after=0, mass=0.85).select(peaked).tolist() == [3, 50, 99]
    assert len(Prune(after=0, mass=0.85).select(flat)) == 85
    assert len(Prune(after=0, keep=0.2).select(peaked)) == len(Prune(after=0, keep=0.2).select(flat)) == 20


def test_the_last_token_stays_even_when_nothing_looks_at_it():
    scores = torch.tensor([0.5, 0.5, 0.0])
    for rule in (Prune(after=0, keep=0.1), Prune(after=0, mass=0.4), Prune(after=0, threshold=0.9)):
        assert 2 in rule.select(scores).tolist()
    assert Prune(after=0, keep=0.5).select(torch.zeros(4)).tolist() == [2, 3]


def test_layer_wise_shares_fall_from_one_to_the_last_by_their_formulas():
    for fall, middle in (("linear", 0.6), ("cosine", 0.6), ("geometric", 0.2**0.5)):
        schedule = layer_wise_schedule(9, begin=2, step=1, end_keep=0.2, fall=fall)
        assert [prune.after for prune in schedule] == [2, 3, 4, 5, 6, 7]
        shares = [prune.keep for prune in schedule]
        assert shares == sorted(shares, reverse=True) and shares[-1] == pytest.approx(0.2) and shares[0] < 1
        assert shares[2] == pytest.approx(middle)
    geometric = [prune.keep for prune in layer_wise_schedule(7, end_keep=0.1, fall="geometric")]
    assert np.diff(np.log([1.0, *geometric])) == pytest.approx(np.full(6, math.log(0.1) / 6))
    assert [prune.after for prune in layer_wise_schedule(12, begin=3, step=4, end_keep=0.5)] == [3, 7]
    assert static_schedule(5, 0.3) == (Prune(after=5, keep=0.3),)
    assert dynamic_schedule(4, step=2, mass=0.9) == (Prune(after=0, mass=0.9), Prune(after=2, mass=0.9))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Prune(after=0), "exactly one of keep, mass and threshold, got none"),
        (lambda: Prune(after=0, keep=0.5, mass=0.5), r"got \['keep', 'mass'\]"),
        (lambda: Prune(after=-1, keep=0.5), "after must be >= 0"),
        (lambda: Prune(after=0, keep=0.0), r"keep must be in \(0, 1\], got 0.0"),
        (lambda: Prune(after=0, mass=1.1), r"mass must be in \(0, 1\]"),
        (lambda: Prune(after=0, mass=float("nan")), r"mass must be in \(0, 1\]"),
        (lambda: Prune(after=0, threshold=1.0), r"threshold must be in \[0, 1\)"),
        (lambda: Prune(after=0, keep=0.5).select(torch.tensor([0.1, float("nan")])), "not NaN"),
        (lambda: Prune(after=0, keep=0.5).select(torch.tensor([0.1, -0.1])), ">= 0 everywhere"),
        (lambda: Prune(after=0, keep=0.5).select(torch.zeros(0)), r"\(n >= 1,\), got \(0,\)"),
        (lambda: Prune(after=0, keep=0.5).select(torch.zeros(2, 2)), r"got \(2, 2\)"),
        (lambda: layer_wise_schedule(4, end_keep=0.5, fall="steep"), "'linear', 'cosine', 'geometric', got 'steep'"),
        (lambda: layer_wise_schedule(4, begin=3, end_keep=0.5), "n_layers - 2"),
        (lambda: layer_wise_schedule(1, end_keep=0.5), "n_layers >= 2"),
        (lambda: layer_wise_schedule(4, step=0, end_keep=0.5), "step must be >= 1"),
        (lambda: layer_wise_schedule(4, end_keep=0.0, fall="geometric"), "end_keep"),
        (lambda: check_schedule((Prune(after=2, keep=0.5), Prune(after=1, keep=0.4)), 4), r"got \[2, 1\]"),
        (lambda: check_schedule((Prune(after=1, keep=0.5), Prune(after=1, keep=0.4)), 4), "ascending"),
        (lambda: check_schedule((Prune(after=3, keep=0.5),), 4), "after layer 3: behind the last of 4"),
        (lambda: check_schedule((Prune(after=0, keep=0.5), Prune(after=1, keep=0.6)), 4), "keep more in later layers"),
        (lambda: attention_importance(torch.ones(3, 3)), r"\(..., heads, queries, keys\), got \(3, 3\)"),
        (lambda: attention_importance(torch.ones(1, 3, 3), queries="first"), "'all' or 'last', got 'first'"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()
