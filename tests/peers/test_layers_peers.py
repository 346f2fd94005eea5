"""Layers beside torch's own modules, from the same weights or the same seed."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from breadth.nn import init, norms
from breadth.nn import rms_norm as rms_norm_file
from breadth.nn.gated import GLU, FeedForward
from breadth.nn.residual import Residual

WHY = {"rtol": 1e-12, "atol": 1e-13}  # sums in another order


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def agree(ours, theirs, x, parameters, others):
    leaves = [x.clone().requires_grad_() for _ in range(2)]
    one, other = ours(leaves[0]), theirs(leaves[1])
    torch.testing.assert_close(one, other, **WHY)
    g = draw(*one.shape, seed=9)
    a = torch.autograd.grad(one, [leaves[0], *parameters], g)
    b = torch.autograd.grad(other, [leaves[1], *others], g)
    for mine, yours in zip(a, b, strict=True):
        torch.testing.assert_close(mine, yours, **WHY)


@pytest.mark.parametrize("eps", [None, 1e-6])
@pytest.mark.parametrize("shape", [(1, 8), (4, 3, 8), (2, 0, 8)])
def test_rms_norm_with_its_own_gradient_is_torchs(shape, eps, monkeypatch):
    monkeypatch.setattr(rms_norm_file, "WORTH", 0)
    ours, theirs = norms.RMSNorm(8, eps, dtype=torch.float64), nn.RMSNorm(8, eps, dtype=torch.float64)
    ours.weight.data = draw(8, seed=1)
    theirs.load_state_dict(ours.state_dict())
    for scale in (1.0, 1e4, 1e-4):
        agree(ours, theirs, scale * draw(*shape), [ours.weight], [theirs.weight])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (norms.BatchNorm1d(4), nn.BatchNorm1d(4)),
        (norms.BatchNorm2d(4, momentum=None), nn.BatchNorm2d(4, momentum=None)),
        (norms.BatchNorm2d(4, affine=False), nn.BatchNorm2d(4, affine=False)),
        (norms.LayerNorm((3, 4), bias=False), nn.LayerNorm((3, 4), bias=False)),
        (norms.RMSNorm(4), nn.RMSNorm(4)),
    ],
)
def test_checkpoints_go_from_torch_and_back(ours, theirs):
    for tensor in theirs.state_dict().values():
        tensor.add_(1)
    ours.load_state_dict(theirs.state_dict())
    back = type(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    assert isinstance(theirs, back)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_feed_forward_in_a_skip_is_torchs_encoder_layer_without_its_attention(norm_first, activation):
    peer = nn.TransformerEncoderLayer(
        6, 2, 10, dropout=0.0, activation=activation, batch_first=True, norm_first=norm_first, dtype=torch.float64
    )
    for p in (peer.self_attn.out_proj.weight, peer.self_attn.out_proj.bias):
        nn.init.zeros_(p)  # attention adds nothing
    act = torch.relu if activation == "relu" else F.gelu
    feed = FeedForward(6, 10, activation=act, dtype=torch.float64)
    block = Residual(feed, norms.LayerNorm(6, dtype=torch.float64), norm_first=norm_first)
    for name in ("linear1", "linear2"):
        getattr(feed, name).load_state_dict(getattr(peer, name).state_dict())
    peer.norm2.weight.data, peer.norm2.bias.data = draw(6, seed=2), draw(6, seed=3)
    block.norm.load_state_dict(peer.norm2.state_dict())

    def ours(x):
        return block(x if norm_first else peer.norm1(x))  # post-norm has one behind the attention too

    x = draw(3, 5, 6)
    agree(
        ours,
        peer,
        x,
        list(block.parameters()),
        [*peer.linear1.parameters(), *peer.linear2.parameters(), *peer.norm2.parameters()],
    )


def test_glu_is_torchs_between_its_linear_maps():
    layer = GLU(4, 6, bias=True, dtype=torch.float64)

    def theirs(x):  # value first, gate second
        both = torch.cat([layer.up_proj(x), layer.gate_proj(x)], -1)
        return layer.down_proj(F.glu(both))

    parameters = list(layer.parameters())
    agree(layer, theirs, draw(3, 4), parameters, parameters)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 3, 2, 2)])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("xavier_uniform_", {"gain": 1.5}),
        ("xavier_normal_", {"gain": 1.5}),
        ("kaiming_uniform_", {"a": 5**0.5}),
        ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}),
        ("kaiming_normal_", {"nonlinearity": "selu"}),
        ("kaiming_uniform_", {"nonlinearity": "tanh"}),
        ("orthogonal_", {"gain": 2.0}),
    ],
)
def test_an_initialiser_draws_the_numbers_that_torchs_draws(name, options, shape):
    ours, theirs = (
        getattr(module, name)(
            torch.empty(shape, dtype=torch.float64), generator=torch.Generator().manual_seed(0), **options
        )
        for module in (init, nn.init)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-14, atol=0 if name != "orthogonal_" else 1e-14)
