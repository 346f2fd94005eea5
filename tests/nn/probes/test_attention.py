"""Entropy, rank, similarity and logits of attention heads, beside NumPy over all weights and in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from breadth.nn.attention import head_similarity
from breadth.nn.attention.blocks import largest_logits
from breadth.nn.probes import effective_rank, head_activity, head_rank, rank_one_distance
from tests.nn.attention.dense_attention import drawn, exact_attention, visible

F64 = torch.float64
# rtol, atol: sums of up to a hundred terms of size 1 in another order, float64
EXACT = {"rtol": 1e-12, "atol": 1e-13}

FORMS = {
    "all": {},
    "causal": {"causal": True},
    "window": {"window": 3},
    "causal window": {"causal": True, "window": 3},
    "one key": {"causal": True, "window": 1},
    "cap and scale": {"softcap": 2.0, "scale": 1.5},
    "sinks": {"sinks": np.array([0.5, -1.0, 3.0, 0.0]), "causal": True},
    "bias": {"bias": np.random.default_rng(5).normal(size=(4, 7, 9))},
    "mask": {"mask": np.random.default_rng(6).random((2, 1, 7, 9)) > 0.3},
    "padding": {"mask": (np.arange(9) < 6)[None, None, None], "window": 4},
}


def arrays(length=7, n_keys=9):
    given = drawn(length=length, n_keys=n_keys)
    return {name: given[name] for name in ("q", "k", "v", "grad")}


def call(function, given, form, **more):
    as_tensors = {name: torch.tensor(t) if isinstance(t, np.ndarray) else t for name, t in form.items()}
    return function(torch.tensor(given["q"]), torch.tensor(given["k"]), **as_tensors, **more)


def by_hand(weights: np.ndarray, seen: np.ndarray, sinks: np.ndarray | None):
    """Mean entropy, evenness and largest weight of each head, and how many queries see a key."""
    entropies, evenness, top, queries = ([[] for _ in range(weights.shape[1])] for _ in range(4))
    for b, h, i in np.ndindex(weights.shape[:3]):
        n = seen[b, h, i].sum()
        if not n:
            continue
        p = weights[b, h, i]
        p = np.append(p, 1 - p.sum()) if sinks is not None else p
        entropy = -sum(v * math.log(v) for v in p if v > 0)
        entropies[h].append(entropy)
        top[h].append(weights[b, h, i].max())
        queries[h].append(1)
        if n + (sinks is not None) > 1:
            evenness[h].append(entropy / math.log(n + (sinks is not None)))
    means = [np.array([np.mean(v) if v else np.nan for v in part]) for part in (entropies, evenness, top)]
    return *means, len(queries[0])


@pytest.mark.parametrize("block", [1, 2, 100, None])
@pytest.mark.parametrize("name", FORMS)
def test_blocks_of_queries_give_what_all_weights_at_once_do(name, block):
    given, form = arrays(), FORMS[name]
    weights = exact_attention(**given, **form).weights
    seen = np.broadcast_to(visible(7, 9, causal=form.get("causal", False), window=form.get("window")), weights.shape)
    seen = seen & np.broadcast_to(form.get("mask", True), weights.shape)
    entropy, evenness, top, queries = by_hand(weights, seen, form.get("sinks"))
    found = call(head_activity, given, form, block=block)
    for ours, exact in ((found.entropy, entropy), (found.evenness, evenness), (found.top, top)):
        np.testing.assert_allclose(ours.numpy(), exact, **EXACT)
    logits = np.einsum("bhle,bhse->bhls", given["q"], given["k"].repeat(2, 1)) * form.get("scale", 8**-0.5)
    np.testing.assert_allclose(found.max_logit, np.where(seen, logits, -np.inf).max((0, 2, 3)), rtol=1e-14)
    expected = head_similarity(torch.tensor(weights)).mean(0)  # held against a double loop elsewhere
    np.testing.assert_allclose(found.similarity, expected, **EXACT)
    assert found.queries == queries


def test_more_queries_than_keys_leave_those_out_that_see_none():
    given = arrays(length=6, n_keys=2)
    form = {"causal": True}
    weights = exact_attention(**given, **form).weights
    seen = np.broadcast_to(visible(6, 2, causal=True), weights.shape)
    entropy, _, _, queries = by_hand(weights, seen, None)
    for block in (1, 4, None):
        found = call(head_activity, given, form, block=block)
        np.testing.assert_allclose(found.entropy, entropy, **EXACT)
        assert found.queries == queries == 2 * 2
    nothing = call(head_activity, given, {"mask": np.zeros((1, 1, 6, 2), bool)})
    assert nothing.entropy.isnan().all() and nothing.evenness.isnan().all()
    assert (nothing.max_logit == -math.inf).all() and nothing.queries == 0


def test_uniform_and_concentrated_heads_and_copies_of_a_head_are_told_apart():
    """Head 0 ignores its queries, 1 finds its own token, 2 repeats 1, 3 looks at token 0 whatever the query."""
    length, e = 8, torch.eye(8, dtype=F64)
    q = torch.stack([0 * e, 1e4 * e, 1e4 * e, torch.ones(8, 8, dtype=F64)])[None]
    k = torch.stack([e, e, e, 1e5 * e[:, :1].expand(8, 8) * e[0]])[None]
    found = head_activity(q, k, scale=1.0)
    torch.testing.assert_close(found.entropy, torch.tensor([math.log(length), 0, 0, 0], dtype=F64), **EXACT)
    torch.testing.assert_close(found.evenness, torch.tensor([1.0, 0, 0, 0], dtype=F64), **EXACT)
    torch.testing.assert_close(found.top, torch.tensor([1 / length, 1, 1, 1], dtype=F64), **EXACT)
    assert found.max_logit.tolist() == [0.0, 1e4, 1e4, 1e5]
    # uniform rows against one-hot rows: length / (sqrt(1) sqrt(length)) of cosine, all heads
    apart = 1 / math.sqrt(length)
    torch.testing.assert_close(found.similarity[0], torch.tensor([1, apart, apart, apart], dtype=F64), **EXACT)
    torch.testing.assert_close(found.redundancy, torch.tensor([apart, 1, 1, apart], dtype=F64), **EXACT)
    ranks = head_rank(q, k, scale=1.0)
    torch.testing.assert_close(ranks.effective, torch.tensor([1.0, length, length, 1], dtype=F64), **EXACT)
    far = math.sqrt(1 - 1 / length)  # of the identity from its mean row
    torch.testing.assert_close(ranks.distance, torch.tensor([0.0, far, far, 0], dtype=F64), **EXACT)
    assert str(found).splitlines()[3].split() == ["2", "0.000", "0.000", "1.000", "1e+04", "1.000"]


@pytest.mark.parametrize("name", FORMS)
def test_ranks_are_those_of_the_matrices_of_weights(name):
    given, form = arrays(), FORMS[name]
    weights = exact_attention(**given, **form).weights
    found = call(head_rank, given, form)
    for h in range(4):
        rank = np.mean([effective_rank(torch.tensor(weights[b, h])) for b in range(2)])
        rows = [weights[b, h] for b in range(2)]
        distance = np.mean([np.linalg.norm(w - w.mean(0)) / np.linalg.norm(w) for w in rows])
        assert found.effective[h].item() == pytest.approx(rank, rel=1e-10)  # entropy of singular values
        assert found.distance[h].item() == pytest.approx(distance, rel=1e-12)


def test_the_distance_to_equal_rows_is_that_of_least_squares_whatever_the_scale():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 6, 4)) + 2
    for scale in (1.0, 1e-200, 1e200):
        ours = rank_one_distance(torch.tensor(scale * x))
        for found, rows in zip(ours, x, strict=True):
            constant, *_ = np.linalg.lstsq(np.ones((6, 1)), rows)
            assert found.item() == pytest.approx(np.linalg.norm(rows - constant) / np.linalg.norm(rows), rel=1e-12)
    tiny = torch.tensor(1e4 + 1e-9 * rng.normal(size=(6, 4)))
    exact = (tiny - tiny[0]).numpy()  # differences of neighbours in float64 are exact
    expected = np.linalg.norm(exact - exact.mean(0)) / np.linalg.norm(tiny.numpy())
    assert rank_one_distance(tiny).item() == pytest.approx(expected, rel=1e-12)
    assert rank_one_distance(torch.full((5, 3), 1 / 3)).item() == 0
    assert rank_one_distance(torch.zeros(5, 3)).item() == 0
    assert rank_one_distance(torch.ones(1, 3)).item() == 0
    assert rank_one_distance(torch.tensor([[1.0, math.nan], [0.0, 1.0]])).isnan()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_and_long_sequences_are_taken_in_pieces(dtype):
    draw = torch.Generator().manual_seed(0)
    q, k = (30 * torch.randn(1, 2, 3000, 16, generator=draw)).to(dtype), torch.randn(1, 1, 3000, 16, generator=draw)
    logits = (q.double() @ k.to(dtype).double().mT / 4).masked_fill(torch.ones(3000, 3000).triu(1).bool(), -torch.inf)
    found = largest_logits(q, k.to(dtype), causal=True)
    assert found.dtype == torch.float32 and not found.requires_grad
    # a product of 16 terms in float32
    torch.testing.assert_close(found.double(), logits.amax((0, 2, 3)), rtol=16 * torch.finfo(torch.float32).eps, atol=0)
    weights = logits.softmax(-1)
    entropy = torch.special.entr(weights).sum(-1).mean((0, 2))
    torch.testing.assert_close(head_activity(q, k.to(dtype), causal=True).entropy, entropy, **EXACT)


def test_logits_that_are_not_finite_are_not_hidden():
    q, k = torch.ones(1, 2, 3, 4), torch.ones(1, 2, 3, 4)
    q[0, 1, 1, 2] = math.nan
    largest = largest_logits(q, k, block=1)
    assert largest[0] == 2.0 and largest[1].isnan()
    assert head_activity(q, k).entropy.isnan().tolist() == [False, True]
    assert largest_logits(q[:, :, :0], k).tolist() == [-math.inf] * 2
    assert largest_logits(q[:0], k[:0]).tolist() == [-math.inf] * 2


def test_what_does_not_fit_is_refused_by_name():
    q, k = torch.zeros(1, 4, 5, 8), torch.zeros(1, 2, 5, 8)
    calls = [
        (ValueError, lambda: head_activity(q, k, block=0), "block must be >= 1, got 0"),
        (ValueError, lambda: largest_logits(q, k[:, :, :, :3]), r"q \(B, H, L, E\), k \(B, H_kv, S, E\)"),
        (TypeError, lambda: largest_logits(q, k, mask=torch.zeros(5, 5)), "mask must be boolean"),
        (ValueError, lambda: head_rank(q[:, :, :0], k), "q and k must hold an example, a query and a key"),
        (ValueError, lambda: head_rank(q * math.nan, k), "x must be finite"),
        (ValueError, lambda: rank_one_distance(torch.zeros(3)), r"x must have shape \(..., rows, features\)"),
        (ValueError, lambda: rank_one_distance(torch.zeros(0, 3)), r"each >= 1, got \(0, 3\)"),
        (TypeError, lambda: rank_one_distance(torch.zeros(2, 3).long()), "x must be floating point"),
    ]
    for error, function, says in calls:
        with pytest.raises(error, match=says):
            function()
