"""Temperature and filters against their definitions, written out, and against the frequencies of 100,000 draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch

from breadth.lm.draws import Uniforms, draw, draw_from
from breadth.lm.penalties import no_repeat_ngram, presence_frequency_penalty, repetition_penalty
from breadth.lm.sampling import (
    epsilon_cutoff,
    eta_cutoff,
    min_p,
    scale_temperature,
    temperature_softmax,
    top_k,
    top_p,
    typical,
)

F64 = torch.float64
INF = math.inf


def some_logits(rows=4, vocab=40, seed=0, scale=2.0, mean=0.0, dtype=F64):
    g = torch.Generator().manual_seed(seed)
    return (mean + scale * torch.randn(rows, vocab, generator=g, dtype=F64)).to(dtype)


# ---- what each filter keeps, from its definition: sets of tokens, one row at a time


def kept_top_k(p, k):
    return {i for i in range(len(p)) if sum(q > p[i] for q in p) < k}


def kept_top_p(p, mass):
    order, total, kept = sorted(range(len(p)), key=lambda i: -p[i]), 0.0, set()
    for i in order:
        kept.add(i)
        total += p[i]
        if total >= mass:
            return kept
    return kept


def kept_min_p(p, fraction):
    return {i for i in range(len(p)) if p[i] >= fraction * max(p)}


def kept_typical(p, mass):
    entropy = -sum(q * math.log(q) for q in p if q > 0)
    order = sorted(range(len(p)), key=lambda i: abs(-math.log(p[i]) - entropy) if p[i] > 0 else INF)
    total, kept = 0.0, set()
    for i in order:
        kept.add(i)
        total += p[i]
        if total >= mass:
            return kept
    return kept


def kept_epsilon(p, epsilon):
    return {i for i in range(len(p)) if p[i] >= epsilon} | {int(np.argmax(p))}


def kept_eta(p, epsilon):
    entropy = -sum(q * math.log(q) for q in p if q > 0)
    return kept_epsilon(p, min(epsilon, math.sqrt(epsilon) * math.exp(-entropy)))


FILTERS = [
    (top_k, kept_top_k, 5),
    (top_k, kept_top_k, 1),
    (top_k, kept_top_k, 1000),
    (top_p, kept_top_p, 0.9),
    (top_p, kept_top_p, 0.3),
    (top_p, kept_top_p, 0.0),
    (min_p, kept_min_p, 0.1),
    (min_p, kept_min_p, 1.0),
    (min_p, kept_min_p, 0.0),
    (typical, kept_typical, 0.9),
    (typical, kept_typical, 0.2),
    (epsilon_cutoff, kept_epsilon, 0.02),
    (epsilon_cutoff, kept_epsilon, 0.9),
    (eta_cutoff, kept_eta, 0.02),
    (eta_cutoff, kept_eta, 0.5),
]
NAMED = [f"{f.__name__}-{value}" for f, _, value in FILTERS]


@pytest.mark.parametrize(("filter_", "definition", "value"), FILTERS, ids=NAMED)
@pytest.mark.parametrize(("scale", "mean"), [(2.0, 0.0), (0.3, 1e4), (30.0, 0.0), (1e4, 0.0)])
def test_a_filter_keeps_what_its_definition_keeps_and_does_not_change_it(filter_, definition, value, scale, mean):
    logits = some_logits(scale=scale, mean=mean)
    out = filter_(logits, value)
    for row, left in zip(logits, out, strict=True):
        p = scipy.special.softmax(row.numpy())
        kept = {i for i in range(len(p)) if left[i] > -INF}
        assert kept if filter_ is typical else kept >= {int(np.argmax(p))}
        # what has underflowed to 0 ties with all else that has
        assert {i for i in kept if p[i] > 0} == {i for i in definition(p, value) if p[i] > 0}
        assert torch.equal(left[list(kept)], row[list(kept)])


@pytest.mark.parametrize(("filter_", "definition", "value"), FILTERS, ids=NAMED)
def test_100000_draws_follow_the_filtered_distribution(filter_, definition, value):
    logits = some_logits(rows=1, vocab=30, seed=3)
    p = scipy.special.softmax(logits[0].numpy())
    kept = sorted(definition(p, value))
    exact = p[kept] / p[kept].sum()
    u = torch.from_numpy(np.random.default_rng(1).random(100_000))
    tokens = draw(filter_(logits, value).expand(len(u), -1), u).numpy()
    assert set(tokens.tolist()) <= set(kept)
    if len(kept) > 1:
        counts = np.bincount(tokens, minlength=len(p))[kept]
        rare = exact * len(u) < 5
        if rare.any():  # pooled, since chi-square needs some of each
            counts = np.append(counts[~rare], counts[rare].sum())
            exact = np.append(exact[~rare], exact[rare].sum())
        assert scipy.stats.chisquare(counts, exact * len(u)).pvalue > 1e-4


@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
def test_100000_draws_follow_the_temperature(temperature):
    logits = some_logits(rows=1, vocab=12, seed=4)
    exact = scipy.special.softmax(logits[0].numpy() / temperature)
    u = torch.from_numpy(np.random.default_rng(2).random(100_000))
    tokens = draw(scale_temperature(logits, temperature).expand(len(u), -1), u).numpy()
    counts, expected = np.bincount(tokens, minlength=12), exact * len(u)
    common = expected >= 5
    counts, expected = (np.append(x[common], x[~common].sum()) for x in (counts, expected))
    assert scipy.stats.chisquare(counts[expected > 0], expected[expected > 0]).pvalue > 1e-4


@pytest.mark.parametrize("temperature", [1e-3, 0.5, 1.0, 2.0, 1e6])
@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_temperature_softmax_is_the_softmax_of_the_quotient(temperature, mean):
    logits = some_logits(mean=mean)
    expected = scipy.special.softmax(logits.numpy() / temperature, -1)
    # the exponent's rounding error is that of z / T, whose size the result inherits
    tolerance = 1e-12 * max(1, (1 + mean) / temperature * 1e-3)
    assert np.allclose(temperature_softmax(logits, temperature).numpy(), expected, rtol=tolerance, atol=1e-300)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("tiny", [0.0, 1e-300, 1e-40, 1e-9])
def test_a_temperature_that_vanishes_leaves_the_argmax(dtype, tiny):
    logits = some_logits(dtype=dtype) * 100
    best = torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).to(dtype)
    assert torch.equal(temperature_softmax(logits, tiny), best)


def test_the_limits_of_temperature_split_ties_and_leave_out_what_is_left_out():
    logits = torch.tensor([[1.0, 5.0, 5.0, -INF]])
    assert temperature_softmax(logits, 0).tolist() == [[0.0, 0.5, 0.5, 0.0]]
    assert torch.allclose(temperature_softmax(logits, INF), torch.tensor([[1 / 3, 1 / 3, 1 / 3, 0.0]]))
    assert temperature_softmax(logits, 1e-9).tolist() == [[0.0, 0.5, 0.5, 0.0]]
    for wrong in (-1.0, math.nan):
        with pytest.raises(ValueError, match="temperature must be >= 0"):
            temperature_softmax(logits, wrong)
    with pytest.raises(ValueError, match="temperature must be > 0, got 0"):
        scale_temperature(logits, 0)


@pytest.mark.parametrize(
    ("filter_", "value", "message"),
    [
        (top_k, 0, "top_k must be >= 1, got 0"),
        (top_p, -0.1, r"top_p must be in \[0, 1\], got -0.1"),
        (top_p, 1.1, r"top_p must be in \[0, 1\]"),
        (top_p, math.nan, r"top_p must be in \[0, 1\], got nan"),
        (min_p, 1.5, r"min_p must be in \[0, 1\]"),
        (typical, 0.0, r"typical_p must be in \(0, 1\)"),
        (typical, 1.0, r"typical_p must be in \(0, 1\)"),
        (epsilon_cutoff, 0.0, r"epsilon_cutoff must be in \(0, 1\)"),
        (eta_cutoff, 1.0, r"eta_cutoff must be in \(0, 1\)"),
    ],
)
def test_a_filter_refuses_a_value_out_of_its_range(filter_, value, message):
    with pytest.raises(ValueError, match=message):
        filter_(some_logits(), value)


@pytest.mark.parametrize("filter_", [f for f, _, v in FILTERS if v in (5, 0.9, 0.1, 0.02)])
def test_a_filter_keeps_as_many_as_it_must(filter_):
    logits = some_logits(scale=30.0)  # nearly certain: alone it would keep one
    value = 1 if filter_ is top_k else 0.5
    assert ((filter_(logits, value, min_tokens_to_keep=3) > -INF).sum(-1) >= 3).all()
    assert ((filter_(logits, value, min_tokens_to_keep=1000) > -INF).sum(-1) == logits.shape[-1]).all()
    with pytest.raises(ValueError, match="min_tokens_to_keep must be >= 1, got 0"):
        filter_(logits, value, min_tokens_to_keep=0)


@pytest.mark.parametrize(("filter_", "definition", "value"), FILTERS, ids=NAMED)
def test_a_filter_leaves_something_of_ties_one_token_and_what_is_left(filter_, definition, value):
    tied, single = torch.zeros(1, 7), torch.zeros(1, 1)
    left = torch.tensor([[-INF, 3.0, -INF, 2.0, -INF]])
    assert (filter_(tied, value) > -INF).any()
    assert (filter_(single, value) > -INF).all()
    out = filter_(left, value)
    assert (out > -INF).any() and (out[left == -INF] == -INF).all() and not out.isnan().any()


# ---- penalties


def test_repetition_penalty_divides_what_is_positive_and_multiplies_what_is_negative_once():
    logits = torch.tensor([[2.0, -2.0, 1.0, 0.0], [2.0, -2.0, 1.0, 0.0]])
    ids = torch.tensor([[0, 1, 0, 0], [3, 2, 2, 2]])
    out = repetition_penalty(ids, logits, 2.0)
    assert out.tolist() == [[1.0, -4.0, 1.0, 0.0], [2.0, -2.0, 0.5, 0.0]]
    padded = repetition_penalty(ids, logits, 2.0, counted=torch.tensor([[False, True, False, False]] * 2))
    assert padded.tolist() == [[2.0, -4.0, 1.0, 0.0], [2.0, -2.0, 0.5, 0.0]]
    assert torch.equal(repetition_penalty(ids, logits, 1.0), logits)
    with pytest.raises(ValueError, match="repetition_penalty must be > 0, got 0"):
        repetition_penalty(ids, logits, 0.0)


def test_a_penalised_token_never_becomes_likelier_whatever_the_sign():
    logits = some_logits(rows=3)
    ids = torch.randint(0, 40, (3, 25), generator=torch.Generator().manual_seed(0))
    out = repetition_penalty(ids, logits, 1.3)
    seen = torch.zeros_like(logits, dtype=torch.bool).scatter(1, ids, True)
    assert (out[seen] < logits[seen]).all() and torch.equal(out[~seen], logits[~seen])


def test_presence_and_frequency_are_counted_token_by_token():
    logits = some_logits(rows=3, vocab=9)
    g = torch.Generator().manual_seed(0)
    ids, counted = torch.randint(0, 9, (3, 20), generator=g), torch.rand(3, 20, generator=g) < 0.6
    out = presence_frequency_penalty(ids, logits, presence=0.7, frequency=0.3, counted=counted)
    for r in range(3):
        for v in range(9):
            n = sum(1 for t in range(20) if counted[r, t] and ids[r, t] == v)
            assert out[r, v].item() == pytest.approx(logits[r, v].item() - 0.3 * n - 0.7 * (n > 0), rel=1e-12)
    with pytest.raises(ValueError, match=r"frequency_penalty must be in \[-2, 2\], got 3"):
        presence_frequency_penalty(ids, logits, frequency=3)


def test_no_ngram_is_completed_twice():
    logits = torch.zeros(2, 5)
    ids = torch.tensor([[1, 2, 3, 1, 2], [0, 0, 0, 0, 0]])
    assert (no_repeat_ngram(ids, logits, 3) == -INF).tolist() == [
        [False, False, False, True, False],
        [True] + [False] * 4,
    ]
    assert (no_repeat_ngram(ids, logits, 1) == -INF).tolist()[0] == [False, True, True, True, False]
    assert torch.equal(no_repeat_ngram(ids, logits, 6), logits)
    pads = torch.tensor([[False, True, True, True, True]] * 2)
    assert (no_repeat_ngram(ids, logits, 3, counted=pads) == -INF).any(-1).tolist() == [False, True]
    with pytest.raises(ValueError, match="no_repeat_ngram_size must be >= 1"):
        no_repeat_ngram(ids, logits, 0)


# ---- draws


def test_a_draw_takes_the_first_token_whose_cumulated_probability_exceeds_u():
    logits = torch.tensor([[0.25, 0.25, 0.0, 0.5]], dtype=F64).log()
    u = [0.0, 0.2499, 0.2501, 0.4999, 0.5001, 1 - 2**-53]
    assert draw(logits.expand(len(u), -1), torch.tensor(u, dtype=F64)).tolist() == [0, 0, 1, 1, 3, 3]


def test_a_token_of_probability_0_is_never_drawn_even_at_the_borders():
    weights = torch.tensor([[0.0, 1.0, 0.0, 1.0, 0.0]], dtype=F64)
    u = torch.tensor([0.0, 0.5, 1 - 2**-53], dtype=F64)
    assert draw_from(weights.expand(3, -1), u).tolist() == [1, 3, 3]


def test_rare_tokens_of_a_large_vocabulary_keep_their_share():
    # in float32 the sum of 200,000 probabilities would have lost the last ones
    logits = torch.zeros(1, 200_000)
    logits[0, 0] = 20.0
    u = torch.tensor([1 - 1e-9], dtype=F64)
    assert draw(logits, u).item() > 199_000


@pytest.mark.parametrize("broken", [math.nan, INF, None])
def test_a_row_that_cannot_be_drawn_from_is_named(broken):
    logits = torch.zeros(3, 4)
    logits[1] = -INF if broken is None else broken
    with pytest.raises(ValueError, match="logits of row 1 hold NaN or inf, or leave no token"):
        draw(logits, torch.zeros(3, dtype=F64))


def test_uniform_numbers_go_by_row_and_place_in_any_order():
    forward = Uniforms(5, 3)
    numbers = [[forward.at(r, t) for t in range(300)] for r in range(3)]
    again, alone = Uniforms(5, 3), Uniforms([5, 9], 2)
    assert [again.at(2, t) for t in reversed(range(300))][::-1] == numbers[2]
    assert alone.row(7).tolist() == [alone.at(0, 7), alone.at(1, 7)]
    assert Uniforms([9], 1).at(0, 70) == alone.at(1, 70)
    flat = np.array([*numbers, [Uniforms(5, 3, kind=1).at(0, t) for t in range(300)]])
    assert len(np.unique(flat)) == flat.size
    assert scipy.stats.kstest(flat.ravel(), "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(flat)[np.triu_indices(4, 1)]).max() < 0.2
    with pytest.raises(ValueError, match="one for each of 3 rows, got 2"):
        Uniforms([1, 2], 3)
    with pytest.raises(ValueError, match="seed must be >= 0"):
        Uniforms(-1, 1)
