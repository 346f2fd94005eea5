"""Shaw's and Transformer-XL's attention beside explicit (L, S, E) tensors in NumPy."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from breadth.nn.attention.attend import attend
from breadth.nn.positions import ShawAttention, TransformerXLAttention, relative_shift

# float64: a few dozen roundings; scores of the two sides are summed in another order
EXACT = {"rtol": 1e-12, "atol": 1e-13}
SHAPES = [(2, 4, 2, 6, 6), (1, 2, 1, 3, 8), (1, 2, 2, 8, 3), (2, 1, 1, 1, 5), (1, 1, 1, 1, 1)]


def inputs(batch, heads, shared, length, n_keys, dim=6, value_dim=5, *, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = (batch, heads, length, dim), (batch, shared, n_keys, dim), (batch, shared, n_keys, value_dim)
    return [torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes]


def softmax(scores, length, n_keys, causal, mask=None):
    """Rows over the keys that are seen; 0 where none is."""
    out = np.zeros_like(scores)
    for index in np.ndindex(scores.shape[:-1]):
        i = index[-1]
        seen = [
            j
            for j in range(n_keys)
            if (not causal or j <= i + n_keys - length) and (mask is None or mask[index[0], 0, 0, j])
        ]
        if seen:
            e = np.exp(scores[index][seen] - scores[index][seen].max())
            out[index][seen] = e / e.sum()
    return out


def repeated(t, heads):
    return np.repeat(t.numpy(), heads // t.shape[1], axis=1)


def shaw_by_hand(layer, q, k, v, causal, mask=None):
    heads, length, n_keys, K = q.shape[1], q.shape[2], k.shape[2], layer.max_distance
    index = np.array([[min(max(j - (i + n_keys - length), -K), K) + K for j in range(n_keys)] for i in range(length)])
    index = index.reshape(length, n_keys)
    a_key = layer.key.detach().numpy()[index]  # (L, S, E)
    q, k, v = q.numpy(), repeated(k, heads), repeated(v, heads)
    scores = np.einsum("bhle,bhse->bhls", q, k) + np.einsum("bhle,lse->bhls", q, a_key)
    weights = softmax(scores / np.sqrt(q.shape[-1]), length, n_keys, causal, mask)
    out = np.einsum("bhls,bhse->bhle", weights, v)
    if layer.value is not None:
        out = out + np.einsum("bhls,lse->bhle", weights, layer.value.detach().numpy()[index])
    return torch.tensor(out)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_shaw_adds_vectors_of_clipped_distances_to_keys_and_values(causal, values, shape):
    torch.manual_seed(0)
    for max_distance in (0, 2, 50):
        layer = ShawAttention(6, max_distance, value_dim=5, values=values).double()
        q, k, v = inputs(*shape)
        ours = layer(q, k, v, causal=causal)
        torch.testing.assert_close(ours.detach(), shaw_by_hand(layer, q, k, v, causal), **EXACT)


def test_shaw_with_all_vectors_zero_is_plain_attention_and_distances_beyond_the_clip_are_one():
    torch.manual_seed(0)
    q, k, v = inputs(1, 2, 2, 9, 9)
    layer = ShawAttention(6, 3, value_dim=5).double()
    with torch.no_grad():
        layer.key.zero_()
        layer.value.zero_()
    torch.testing.assert_close(layer(q, k, v), attend(q, k, v), **EXACT)
    layer(q, k, v).sum().backward()
    assert (layer.key.grad.abs().sum(-1) > 0).all()  # every distance from -3 to 3 occurs
    assert layer.value.grad.shape == (7, 5)


def xl_by_hand(layer, q, k, v, causal, mask=None):
    (heads, dim), length, n_keys = layer.u.shape, q.shape[2], k.shape[2]
    width = layer.r_proj.in_features
    W = layer.r_proj.weight.detach().numpy()
    r = np.zeros((length, n_keys, heads, dim))
    for i in range(length):
        for j in range(n_keys):
            distance = i + n_keys - length - j
            pe = np.array([(np.sin, np.cos)[c % 2](distance / 10_000.0 ** ((c - c % 2) / width)) for c in range(width)])
            r[i, j] = (W @ pe).reshape(heads, dim)
    u, b = layer.u.detach().numpy(), layer.v.detach().numpy()
    q, k, v = q.numpy(), repeated(k, heads), repeated(v, heads)
    scores = np.einsum("bhle,bhse->bhls", q, k) + np.einsum("bhle,lshe->bhls", q, r)
    scores = scores + np.einsum("he,bhse->bhs", u, k)[:, :, None] + np.einsum("he,lshe->hls", b, r)
    weights = softmax(scores / np.sqrt(dim), length, n_keys, causal, mask)
    return torch.tensor(np.einsum("bhls,bhse->bhle", weights, v))


def xl(heads, dim=6, d_model=8):
    torch.manual_seed(0)
    layer = TransformerXLAttention(heads, dim, d_model).double()
    with torch.no_grad():
        layer.u.normal_()
        layer.v.normal_()
        layer.r_proj.weight.normal_()
    return layer


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_transformer_xl_scores_are_the_sum_of_four_terms(causal, shape):
    layer = xl(shape[1])
    q, k, v = inputs(*shape)
    torch.testing.assert_close(layer(q, k, v, causal=causal).detach(), xl_by_hand(layer, q, k, v, causal), **EXACT)


def test_each_of_the_four_terms_counts():
    q, k, v = inputs(1, 2, 2, 5, 7)
    layer = xl(2)
    whole = layer(q, k, v)
    for name in ("u", "v", "r_proj.weight"):
        without = xl(2)
        with torch.no_grad():
            without.get_parameter(name).zero_()
        assert (without(q, k, v) - whole).abs().max() > 0.01


def test_a_segment_read_with_its_memory_equals_the_whole_read_at_once():
    layer = xl(2)
    q, k, v = inputs(1, 2, 2, 12, 12)
    whole = layer(q, k, v)
    # positions 8 to 11 with eight earlier keys as memory: distances are the same, and nothing else is asked
    torch.testing.assert_close(layer(q[:, :, 8:], k, v), whole[:, :, 8:], **EXACT)
    torch.testing.assert_close(layer(q[:, :, :8], k[:, :, :8], v[:, :, :8]), whole[:, :, :8], **EXACT)


@pytest.mark.parametrize("make", [lambda: ShawAttention(6, 2, value_dim=5).double(), lambda: xl(2)])
def test_masks_empty_lengths_strides_and_half_precision(make):
    torch.manual_seed(0)
    layer = make()
    by_hand = shaw_by_hand if isinstance(layer, ShawAttention) else xl_by_hand
    q, k, v = inputs(2, 2, 1, 5, 5)
    mask = torch.ones(2, 1, 1, 5, dtype=torch.bool)
    mask[0, ..., :2] = False  # the first queries of the causal form see nothing
    for causal in (False, True):
        ours = layer(q, k, v, causal=causal, mask=mask)
        torch.testing.assert_close(ours.detach(), by_hand(layer, q, k, v, causal, mask.numpy()), **EXACT)
        strided = [t.transpose(1, 2).contiguous().transpose(1, 2) for t in (q, k, v)]
        torch.testing.assert_close(layer(*strided, causal=causal, mask=mask), ours, **EXACT)
        for length, n_keys in [(0, 3), (3, 0), (0, 0)]:
            empty = layer(*inputs(2, 2, 1, length, n_keys), causal=causal)
            assert torch.equal(empty, torch.zeros(2, 2, length, 5, dtype=torch.float64))
        for dtype in (torch.float16, torch.bfloat16):
            low = [(20 * t).to(dtype) for t in (q, k, v)]
            half = make().to(dtype)
            found = half(*low, causal=causal)
            assert found.dtype == dtype
            expected = half.double()(*(t.double() for t in low), causal=causal).detach()
            # scores of several hundred: q + u is rounded to the dtype, and moves them by that many eps
            assert (found.double() - expected).abs().mean() < 30 * torch.finfo(dtype).eps * v.abs().max() * 20
    again = pickle.loads(pickle.dumps(layer))
    assert torch.equal(again(q, k, v), layer(q, k, v))


@pytest.mark.parametrize("lead", [(), (2, 3)])
@pytest.mark.parametrize(("length", "n_keys"), [(1, 1), (4, 4), (3, 7), (7, 3), (1, 5), (5, 1)])
def test_the_shift_equals_a_gather_of_indices(lead, length, n_keys):
    generator = torch.Generator().manual_seed(0)
    full = torch.randn(*lead, length, n_keys + length - 1, generator=generator)
    index = torch.arange(n_keys) + (length - 1 - torch.arange(length))[:, None]
    assert torch.equal(relative_shift(full, n_keys), full.gather(-1, index.expand(*lead, length, n_keys)))
    if n_keys >= length:  # distances of earlier keys alone
        past = full[..., :n_keys]
        shifted, expected = relative_shift(past, n_keys), full.gather(-1, index.expand(*lead, length, n_keys))
        seen = (torch.arange(n_keys) <= torch.arange(length)[:, None] + n_keys - length).expand(*lead, -1, -1)
        assert torch.equal(shifted[seen], expected[seen])


def test_an_empty_shift_has_its_shape():
    assert relative_shift(torch.zeros(2, 0, 5), 5).shape == (2, 0, 5)
    assert relative_shift(torch.zeros(2, 4, 3), 0).shape == (2, 4, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ShawAttention(0, 3), "head_dim and value_dim must be >= 1"),
        (lambda: ShawAttention(4, -1), "max_distance >= 0, got 4, 4, -1"),
        (lambda: ShawAttention(4, 2)(*(t.float() for t in inputs(1, 2, 2, 3, 3))), "q and v must be 4 and 4 wide"),
        (lambda: ShawAttention(4, 2)(torch.zeros(3, 4), torch.zeros(3, 4), torch.zeros(3, 4)), "q must have shape"),
        (lambda: TransformerXLAttention(0, 4, 8), "n_heads and head_dim must be >= 1, got 0 and 4"),
        (lambda: TransformerXLAttention(2, 4, 7), "dim must be even and >= 2, got 7"),
        (lambda: TransformerXLAttention(2, 4, 8)(*(t.float() for t in inputs(1, 2, 2, 3, 3))), "q must have shape"),
        (lambda: relative_shift(torch.zeros(3, 2), 4), "scores must have at least n_keys = 4 columns, got 2"),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
