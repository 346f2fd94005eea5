"""Transformer blocks beside torch's layers with the same weights, and what a position may depend on."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from breadth.nn.activations import gelu
from breadth.nn.attention.multi_head import MultiheadAttention
from breadth.nn.gated import SwiGLU
from breadth.nn.norms import RMSNorm
from breadth.nn.positions import RoPE
from breadth.nn.transformer import DecoderBlock, TransformerBlock

B, L, S, D, H = 2, 6, 5, 12, 3
EXACT = {"rtol": 1e-12, "atol": 1e-12}  # sums of up to 48 terms of size 1 in another order, three layers deep
NAMES = {"ffn.": "", "cross_attn": "multihead_attn"}  # ours: torch's


def random(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    for p in module.double().parameters():
        with torch.no_grad():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) / p.shape[-1] ** 0.5)
    return module


def sequence(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def named_as_torch_s(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    renamed = {}
    for name, t in state.items():
        for ours, theirs in NAMES.items():
            name = name.replace(ours, theirs)
        renamed[name] = t
    return renamed


def gradients(module, out, *leaves):
    found = torch.autograd.grad(out.square().sum(), [*leaves, *module.parameters()])
    names = [name for name, _ in module.named_parameters()]
    return found[: len(leaves)], named_as_torch_s(dict(zip(names, found[len(leaves) :], strict=True)))


def assert_same(ours, theirs, leaves, call, their_call):
    out, expected = ours(*leaves, **call), theirs(*leaves, **their_call)
    torch.testing.assert_close(out, expected, **EXACT)
    (inner, of_ours), (their_inner, of_theirs) = gradients(ours, out, *leaves), gradients(theirs, expected, *leaves)
    torch.testing.assert_close(inner, their_inner, **EXACT)
    assert of_ours.keys() == of_theirs.keys()
    for name in of_ours:
        torch.testing.assert_close(of_ours[name], of_theirs[name], **EXACT)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("activation", [torch.relu, gelu])
def test_a_block_is_torch_s_encoder_layer_with_its_weights(norm_first, activation):
    theirs = nn.TransformerEncoderLayer(D, H, 20, 0.0, activation, norm_first=norm_first, batch_first=True)
    theirs = random(theirs)
    ours = TransformerBlock(D, H, 20, activation=activation, norm_first=norm_first).double()
    ours.load_state_dict({_ours(name): t for name, t in theirs.state_dict().items()})
    padding = torch.tensor([[False] * L, [False] * 4 + [True] * 2])
    hidden = ~torch.ones(L, L, dtype=torch.bool).tril()
    x = sequence(B, L, D).requires_grad_()
    for call, their_call in (
        ({}, {}),
        ({"causal": True}, {"src_mask": hidden, "is_causal": True}),
        ({"mask": ~padding[:, None, None]}, {"src_key_padding_mask": padding}),
        ({"mask": ~padding[:, None, None], "causal": True}, {"src_key_padding_mask": padding, "src_mask": hidden}),
    ):
        assert_same(ours, theirs, [x], call, their_call)
    for shape in ((1, 1, D), (1, L, D)):
        torch.testing.assert_close(ours(sequence(*shape)), theirs(sequence(*shape)), **EXACT)


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_decoder_block_is_torch_s_decoder_layer_with_its_weights(norm_first):
    theirs = random(nn.TransformerDecoderLayer(D, H, 20, 0.0, norm_first=norm_first, batch_first=True))
    ours = DecoderBlock(D, H, 20, norm_first=norm_first).double()
    ours.load_state_dict({_ours(name): t for name, t in theirs.state_dict().items()})
    hidden = ~torch.ones(L, L, dtype=torch.bool).tril()
    padding = torch.tensor([[False] * S, [True] + [False] * 4])
    leaves = [sequence(B, L, D).requires_grad_(), sequence(B, S, D, seed=1).requires_grad_()]
    assert_same(ours, theirs, leaves, {}, {"tgt_mask": hidden, "tgt_is_causal": True})
    assert_same(
        ours, theirs, leaves, {"memory_mask": ~padding[:, None, None], "causal": False},
        {"memory_key_padding_mask": padding},
    )  # fmt: skip


def _ours(name: str) -> str:
    return name.replace("multihead_attn", "cross_attn").replace("linear", "ffn.linear")


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_prediction_of_token_t_depends_on_the_tokens_before_t_and_on_the_whole_source(norm_first):
    block = random(DecoderBlock(D, H, norm_first=norm_first, memory_dim=7))
    target, source = sequence(1, L, D).requires_grad_(), sequence(1, S, 7).requires_grad_()
    start = torch.zeros(1, 1, D, dtype=torch.float64)
    shifted = torch.cat((start, target[:, :-1]), 1)  # what predicts token t stands at position t
    out = block(shifted, source)
    weights = sequence(D, seed=2)  # a sum over features behind a normaliser would be constant
    for t in range(L):
        of_target, of_source = torch.autograd.grad((out[0, t] @ weights), (target, source), retain_graph=True)
        seen = of_target[0].abs().sum(-1) > 0
        assert seen.tolist() == [j < t for j in range(L)]
        assert (of_source[0].abs().sum(-1) > 0).all()
    leaky = block(target, source)  # without the shift, position t reads the token that it is to predict
    (of_target,) = torch.autograd.grad(leaky[0, 2] @ weights, target)
    assert of_target[0, 2].abs().sum() > 0


def test_parts_may_be_others_and_a_causal_block_takes_a_prefix_for_what_it_is():
    attention = MultiheadAttention(D, H, num_kv_heads=1, rope=RoPE(D // H), window=3, sinks=True, batch_first=True)
    block = random(TransformerBlock(D, H, norm=RMSNorm, attention=attention, ffn=SwiGLU(D, 20)))
    x = sequence(B, L, D)
    whole = block(x, causal=True)
    for n in (0, 1, 4):
        torch.testing.assert_close(block(x[:, :n], causal=True), whole[:, :n], **EXACT)
    views = x.transpose(0, 1).contiguous().transpose(0, 1)
    torch.testing.assert_close(block(views, causal=True), whole, **EXACT)
    assert block(torch.full_like(x, torch.nan), causal=True).isnan().all()
    half = block.float()(x.float() + 1e4, causal=True)  # mean 1e4: the root mean square takes it as a length
    assert half.isfinite().all()
    with torch.autocast("cpu", torch.bfloat16):
        near = block(x.float(), causal=True)
    # a few roundings to 8 bits of values up to 5
    torch.testing.assert_close(near.double(), whole, rtol=0.05, atol=0.1)


def test_dropout_is_for_training():
    torch.manual_seed(0)
    block = random(TransformerBlock(D, H, dropout=0.5))
    x = sequence(B, L, D)
    assert not torch.equal(block(x), block(x))
    assert torch.equal(block.eval()(x), block(x))


def test_what_does_not_fit_is_refused_by_name():
    x = torch.zeros(B, L, D)
    calls = [
        (ValueError, lambda: TransformerBlock(D, 5), "num_heads must divide embed_dim, got 5 and 12"),
        (ValueError, lambda: TransformerBlock(D, H, dropout=1.5), r"dropout must be in \[0, 1\), got 1.5"),
        (ValueError, lambda: TransformerBlock(D, H, 0), "dim_feedforward must be >= 1, got 0"),
        (
            ValueError,
            lambda: TransformerBlock(D, H, attention=MultiheadAttention(D, H)),
            "attention must have batch_first=True and embed_dim 12, got False and 12",
        ),
        (TypeError, lambda: TransformerBlock(D, H)(x, mask=torch.ones(L, L)), "a mask must be boolean"),
        (ValueError, lambda: DecoderBlock(D, H)(x, x[..., :5]), r"key must have shape \(batch, length, 12\)"),
    ]
    for error, call, says in calls:
        with pytest.raises(error, match=says):
            call()
