"""Rank collapse with depth in stacks whose distances are known, and its cubic rate in random attention."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from breadth.nn.attention import MultiheadAttention
from breadth.nn.norms import LayerNorm
from breadth.nn.probes import AttentionBlock, collapse_by_parts, rank_collapse, rank_one_distance
from breadth.nn.residual import Residual

F64 = torch.float64
L, E = 6, 5


class Averaging(nn.Module):
    """Attention whose weights are (1 - a) I + a 1 1^T / L whatever the tokens: half of planted truth is known."""

    def __init__(self, a: float):
        super().__init__()
        weights = (1 - a) * torch.eye(L, dtype=F64) + a / L
        self.attention = MultiheadAttention(
            E, 1, bias=False, batch_first=True, dtype=F64, position_bias=lambda n, m: weights.log()[None]
        )
        eye, zero = torch.eye(E, dtype=F64), torch.zeros(E, E, dtype=F64)
        with torch.no_grad():
            self.attention.in_proj_weight.copy_(torch.cat((zero, zero, eye)))
            self.attention.out_proj.weight.copy_(eye)

    def forward(self, x):
        return self.attention(x)[0]


class Stretch(nn.Module):
    """A feed-forward layer that keeps the mean of these tokens, which is on axis 0, and multiplies the rest by s."""

    def __init__(self, s: float):
        super().__init__()
        self.gain = torch.tensor([1.0] + [s] * (E - 1), dtype=F64)

    def forward(self, x):
        return x * self.gain


def tokens(distance: float) -> torch.Tensor:
    """Three sequences with mean (1, 0, 0, ...) and deviations from it along the other axes."""
    x = torch.randn(3, L, E, generator=torch.Generator().manual_seed(0), dtype=F64)
    x[..., 0] = 0
    x = x - x.mean(1, keepdim=True)
    x = x * math.sqrt(L) * distance / math.sqrt(1 - distance**2) / torch.linalg.matrix_norm(x)[:, None, None]
    x[..., 0] = 1
    return x


def of_ratio(ratio: float) -> float:
    """Relative distance where the deviations are `ratio` times the mean."""
    return ratio / math.sqrt(1 + ratio**2)


@pytest.mark.parametrize(
    ("block", "factor"),
    [
        (lambda: nn.Sequential(Averaging(0.5)), 0.5),
        (lambda: nn.Sequential(Averaging(0.9)), 0.1),
        (lambda: nn.Sequential(Residual(Averaging(0.9))), (2 - 0.9) / 2),
        (lambda: nn.Sequential(Averaging(0.9), Stretch(4.0)), 0.1 * 4),
        (lambda: nn.Sequential(Averaging(0.9), Stretch(10.0)), 1.0),
        (lambda: nn.Sequential(Residual(Averaging(0.9)), Residual(Stretch(10.0))), (2 - 0.9) / 2 * 11 / 2),
        (lambda: nn.Sequential(Averaging(0.5), nn.Linear(E, E, bias=False, dtype=F64).requires_grad_(False)), None),
    ],
)
def test_planted_averaging_loses_the_distance_at_the_known_rate_with_skips_and_feed_forward_layers(block, factor):
    torch.manual_seed(0)
    model = nn.Sequential(*(block() for _ in range(8)))
    x = tokens(0.5)
    found = rank_collapse(model, x, layers=[str(i) for i in range(8)])
    assert found.start == pytest.approx(0.5, rel=1e-12)
    if factor is None:  # a random matrix keeps equal tokens equal: only that it is no cure is known
        assert found.layers[-1].distance < found.start
        return
    ratio = 0.5 / math.sqrt(0.75)
    for depth, layer in enumerate(found.layers, 1):
        assert layer.distance == pytest.approx(of_ratio(ratio * factor**depth), rel=1e-11)  # eight layers' rounding
    first = next((d for d in range(1, 9) if of_ratio(ratio * factor**d) < 1e-3), None)
    assert found.collapsed_at == (None if first is None else first - 1)


def test_uniform_attention_makes_all_tokens_one_in_one_layer_and_skips_keep_them_apart():
    x = tokens(0.8)
    pure = rank_collapse(nn.Sequential(Averaging(1.0), Averaging(1.0)), x, layers=Averaging)
    # means of six in float64
    assert all(layer.distance < 1e-15 for layer in pure.layers)
    assert pure.layers[0].rank == pytest.approx(1, abs=1e-13)
    assert pure.collapsed_at == 0
    assert "tokens are the same from '0' on (distance < 0.001)" in str(pure)
    kept = rank_collapse(nn.Sequential(Residual(Averaging(1.0)), Residual(Averaging(1.0))), x, layers=Residual)
    assert kept.collapsed_at is None and kept.layers[-1].rank > 2
    assert "tokens stay apart" in str(kept)


def test_random_attention_maps_a_small_distance_to_its_cube_and_a_skip_to_itself():
    torch.manual_seed(0)
    draw = torch.Generator().manual_seed(1)
    mean, deviations = (
        torch.randn(1, 1, 16, generator=draw, dtype=F64),
        torch.randn(1, 12, 16, generator=draw, dtype=F64),
    )
    attention = MultiheadAttention(16, 1, bias=False, batch_first=True, dtype=F64)
    pure, skip = [], []
    for size in (0.1, 0.05, 0.025):
        x = mean + size * deviations
        y = attention(x)[0].detach()
        pure.append(rank_one_distance(y).item() / size**3)
        skip.append(rank_one_distance(x + y).item() / size)
    # the next term of the expansion is smaller by the size itself: quotients approach a constant, each step by half
    for quotients in (pure, skip):
        assert abs(quotients[2] / quotients[1] - 1) < 0.6 * abs(quotients[1] / quotients[0] - 1) + 1e-3
        assert quotients[2] == pytest.approx(quotients[1], rel=0.15)


def test_pure_stacks_collapse_within_a_few_blocks_feed_forward_layers_do_not_save_them_and_skips_do():
    x = torch.randn(4, 16, 32, generator=torch.Generator().manual_seed(0), dtype=F64)
    for norm in (None, LayerNorm):
        found = collapse_by_parts(x, depth=8, num_heads=4, norm=norm)
        ends = {parts: [run.layers[-1].distance for run in runs] for parts, runs in found.items()}
        at = {parts: [run.collapsed_at for run in runs] for parts, runs in found.items()}
        assert max(ends["attention"]) < 1e-12 and max(at["attention"]) <= 3, (norm, ends, at)
        assert max(ends["attention, ffn"]) < 1e-6
        assert min(ends["attention, skip"]) > 0.3
        assert min(ends["attention, ffn, skip"]) > 0.3
        assert at["attention, skip"] == at["attention, ffn, skip"] == [None] * 3
    assert len(found["attention"][0].layers) == 8


def test_buffers_and_seeds_outside_stay_as_they_are_and_the_same_seed_gives_the_same_stack():
    x = torch.randn(2, 5, 8)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, again = (collapse_by_parts(x, depth=2, num_heads=2, seeds=(3,)) for _ in range(2))
    assert first == again
    assert torch.equal(torch.rand(3), expected)
    tokens_of_words = rank_collapse(nn.Sequential(nn.Embedding(10, 4)), torch.arange(6).view(2, 3), layers=nn.Embedding)
    assert math.isnan(tokens_of_words.start) and tokens_of_words.layers[0].distance > 0
    same = rank_collapse(nn.Sequential(nn.Embedding(10, 4)), torch.full((2, 3), 4), layers=nn.Embedding)
    assert same.layers[0].distance == 0 and same.layers[0].rank == pytest.approx(1, abs=1e-7)


def test_what_does_not_fit_is_refused_by_name():
    x = torch.randn(2, 5, 8)
    model = nn.Sequential(AttentionBlock(8, 2))
    calls = [
        (
            lambda: rank_collapse(model, x, layers=AttentionBlock, threshold=0.0),
            r"threshold must be in \(0, 1\), got 0",
        ),
        (lambda: rank_collapse(model, x, layers=nn.Conv2d), "layers must pick at least one submodule"),
        (lambda: rank_collapse(nn.Sequential(nn.Flatten()), x, layers=nn.Flatten), r"layer '0' must give \(batch, tok"),
        (lambda: rank_collapse(model, x * math.nan, layers=AttentionBlock), "x must be finite"),
        (
            lambda: collapse_by_parts(x[0]),
            r"x must be floating point of shape \(batch, tokens, d_model\), got \(5, 8\)",
        ),
        (lambda: collapse_by_parts(x, depth=0), r"depth must be >= 1 and seeds must hold one or more, got 0"),
        (lambda: collapse_by_parts(x, seeds=()), r"got 12 and \[\]"),
        (lambda: collapse_by_parts(x, num_heads=3), "num_heads must divide embed_dim, got 3 and 8"),
    ]
    for call, says in calls:
        with pytest.raises(ValueError, match=says):
            call()
