"""FAVOR+: its estimates beside exp(q . k), its attention beside explicit features and beside softmax."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from breadth.nn.attention.performer import (
    PerformerAttention,
    performer_attention,
    positive_features,
    random_projection,
)
from tests.nn.attention.test_linear import EXACT, inputs
from tests.nn.attention.twins import log_positive_features, quadratic


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def estimates(x, y, draws, n_features, *, orthogonal, seed=0):
    """phi(x) . phi(y) for each of many projections, which are drawn at once where blocks allow it."""
    generator, dim = seeded(seed), len(x)
    pieces = 1 if not orthogonal or n_features % dim == 0 else draws
    found = []
    for _ in range(pieces):
        n = n_features * draws // pieces
        w = random_projection(n, dim, orthogonal=orthogonal, generator=generator, dtype=torch.float64)
        (f, c), (g, d) = positive_features(x, w), positive_features(y, w)
        found.append((f * g * torch.exp(c + d) * n).view(-1, n_features).mean(1))
    return torch.cat(found).numpy()


def pair(dim=8):
    q, k = (torch.randn(dim, generator=seeded(s), dtype=torch.float64) for s in (1, 2))
    return q / dim**0.25, k / dim**0.25  # so that x . y = q . k / sqrt(dim)


@pytest.mark.parametrize("orthogonal", [False, True])
@pytest.mark.parametrize("n_features", [1, 8, 13])
def test_the_mean_of_many_draws_is_exp_of_the_scaled_product_within_its_standard_error(orthogonal, n_features):
    x, y = pair()
    found = estimates(x, y, 2000, n_features, orthogonal=orthogonal)
    error = found.std(ddof=1) / math.sqrt(len(found))
    truth = math.exp(float(x @ y))
    assert error < 0.05 * truth  # else the next line says nothing
    assert abs(found.mean() - truth) < 5 * error


def test_independent_features_have_the_variance_of_lemma_2_and_orthogonal_ones_less():
    x, y = (0.6 * t for t in pair())  # longer vectors have tails too heavy for the error of a variance
    square = float((x + y).square().sum())
    # (exp(|x + y|^2) - 1) SM(x, y)^2 / m
    expected = math.expm1(square) * math.exp(2 * float(x @ y)) / 8
    draws = 50_000
    independent = estimates(x, y, draws, 8, orthogonal=False)
    centred = (independent - math.exp(float(x @ y))) ** 2
    assert abs(centred.mean() - expected) < 5 * centred.std() / math.sqrt(draws)
    orthogonal = estimates(x, y, draws, 8, orthogonal=True, seed=1)
    other = (orthogonal - math.exp(float(x @ y))) ** 2
    difference = centred.mean() - other.mean()
    assert difference > 5 * math.hypot(centred.std(), other.std()) / math.sqrt(draws)


def test_rows_of_a_block_are_orthogonal_and_each_row_alone_is_standard_normal():
    generator, dim = seeded(0), 4
    draws = torch.stack(
        [random_projection(10, dim, generator=generator, dtype=torch.float64) for _ in range(5000)]
    )  # (5000, 10, 4): two blocks and half of a third
    for block in (draws[:, :4], draws[:, 4:8], draws[:, 8:]):
        gram = block @ block.mT
        off = gram - torch.diag_embed(gram.diagonal(dim1=-2, dim2=-1))
        assert off.abs().max() < 1e-13
    n = len(draws)
    # five standard errors; QR without R's signs is caught by the means of the diagonal, which it makes negative
    assert draws.mean(0).abs().max() < 5 / math.sqrt(n)
    assert (draws.square().mean(0) - 1).abs().max() < 5 * math.sqrt(2 / n)
    assert (draws.pow(4).mean(0) - 3).abs().max() < 5 * math.sqrt(96 / n)
    assert (draws[:, :, 0] * draws[:, :, 1]).mean(0).abs().max() < 5 / math.sqrt(n)
    # blocks are independent of each other
    assert (draws[:, 0] * draws[:, 4]).mean(0).abs().max() < 5 / math.sqrt(n)


def test_a_seed_gives_the_same_projection_in_every_dtype():
    double = random_projection(7, 5, generator=seeded(3), dtype=torch.float64)
    assert torch.equal(double.float(), random_projection(7, 5, generator=seeded(3)))
    assert double.shape == (7, 5)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("heads", "shared", "length", "n_keys"), [(4, 2, 19, 19), (3, 1, 6, 14), (2, 2, 9, 4), (1, 1, 1, 1)]
)
def test_both_forms_equal_explicit_features_and_scores(causal, heads, shared, length, n_keys):
    q, k, v = inputs(2, heads, shared, length, n_keys)
    w = random_projection(11, 8, generator=seeded(0), dtype=torch.float64)
    mask = torch.ones(2, 1, 1, n_keys, dtype=torch.bool)
    mask[1, ..., : n_keys // 2 + 1] = False
    for scale in (None, 0.9):
        log_features = log_positive_features(w.numpy(), 8**-0.5 if scale is None else scale)
        expected = quadratic(q, k, v, log_features, causal=causal, mask=mask)
        ours = performer_attention(q, k, v, w, causal=causal, mask=mask, scale=scale, chunk=5)
        torch.testing.assert_close(ours, expected, **EXACT)


def test_gradients_equal_those_of_explicit_scores():
    tensors = [t.requires_grad_() for t in inputs(1, 2, 1, 11, 11)]
    q, k, v = tensors
    w = random_projection(9, 8, generator=seeded(0), dtype=torch.float64)
    ours = performer_attention(q, k, v, w, causal=True, chunk=4)
    root = 8**-0.25
    f, g = ((root * t @ w.mT - (root * t).square().sum(-1, keepdim=True) / 2).exp() for t in (q, k))
    scores = (f @ g.mT).tril()
    expected = scores / scores.sum(-1, keepdim=True) @ v
    cotangent = torch.randn(ours.shape, generator=seeded(1), dtype=torch.float64)
    for a, b in zip(
        torch.autograd.grad(ours, tensors, cotangent), torch.autograd.grad(expected, tensors, cotangent), strict=True
    ):
        torch.testing.assert_close(a, b, **EXACT)


def test_the_error_beside_softmax_attention_falls_with_the_root_of_the_number_of_features():
    q, k, v = inputs(1, 1, 1, 64, 64)
    q, k = q / 3, k / 3  # where |q + k|^2 / sqrt(E) is near 6 the tail is too heavy to see the rate
    exact = torch.softmax(q @ k.mT / math.sqrt(8), -1) @ v

    def error(n_features):
        draws = [random_projection(n_features, 8, generator=seeded(s), dtype=torch.float64) for s in range(40)]
        squares = torch.stack([(performer_attention(q, k, v, w) - exact).square().mean() for w in draws])
        return float(squares.mean().sqrt())

    # 16 times the features, a quarter of the error; 40 draws leave either side uncertain by about a tenth
    assert error(1024) / error(64) == pytest.approx(0.25, rel=0.3)
    assert error(1024) < 0.005 * v.std()


@pytest.mark.parametrize("causal", [False, True])
def test_long_keys_do_not_leave_the_range_of_floats(causal):
    q, k, v = inputs(1, 2, 1, 13, 13)
    q, k = 60 * q, 60 * k  # |x|^2 / 2 near 1e4: the features themselves are e^-10000 and e^+3000
    w = random_projection(16, 8, generator=seeded(0), dtype=torch.float64)
    expected = quadratic(q, k, v, log_positive_features(w.numpy(), 8**-0.5), causal=causal)
    # errors of the exponents, 1e4 eps, are relative ones of the features
    torch.testing.assert_close(performer_attention(q, k, v, w, causal=causal), expected, rtol=1e-10, atol=1e-10)
    # In float32 e^-87 is the end: a query whose largest feature is that small for every key meets none. What it gives
    # is an average of values or 0, and no NaN.
    single = performer_attention(q.float(), k.float(), v.float(), w.float(), causal=causal)
    assert single.isfinite().all()
    assert single.abs().max() <= v.abs().max() * (1 + 1e-6)


def test_values_far_from_zero_and_half_precision_stay_averages():
    q, k, v = inputs(1, 2, 1, 70, 70, dtype=torch.float32)
    w = random_projection(16, 8, generator=seeded(0))
    far = performer_attention(q, k, v + 1e4, w, causal=True)
    near = performer_attention(q, k, v, w, causal=True)
    torch.testing.assert_close(far - 1e4, near, rtol=0, atol=0.02)  # eps of 1e4 is 1e-3, over sums of up to 70
    for dtype in (torch.float16, torch.bfloat16):
        low = [t.to(dtype) for t in (q, k, v)]
        ours = performer_attention(*low, w, causal=True)
        expected = performer_attention(*(t.double() for t in low), w.double(), causal=True)
        assert ours.dtype == dtype
        torch.testing.assert_close(ours.double(), expected, rtol=torch.finfo(dtype).eps / 2, atol=1e-6)


def test_without_keys_and_without_queries():
    w = random_projection(4, 8)
    for length, n_keys in [(0, 5), (5, 0), (0, 0)]:
        q, k, v = inputs(2, 2, 1, length, n_keys, dtype=torch.float32)
        for causal in (False, True):
            out = performer_attention(q, k, v, w, causal=causal)
            assert torch.equal(out, torch.zeros(2, 2, length, 5))


def test_the_module_is_the_function_with_its_projection_and_decodes_token_by_token():
    layer = PerformerAttention(8, 16, causal=True, generator=seeded(0)).double().eval()
    q, k, v = inputs(2, 4, 2, 15, 15)
    expected = performer_attention(q, k, v, layer.projection, causal=True)
    assert torch.equal(layer(q, k, v), expected)
    rows, state = [], None
    for t in range(15):
        row, state = layer.step(q[:, :, t : t + 1], k[:, :, t : t + 1], v[:, :, t : t + 1], state)
        rows.append(row)
    torch.testing.assert_close(torch.cat(rows, 2), expected, **EXACT)
    assert PerformerAttention(64).projection.shape == (267, 64)  # 64 ln 64 = 266.2


def test_training_draws_new_features_after_so_many_calls_and_a_checkpoint_holds_them():
    layer = PerformerAttention(8, 16, redraw_every=3, generator=seeded(0))
    q, k, v = inputs(1, 1, 1, 4, 4, dtype=torch.float32)
    first = layer.projection.clone()
    for _ in range(3):
        layer(q, k, v)
        assert torch.equal(layer.projection, first)
    layer(q, k, v)
    second = layer.projection.clone()
    assert not torch.equal(second, first)
    layer.eval()
    for _ in range(10):
        layer(q, k, v)
    assert torch.equal(layer.projection, second)
    other = PerformerAttention(8, 16)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.projection, second)
    never = PerformerAttention(8, 16, redraw_every=None)
    kept = never.projection.clone()
    for _ in range(5):
        never(q, k, v)
    assert torch.equal(never.projection, kept)
    assert torch.equal(copy.deepcopy(never).projection, kept)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"projection": torch.zeros(5, 7)}, r"projection must have shape \(m, 8\), got \(5, 7\)"),
        ({"projection": torch.zeros(0, 8)}, "projection must have shape"),
        ({"scale": 0.0}, "scale must be > 0"),
        ({"scale": math.inf}, "scale must be > 0 and finite"),
        ({"q": torch.zeros(4, 8)}, "q must have shape"),
        ({"mask": torch.ones(1, 2, 1, 6, dtype=torch.bool)}, "hide a key only from all queries and heads"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    given = {
        "q": torch.zeros(1, 2, 4, 8), "k": torch.zeros(1, 2, 6, 8), "v": torch.zeros(1, 2, 6, 5),
        "projection": torch.zeros(5, 8),
    } | change  # fmt: skip
    with pytest.raises(ValueError, match=message):
        performer_attention(*[given.pop(name) for name in ("q", "k", "v", "projection")], **given)


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match="n_features and dim must be >= 1, got 0 and 4"):
        random_projection(0, 4)
    with pytest.raises(ValueError, match="redraw_every must be >= 1, got 0"):
        PerformerAttention(8, redraw_every=0)
    with pytest.raises(ValueError, match="n_features and dim must be >= 1"):
        PerformerAttention(0)
    with pytest.raises(ValueError, match=r"projection must have shape \(m, 3\)"):
        positive_features(torch.zeros(3), torch.zeros(4, 2))
    layer = PerformerAttention(8)
    with pytest.raises(ValueError, match="step needs causal=True"):
        layer.step(*(torch.zeros(1, 1, 1, 8) for _ in range(3)))
