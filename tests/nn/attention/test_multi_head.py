"""Multi-head attention beside torch's with the same weights, and what torch has not beside NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from breadth.nn.attention import attention_weights, causal_mask
from breadth.nn.attention.multi_head import MultiheadAttention
from breadth.nn.norms import QKNorm
from breadth.nn.positions import RelativePositionBias, RoPE
from tests.nn.attention.dense_attention import exact_attention

B, L, S, E, H = 3, 6, 5, 12, 4
# rtol, atol: sums of 12 terms of size 1 in another order, float64
EXACT = {"rtol": 1e-12, "atol": 1e-13}


def random(module: nn.Module) -> nn.Module:
    """Every parameter away from its start, in float64."""
    generator = torch.Generator().manual_seed(1)
    for p in module.double().parameters():
        with torch.no_grad():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) / p.shape[-1] ** 0.5)
    return module


def sequence(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def both(inputs, ours, theirs, *, wrt_theirs=None, **call):
    """Outputs and gradients of all inputs and parameters."""
    found = []
    for module, options in ((ours, {}), (theirs, {"need_weights": False})):
        leaves = [t.clone().requires_grad_() for t in inputs]
        out, _ = module(*leaves, **options, **call)
        wrt = [*leaves, *module.parameters()]
        found.append((out, torch.autograd.grad(out.square().sum(), wrt)))
    return found


def assert_same(found):
    (out, gradients), (expected, expected_gradients) = found
    torch.testing.assert_close(out, expected, **EXACT)
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("widths", [{}, {"kdim": 7, "vdim": 9}, {"kdim": 7}])
def test_with_the_same_state_it_is_torch_s_in_value_and_gradients(batch_first, bias, widths):
    theirs = random(nn.MultiheadAttention(E, H, bias=bias, batch_first=batch_first, **widths))
    ours = MultiheadAttention(E, H, bias=bias, batch_first=batch_first, **widths).double()
    ours.load_state_dict(theirs.state_dict())
    inputs = [sequence(B, L, E), sequence(B, S, widths.get("kdim", E), seed=1)]
    inputs.append(sequence(B, S, widths.get("vdim", E), seed=2))
    if not batch_first:
        inputs = [t.transpose(0, 1) for t in inputs]
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2, [True, False, True, False, False]])
    added = sequence(L, S, seed=3)
    for masks in (
        {},
        {"key_padding_mask": padding},
        {"attn_mask": sequence(L, S) > 1},
        {"attn_mask": added, "key_padding_mask": torch.zeros(B, S).double().masked_fill(padding, -torch.inf)},
        {"attn_mask": added.expand(B * H, L, S) * torch.arange(B * H).view(-1, 1, 1)},
    ):
        assert_same(both(inputs, ours, theirs, **masks))


def test_self_attention_weights_and_a_single_sequence_are_torch_s():
    theirs = random(nn.MultiheadAttention(E, H, batch_first=True))
    ours = MultiheadAttention(E, H, batch_first=True).double()
    ours.load_state_dict(theirs.state_dict())
    for x in (sequence(B, L, E), sequence(1, 1, E), sequence(L, E)):
        for average in (True, False):
            call = {"need_weights": True, "average_attn_weights": average}
            out, weights = ours(x, **call)
            expected, expected_weights = theirs(x, x, x, **call)
            torch.testing.assert_close(out, expected, **EXACT)
            torch.testing.assert_close(weights, expected_weights, **EXACT)
    mask = ~causal_mask(L)
    expected, _ = theirs(*[sequence(B, L, E)] * 3, attn_mask=mask, is_causal=True, need_weights=False)
    out, none = ours(sequence(B, L, E), is_causal=True)
    assert none is None
    torch.testing.assert_close(out, expected, **EXACT)


def test_the_same_seed_gives_torch_s_initial_parameters():
    for widths in ({}, {"kdim": 7}):
        made = []
        for kind in (MultiheadAttention, nn.MultiheadAttention):
            torch.manual_seed(3)
            made.append(kind(E, H, **widths).state_dict())
        assert made[0].keys() == made[1].keys()
        assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_groups_are_torch_s_heads_with_the_rows_of_keys_and_values_repeated(groups):
    ours = random(MultiheadAttention(E, H, num_kv_heads=groups, batch_first=True))
    head = E // H

    def repeated(rows: torch.Tensor) -> torch.Tensor:
        return rows.unflatten(0, (groups, head)).repeat_interleave(H // groups, 0).flatten(0, 1)

    theirs = nn.MultiheadAttention(E, H, batch_first=True).double()
    state = ours.state_dict()
    for name in ("in_proj_weight", "in_proj_bias"):
        q, k, v = state[name].split([E, groups * head, groups * head])
        state[name] = torch.cat((q, repeated(k), repeated(v)))
    theirs.load_state_dict(state)
    assert ours.in_proj_weight.shape[0] == E + 2 * groups * head  # what grouping saves
    x, source = sequence(B, L, E).requires_grad_(), sequence(B, S, E, seed=1).requires_grad_()
    for inputs in ((x, x, x), (x, source, source)):
        out, _ = ours(*inputs)
        expected, _ = theirs(*inputs, need_weights=False)
        torch.testing.assert_close(out, expected, **EXACT)
        leaves = list(dict.fromkeys(inputs))
        pairs = zip(*(torch.autograd.grad(o.square().sum(), leaves) for o in (out, expected)), strict=True)
        for gradient, expected_gradient in pairs:
            torch.testing.assert_close(gradient, expected_gradient, **EXACT)


def test_every_hook_at_once_is_the_written_out_formula():
    """Rotary, normalised queries and keys, bias by distance, window, cap and sinks; a head width of its own."""
    rope, norm, bias = RoPE(8), random(QKNorm(8)), random(RelativePositionBias(H, n_buckets=4, max_distance=8))
    ours = random(
        MultiheadAttention(
            E, H, num_kv_heads=2, head_dim=8, rope=rope, qk_norm=norm, position_bias=bias, window=3, softcap=2.0,
            sinks=True, batch_first=True, engine="naive",
        )
    )  # fmt: skip
    x = sequence(B, L, E)
    out, weights = ours(x, is_causal=True, need_weights=True, average_attn_weights=False)
    with torch.no_grad():
        projected = (x.numpy() @ ours.in_proj_weight.numpy().T + ours.in_proj_bias.numpy()).reshape(B, L, -1, 8)
        q, k, v = (torch.tensor(t).transpose(1, 2) for t in np.split(projected, [H, H + 2], axis=2))
        q, k = norm(q, k)
        exact = exact_attention(
            rope(q).numpy(), rope(k).numpy(), v.numpy(), np.zeros((B, H, L, 8)), causal=True, window=3, softcap=2.0,
            sinks=ours.sinks.numpy(), bias=bias(L, L).numpy(), scale=1.0,
        )  # fmt: skip
        expected = exact.out.transpose(0, 2, 1, 3).reshape(B, L, -1) @ ours.out_proj.weight.numpy().T
        np.testing.assert_allclose(out.numpy(), expected + ours.out_proj.bias.numpy(), **EXACT)
        np.testing.assert_allclose(weights.numpy(), exact.weights, **EXACT)


def test_rotary_scores_depend_on_distance_alone_and_later_queries_stand_at_the_end():
    ours = random(MultiheadAttention(E, H, rope=RoPE(E // H - 1), batch_first=True))
    x = sequence(B, L, E)
    whole, _ = ours(x, is_causal=True)
    last, _ = ours(x[:, -2:], x, is_causal=True)
    torch.testing.assert_close(last, whole[:, -2:], **EXACT)
    with pytest.raises(ValueError, match="rope needs as many keys as queries or more, got 2 and 6"):
        ours(x, x[:, :2])


def test_cross_attention_reads_the_whole_source_and_the_queries_alone_of_the_target():
    ours = random(MultiheadAttention(E, H, kdim=7, vdim=7, batch_first=True))
    target, source = sequence(B, L, E).requires_grad_(), sequence(B, S, 7).requires_grad_()
    out, weights = ours(target, source, need_weights=True)
    assert out.shape == (B, L, E)
    assert weights.shape == (B, L, S)
    assert (weights > 0).all()  # also those that lie behind: there is no order between target and source
    for t in range(L):
        of_target, of_source = torch.autograd.grad(out[:, t].sum(), (target, source), retain_graph=True)
        assert (of_source.abs().sum(-1) > 0).all()
        assert (of_target.abs().sum(-1) > 0).int().sum(1).tolist() == [1] * B  # its own position


def test_queries_without_a_key_give_the_output_s_bias():
    ours = random(MultiheadAttention(E, H, batch_first=True))
    x = sequence(2, L, E).requires_grad_()
    padding = torch.tensor([[True] * L, [False] * L])
    out, weights = ours(x, key_padding_mask=padding, need_weights=True)
    assert torch.equal(out[0], ours.out_proj.bias.expand(L, E))
    assert not weights[0].any()
    (gradient,) = torch.autograd.grad(out.square().sum(), x)
    assert not gradient[0].any()
    assert gradient.isfinite().all()
    empty, _ = ours(x, x[:, :0])
    assert torch.equal(empty, ours.out_proj.bias.expand(2, L, E))
    assert ours(x[:, :0])[0].shape == (2, 0, E)


def test_dropout_is_for_training_and_heads_are_dropped_whole():
    torch.manual_seed(0)
    ours = random(MultiheadAttention(E, H, head_dropout=0.5, bias=False, batch_first=True))
    with torch.no_grad():
        ours.out_proj.weight.copy_(torch.eye(E))
    x = sequence(64, L, E)
    whole = ours.eval()(x)[0].unflatten(-1, (H, -1))
    part = ours.train()(x)[0].unflatten(-1, (H, -1))
    kept = (part != 0).all((1, 3))  # (B, H)
    assert torch.equal(kept, (part != 0).any(1).any(-1))
    assert 0.3 < kept.double().mean() < 0.7  # 256 heads: 6 standard deviations
    expected = 2 * whole * kept[:, None, :, None]
    torch.testing.assert_close(part, expected, **EXACT)
    dropped = MultiheadAttention(E, H, dropout=0.5, batch_first=True).double()
    assert not torch.equal(dropped(x)[0], dropped.eval()(x)[0])
    assert torch.equal(dropped(x)[0], dropped(x)[0])


def test_half_precision_and_autocast_stay_near_float64():
    ours = random(MultiheadAttention(E, H, num_kv_heads=2, sinks=True, window=3, batch_first=True))
    x = sequence(B, L, E)
    expected, _ = ours(x, is_causal=True)
    with torch.autocast("cpu", torch.bfloat16):
        out, _ = ours.float()(x.float(), is_causal=True)
    assert out.dtype == torch.bfloat16
    # four roundings to 8 bits, of values of size 1
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=0.03)
    x = (x.float() * 100).half()  # scores past 65504
    assert ours.half()(x, is_causal=True)[0].isfinite().all()


def test_weights_are_those_of_attention_weights_before_dropout():
    ours = random(MultiheadAttention(E, H, dropout=0.9, batch_first=True))
    x = sequence(B, L, E)
    _, weights = ours(x, need_weights=True, average_attn_weights=False)
    q, k, _ = (x @ ours.in_proj_weight.mT + ours.in_proj_bias).unflatten(-1, (3, H, -1)).movedim(-2, 1).unbind(3)
    torch.testing.assert_close(weights, attention_weights(q, k), **EXACT)


def test_what_does_not_fit_is_refused_by_name():
    ours = MultiheadAttention(E, H, batch_first=True)
    x = torch.zeros(B, L, E)
    calls = [
        (ValueError, lambda: MultiheadAttention(E, 5), "num_heads must divide embed_dim, got 5 and 12"),
        (ValueError, lambda: MultiheadAttention(E, H, num_kv_heads=3), "num_kv_heads .* divide num_heads, got 3 and 4"),
        (ValueError, lambda: MultiheadAttention(E, 0), "num_kv_heads must be >= 1"),
        (ValueError, lambda: MultiheadAttention(E, H, head_dim=0), "head_dim must be >= 1, got 0"),
        (ValueError, lambda: MultiheadAttention(E, H, dropout=1.0), r"dropout must be in \[0, 1\), got 1.0"),
        (ValueError, lambda: MultiheadAttention(E, H, head_dropout=2.0), r"p must be in \[0, 1\], got 2.0"),
        (ValueError, lambda: ours(x[..., :5]), r"query must have shape \(batch, length, 12\) .*, got \(3, 6, 5\)"),
        (ValueError, lambda: ours(x, x[0]), r"key must have shape .*, got \(6, 12\)"),
        (ValueError, lambda: ours(x, attn_mask=torch.zeros(2, L, L)), r"attn_mask must .* \(6, 6\), \(12, 6, 6\)"),
        (ValueError, lambda: ours(x, key_padding_mask=torch.zeros(B, 2)), r"key_padding_mask must have shape \(3, 6\)"),
        (TypeError, lambda: ours(x, attn_mask=torch.zeros(L, L).long()), "attn_mask must be boolean or floating point"),
        (ValueError, lambda: MultiheadAttention(E, H, window=0, batch_first=True)(x), "window must be >= 1, got 0"),
    ]  # fmt: skip
    for error, call, says in calls:
        with pytest.raises(error, match=says):
            call()
