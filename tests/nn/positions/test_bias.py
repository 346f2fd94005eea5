"""Positions as biases beside loops over their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from breadth.nn.attention.attend import attend
from breadth.nn.attention.naive import attention_weights
from breadth.nn.positions import RelativePositionBias, alibi_bias, alibi_slopes, t5_buckets


def test_slopes_are_a_geometric_sequence_from_head_to_head():
    assert alibi_slopes(8).tolist() == [2.0**-h for h in range(1, 9)]
    assert alibi_slopes(1).tolist() == [2.0**-8]
    torch.testing.assert_close(
        alibi_slopes(16),
        torch.tensor([2.0 ** (-h / 2) for h in range(1, 17)], dtype=torch.float64),
        rtol=1e-15,
        atol=0,
    )


def test_heads_beyond_a_power_of_two_take_every_second_slope_of_the_next_power():
    for n in (3, 5, 6, 7, 12, 20, 40):
        power = 2 ** int(math.log2(n))
        found = alibi_slopes(n)
        assert torch.equal(found[:power], alibi_slopes(power))
        torch.testing.assert_close(found[power:], alibi_slopes(2 * power)[0::2][: n - power], rtol=1e-15, atol=0)
        assert len(set(found.tolist())) == n


@pytest.mark.parametrize(("n_queries", "n_keys"), [(5, 5), (3, 7), (7, 3), (1, 9), (1, 1), (0, 4), (4, 0)])
def test_alibi_is_minus_the_slope_times_the_distance(n_queries, n_keys):
    expected = np.zeros((6, n_queries, n_keys))
    for h, m in enumerate(alibi_slopes(6).tolist()):
        for i in range(n_queries):
            for j in range(n_keys):
                expected[h, i, j] = -m * abs(i + n_keys - n_queries - j)
    found = alibi_bias(6, n_queries, n_keys, dtype=torch.float64)
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-15, atol=0)
    assert alibi_bias(6, n_queries, n_keys).dtype == torch.float32


def test_alibi_favours_near_tokens_and_the_opposite_sign_distant_ones():
    # all scores alike: what is left is the bias
    q = torch.zeros(1, 8, 12, 4, dtype=torch.float64)
    bias = alibi_bias(8, 12, dtype=torch.float64)
    distance = (torch.arange(12)[:, None] - torch.arange(12)).clamp(min=0).double()

    def mean_distance(bias):
        return (attention_weights(q, q, causal=True, bias=bias) * distance).sum(-1).mean()

    assert mean_distance(bias) < mean_distance(None) < mean_distance(-bias)


def test_alibi_under_a_causal_softmax_equals_the_slope_times_the_position_of_the_key():
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 6, 9, 4, generator=generator, dtype=torch.float64) for _ in range(3))
    ours = attend(q, k, v, causal=True, bias=alibi_bias(6, 9, dtype=torch.float64))
    shifted = alibi_slopes(6)[:, None, None] * torch.arange(9)
    torch.testing.assert_close(ours, attend(q, k, v, causal=True, bias=shifted), rtol=1e-13, atol=1e-13)


def bucket(distance, n, max_distance, bidirectional):
    """The formula with exact integers instead of logarithms, one distance at a time."""
    first = 0
    if bidirectional:
        n //= 2
        first = n if distance > 0 else 0
        d = abs(distance)
    else:
        d = max(-distance, 0)
    exact = n // 2
    if d < exact:
        return first + d
    # the largest b with (d / exact)^(n - exact) >= (max_distance / exact)^b
    b = 0
    while b < n - exact - 1 and d ** (n - exact) * exact ** (b + 1) >= max_distance ** (b + 1) * exact ** (n - exact):
        b += 1
    return first + exact + b


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("n_buckets", "max_distance"), [(32, 128), (8, 20), (12, 100), (4, 7), (64, 33)])
def test_buckets_are_single_near_and_logarithmic_far(bidirectional, n_buckets, max_distance):
    distances = torch.arange(-300, 301)
    found = t5_buckets(distances, n_buckets=n_buckets, max_distance=max_distance, bidirectional=bidirectional)
    assert found.tolist() == [bucket(d, n_buckets, max_distance, bidirectional) for d in distances.tolist()]
    assert found.min() >= 0
    assert found.max() < n_buckets
    assert t5_buckets(torch.tensor([[-(10**9), 10**9]]), bidirectional=bidirectional).shape == (1, 2)
    assert t5_buckets(torch.zeros(0, 3, dtype=torch.int32)).shape == (0, 3)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("n_queries", "n_keys"), [(6, 6), (2, 9), (9, 2), (1, 5), (1, 1), (0, 3), (3, 0)])
def test_the_learned_bias_is_that_of_the_bucket_of_the_distance(bidirectional, n_queries, n_keys):
    torch.manual_seed(0)
    layer = RelativePositionBias(3, n_buckets=8, max_distance=6, bidirectional=bidirectional).double()
    weight = layer.weight.detach().numpy()
    expected = np.zeros((3, n_queries, n_keys))
    for i in range(n_queries):
        for j in range(n_keys):
            expected[:, i, j] = weight[bucket(j - (i + n_keys - n_queries), 8, 6, bidirectional)]
    assert torch.equal(layer(n_queries, n_keys).detach(), torch.tensor(expected))


def test_its_gradient_counts_how_often_a_bucket_is_met():
    layer = RelativePositionBias(2, n_buckets=8, max_distance=6).double()
    layer(5, 7).sum().backward()
    counts = [0.0] * 8
    for i in range(5):
        for j in range(7):
            counts[bucket(j - i - 2, 8, 6, True)] += 1
    assert layer.weight.grad.tolist() == [[c, c] for c in counts]


def test_t5_attention_is_softmax_of_unscaled_scores_and_the_bias():
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 2, 5, 4, generator=generator, dtype=torch.float64) for _ in range(3))
    bias = RelativePositionBias(2).double()(5)
    expected = torch.softmax(q @ k.mT + bias, -1) @ v
    torch.testing.assert_close(attend(q, k, v, bias=bias, scale=1.0), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: alibi_slopes(0), ValueError, "n_heads must be >= 1, got 0"),
        (lambda: alibi_bias(2, -1), ValueError, "n_queries and n_keys must be >= 0, got -1"),
        (lambda: RelativePositionBias(0), ValueError, "n_heads must be >= 1, got 0"),
        (lambda: RelativePositionBias(2)(-1, 3), ValueError, "n_queries and n_keys must be >= 0, got -1 and 3"),
        (lambda: RelativePositionBias(2, n_buckets=7), ValueError, "n_buckets must be .* got 7"),
        (lambda: RelativePositionBias(2, max_distance=8), ValueError, "max_distance must be > 8.* got 8"),
        (lambda: t5_buckets(torch.arange(3), n_buckets=1, bidirectional=False), ValueError, "n_buckets must be"),
        (lambda: t5_buckets(torch.zeros(3)), TypeError, r"distances must be integers, got torch.float32"),
    ],
)
def test_what_does_not_fit_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
