"""Linformer beside NumPy's products, and beside exact attention where its projections lose nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from breadth.nn.attention.linformer import LinformerAttention, linformer_attention
from tests.nn.attention.test_linear import EXACT, inputs


def projections(*shape, seed=5):
    generator = torch.Generator().manual_seed(seed)
    E, F = (torch.randn(*shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return E, F


def by_hand(q, k, v, E, F, *, hidden=(), scale=None):
    """One sequence: P = softmax(q (E k)^T scale), P (F v), head by head."""
    out = np.zeros((*q.shape[:3], v.shape[-1]))
    q, k, v, E, F = (t.double().numpy().copy() for t in (q, k, v, E, F))
    k[:, :, list(hidden)] = 0
    v[:, :, list(hidden)] = 0
    n_keys, groups = k.shape[2], q.shape[1] // k.shape[1]
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            e, f = (P[h // groups] if P.ndim == 3 else P for P in (E, F))
            scores = q[b, h] @ (e[:, :n_keys] @ k[b, h // groups]).T * (q.shape[-1] ** -0.5 if scale is None else scale)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            out[b, h] = weights / weights.sum(-1, keepdims=True) @ (f[:, :n_keys] @ v[b, h // groups])
    return torch.tensor(out)


@pytest.mark.parametrize("per_head", [False, True])
@pytest.mark.parametrize(("heads", "shared", "length", "n_keys"), [(4, 2, 9, 12), (2, 2, 12, 7), (3, 1, 1, 1)])
def test_keys_and_values_are_projected_along_the_length_and_scores_scaled_by_the_root_of_the_width(
    per_head, heads, shared, length, n_keys
):
    q, k, v = inputs(2, heads, shared, length, n_keys)
    E, F = projections(*([shared] if per_head else []), 4, 12)
    torch.testing.assert_close(linformer_attention(q, k, v, E, F), by_hand(q, k, v, E, F), **EXACT)
    torch.testing.assert_close(linformer_attention(q, k, v, E), by_hand(q, k, v, E, E), **EXACT)
    torch.testing.assert_close(
        linformer_attention(q, k, v, E, F, scale=0.3), by_hand(q, k, v, E, F, scale=0.3), **EXACT
    )


def test_with_the_identity_as_projection_it_is_exact_attention():
    q, k, v = inputs(2, 2, 2, 6, 10)
    exact = torch.softmax(q @ k.mT / 8**0.5, -1) @ v
    torch.testing.assert_close(linformer_attention(q, k, v, torch.eye(10, dtype=torch.float64)), exact, **EXACT)


def test_scores_have_rank_at_most_the_width_but_their_softmax_has_full_rank():
    q, k, _ = inputs(1, 1, 1, 64, 64)
    scores = (q @ k.mT / 8**0.5)[0, 0]
    assert torch.linalg.matrix_rank(scores) == 8
    assert torch.linalg.matrix_rank(torch.softmax(scores, -1)) == 64


def test_hidden_keys_count_as_cut_off_and_a_fully_hidden_sequence_gives_zero():
    q, k, v = inputs(3, 2, 1, 5, 9)
    E, F = projections(4, 12)
    mask = torch.ones(3, 1, 1, 9, dtype=torch.bool)
    mask[0, ..., 6:] = False
    mask[1, ..., 2] = False
    mask[2] = False
    q, k, v = (t.requires_grad_() for t in (q, k, v))
    ours = linformer_attention(q, k, v, E, F, mask=mask)
    short = linformer_attention(q[:1], k[:1, :, :6], v[:1, :, :6], E, F)
    torch.testing.assert_close(ours[:1], short, **EXACT)
    expected = by_hand(q[1:2].detach(), k[1:2].detach(), v[1:2].detach(), E, F, hidden=[2])
    torch.testing.assert_close(ours[1:2].detach(), expected, **EXACT)
    assert torch.equal(ours[2], torch.zeros_like(ours[2]))
    for gradient in torch.autograd.grad(ours.sum(), (q, k, v)):
        assert gradient.isfinite().all()


def test_there_is_no_causal_form():
    q, k, v = inputs(1, 1, 1, 4, 4)
    E, F = projections(2, 4)
    with pytest.raises(ValueError, match=r"causal must be False.*take linear_attention\(causal=True\)"):
        linformer_attention(q, k, v, E, F, causal=True)
    with pytest.raises(ValueError, match="causal must be False"):
        LinformerAttention(4, 2)(q.float(), k.float(), v.float(), causal=True)
    # why: a later key moves the first query's output
    moved = k.clone()
    moved[:, :, 3] += 1
    assert not torch.allclose(linformer_attention(q, k, v, E)[:, :, 0], linformer_attention(q, moved, v, E)[:, :, 0])


def test_keys_far_from_zero_overflow_no_half_precision():
    q, k, v = inputs(1, 2, 2, 6, 40, mean=0.5, dtype=torch.float16)
    k = k + torch.tensor(1e4, dtype=torch.float16)  # E k reaches 4e5, above float16's 65504
    E, F = projections(3, 40)
    E, F = E.abs(), F.abs()
    for dtype in (torch.float16, torch.bfloat16):
        low = [t.to(dtype) for t in (q, k, v)]
        ours = linformer_attention(*low, E, F)
        assert ours.dtype == dtype
        # scores near 1e5 in float32: an error of 0.03 in the exponent where rows tie
        torch.testing.assert_close(ours.double(), by_hand(*low, E, F), rtol=0.05, atol=0.05)


def test_lengths_of_zero_strides_and_autocast():
    E, F = projections(3, 8)
    for length, n_keys in [(0, 5), (5, 0), (0, 0)]:
        q, k, v = inputs(2, 2, 1, length, n_keys)
        assert torch.equal(linformer_attention(q, k, v, E, F), torch.zeros(2, 2, length, 5, dtype=torch.float64))
    q, k, v = inputs(2, 4, 2, 7, 8)
    strided = [t.transpose(1, 2).contiguous().transpose(1, 2) for t in (q, k, v)]
    torch.testing.assert_close(linformer_attention(*strided, E, F), linformer_attention(q, k, v, E, F), **EXACT)
    single = [t.float() for t in (q, k, v, E, F)]
    with torch.autocast("cpu", torch.bfloat16):
        ours = linformer_attention(*single)
    assert torch.equal(ours, linformer_attention(*single).bfloat16())


def test_the_module_holds_its_projections_shared_as_asked():
    torch.manual_seed(0)
    q, k, v = (t.float() for t in inputs(2, 4, 2, 7, 30))
    for layer in (
        LinformerAttention(64, 5),
        LinformerAttention(64, 5, n_kv_heads=2),
        LinformerAttention(64, 5, share_kv=True),
    ):
        assert torch.equal(layer(q, k, v), linformer_attention(q, k, v, layer.E, layer.F))
    assert layer.F is None
    assert LinformerAttention(64, 5, n_kv_heads=2).E.shape == (2, 5, 64)
    layer = LinformerAttention(4096, 64)
    assert layer.E.detach().std().item() == pytest.approx(1 / 64, rel=0.02)  # n^-1/2; 262,144 draws
    dropping = LinformerAttention(64, 5, dropout=0.5)
    assert not torch.equal(dropping(q, k, v), dropping(q, k, v))
    assert torch.equal(dropping.eval()(q, k, v), dropping(q, k, v))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"E": torch.zeros(3, 5)}, r"E must have shape \(k, n\).*n >= 6 keys.*got \(3, 5\)"),
        ({"E": torch.zeros(4, 3, 6)}, "E must have shape"),
        ({"F": torch.zeros(2, 6)}, r"F must have shape.*alike for E and F, got \(2, 6\)"),
        ({"E": torch.zeros(0, 6)}, "E must have shape"),
        ({"mask": torch.ones(1, 1, 4, 6, dtype=torch.bool)}, "hide a key only from all queries"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"k": torch.zeros(2, 6, 8)}, "k must have shape"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    given = {
        "q": torch.zeros(1, 2, 4, 8), "k": torch.zeros(1, 2, 6, 8), "v": torch.zeros(1, 2, 6, 5),
        "E": torch.zeros(3, 6), "F": torch.zeros(3, 6),
    } | change  # fmt: skip
    with pytest.raises(ValueError, match=message):
        linformer_attention(*[given.pop(name) for name in ("q", "k", "v", "E", "F")], **given)


@pytest.mark.parametrize("given", [{"max_length": 0}, {"n_projected": 0}, {"n_kv_heads": 0}, {"dropout": -0.1}])
def test_the_module_refuses_numbers_out_of_range(given):
    (name,) = given
    with pytest.raises(ValueError, match=name):
        LinformerAttention(**({"max_length": 8, "n_projected": 2} | given))
