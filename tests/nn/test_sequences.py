"""Networks that read a sequence and answer once, beside torch's layers with the same weights."""

from __future__ import annotations

import pytest
import torch

from breadth.nn.probes import equivariance_error, invariance_error, permutation
from breadth.nn.sequences import RecurrentNetwork, TransformerNetwork


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_recurrent_network_is_torchs_layer_and_a_linear_one(cell, bidirectional):
    torch.manual_seed(0)
    ours = RecurrentNetwork(3, 2, 5, num_layers=2, cell=cell, bidirectional=bidirectional).double()
    theirs = getattr(torch.nn, cell.upper())(3, 5, 2, batch_first=True, bidirectional=bidirectional).double()
    theirs.load_state_dict(ours.recurrent.state_dict())
    x = torch.randn(4, 7, 3, dtype=torch.float64, requires_grad=True)
    output, _ = theirs(x)
    ends = [output[:, -1, :5]] + [output[:, 0, 5:]] * bidirectional  # the backward layer ends at the first step
    expected = torch.cat(ends, 1) @ ours.head.weight.T + ours.head.bias
    torch.testing.assert_close(ours(x), expected, rtol=1e-12, atol=1e-12)
    mine, reference = (torch.autograd.grad(out.square().sum(), x)[0] for out in (ours(x), expected))
    torch.testing.assert_close(mine, reference, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("positions", ["sinusoidal", None])
def test_a_transformer_is_torchs_encoder_between_two_linear_layers(positions):
    torch.manual_seed(0)
    ours = TransformerNetwork(3, 2, 8, num_layers=2, num_heads=2, positions=positions).double().eval()
    layer = torch.nn.TransformerEncoderLayer(8, 2, 32, 0.0, batch_first=True, norm_first=True)
    theirs = torch.nn.TransformerEncoder(layer, 2, torch.nn.LayerNorm(8), enable_nested_tensor=False).double().eval()
    for mine, other in zip(ours.blocks, theirs.layers, strict=True):
        state = {k.replace("ffn.", ""): v for k, v in mine.state_dict().items()}
        other.load_state_dict(state)
    x = torch.randn(4, 6, 3, dtype=torch.float64)
    with torch.no_grad():
        expected = ours.head(theirs(ours.positions(ours.embed(x))).mean(1))
        torch.testing.assert_close(ours(x), expected, rtol=1e-12, atol=1e-12)


def test_order_matters_with_positions_and_not_without():
    torch.manual_seed(0)
    x = torch.randn(2, 9, 3)
    for positions in ("sinusoidal", None):
        network = TransformerNetwork(3, 2, 8, num_heads=2, positions=positions).eval()
        same = torch.allclose(network(x), network(x.flip(1)), atol=1e-5)
        assert same == (positions is None)


def test_one_row_and_one_step_and_wrong_arguments():
    for network in (RecurrentNetwork(3, 2), TransformerNetwork(3, 2)):
        assert network(torch.randn(1, 1, 3)).shape == (1, 2)
    with pytest.raises(ValueError, match="cell must be one of 'rnn', 'lstm', 'gru', got 'qrnn'"):
        RecurrentNetwork(3, 2, cell="qrnn")
    with pytest.raises(ValueError, match="positions must be 'sinusoidal' or None"):
        TransformerNetwork(3, 2, positions="learned")
    with pytest.raises(ValueError, match="out_features must be >= 1, got 0"):
        RecurrentNetwork(3, 0)
    with pytest.raises(ValueError, match="num_layers must be >= 1"):
        TransformerNetwork(3, 2, num_layers=0)


def test_equivariance_of_a_transformer_is_seen_by_the_probe():
    torch.manual_seed(0)
    order = [3, 0, 4, 1, 2]
    x = torch.randn(2, 5, 8)
    for positions in ("sinusoidal", None):
        network = TransformerNetwork(8, 2, 8, num_heads=2, positions=positions).eval()

        def steps(x, network=network):  # before the mean over steps, which hides their order
            h = network.positions(network.embed(x))
            for block in network.blocks:
                h = block(h)
            return h

        moved = equivariance_error(steps, x, permutation(order, dim=1))
        blind = invariance_error(network, x, permutation(order, dim=1))
        assert (moved < 1e-5) == (blind < 1e-5) == (positions is None)
