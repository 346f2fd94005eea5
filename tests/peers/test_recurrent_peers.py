"""Recurrent layers beside torch.nn's, whose weights they take."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from breadth.nn.recurrent import GRU, LSTM, RNN

KINDS = [(RNN, nn.RNN, {}), (RNN, nn.RNN, {"nonlinearity": "relu"}), (LSTM, nn.LSTM, {}), (GRU, nn.GRU, {})]
SHAPES = [
    {},
    {"num_layers": 3},
    {"bidirectional": True},
    {"num_layers": 2, "bidirectional": True, "batch_first": True, "bias": False},
]


def pair(kind, shape):
    ours, theirs, options = kind
    torch.manual_seed(0)
    peer = theirs(5, 4, **options, **shape).double()
    mine = ours(5, 4, **options, **shape).double()
    mine.load_state_dict(peer.state_dict())
    return mine, peer


def states(layer: nn.Module, batch: tuple[int, ...]):
    shape = (layer.num_layers * (1 + layer.bidirectional), *batch, 4)
    h = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    return tuple(h) if isinstance(layer, LSTM) else h[0]


def flat(results) -> list[torch.Tensor]:
    output, last = results
    return [output, *(last if isinstance(last, tuple) else [last])]


def assert_alike(ours, theirs, leaves_of_ours, leaves_of_theirs) -> None:
    """Values, and gradients of one random projection of them."""
    weights = [torch.randn_like(t) for t in theirs]
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)  # products are summed in another order
    gradients = [
        torch.autograd.grad(sum((t * w).sum() for t, w in zip(results, weights, strict=True)), leaves)
        for results, leaves in ((ours, leaves_of_ours), (theirs, leaves_of_theirs))
    ]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_are_torchs(kind, shape):
    ours, theirs = pair(kind, shape)
    for size in [(7, 3), (1, 1), (7,)]:  # several steps, a batch of one step, a single sequence
        x = torch.randn(*size, 5, dtype=torch.float64)
        x = x.transpose(0, 1) if shape.get("batch_first") and len(size) == 2 else x
        x = torch.cat([x, x], -1)[..., ::2][..., :5].clone().requires_grad_()
        h = states(ours, size[1:])
        leaves = [x, *(h if isinstance(h, tuple) else [h])]
        assert_alike(
            flat(ours(x, h)), flat(theirs(x, h)), [*leaves, *ours.parameters()], [*leaves, *theirs.parameters()]
        )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_ragged_batches_are_torchs_packed_ones_in_any_order_of_lengths(kind, shape):
    ours, theirs = pair(kind, shape)
    batch_first = shape.get("batch_first", False)
    lengths = torch.tensor([3, 6, 1, 6])
    x = torch.randn(6, 4, 5, dtype=torch.float64)
    x[3:, 0] = 1e4  # what lies past a sequence's end must not matter
    x = (x.transpose(0, 1) if batch_first else x).requires_grad_()
    packed, last = theirs(pack_padded_sequence(x, lengths, batch_first=batch_first, enforce_sorted=False))
    padded, _ = pad_packed_sequence(packed, batch_first=batch_first)
    assert_alike(
        flat(ours(x, lengths=lengths)),
        flat((padded, last)),
        [x, *ours.parameters()],
        [x, *theirs.parameters()],
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_of_length_0_keeps_its_first_state(kind):
    ours, _ = pair(kind, {"bidirectional": True})
    x, h = torch.randn(3, 2, 5, dtype=torch.float64), states(ours, (2,))
    output, *last = flat(ours(x, h, lengths=torch.tensor([0, 3])))
    for a, b in zip(last, h if isinstance(h, tuple) else [h], strict=True):
        assert torch.equal(a[:, 0], b[:, 0])
    assert (output[:, 0] == 0).all()
    output, *last = flat(ours(x[:0], h))  # nor does anything happen in no step at all
    assert output.shape == (0, 2, 8)
    assert torch.equal(last[0], h[0] if isinstance(h, tuple) else h)


@pytest.mark.parametrize("kind", KINDS[2:])
def test_huge_inputs_saturate_and_stay_finite(kind):
    ours, theirs = pair(kind, {})
    x = 1e4 * torch.randn(5, 2, 5, dtype=torch.float64, requires_grad=True)
    assert_alike(flat(ours(x)), flat(theirs(x)), [x, *ours.parameters()], [x, *theirs.parameters()])
    half = ours.bfloat16()(x.detach().bfloat16())[0]
    assert half.isfinite().all() and half.dtype == torch.bfloat16


def test_dropout_lies_between_layers_only_and_only_in_training():
    torch.manual_seed(0)
    x = torch.randn(4, 2, 5)
    one, two = GRU(5, 4, dropout=0.5), GRU(5, 4, num_layers=2, dropout=0.5)
    assert torch.equal(one(x)[0], one(x)[0])
    assert not torch.equal(two(x)[0], two(x)[0])
    two.eval()
    assert torch.equal(two(x)[0], two(x)[0])


def test_calls_that_cannot_be_right_are_refused():
    layer, x = RNN(5, 4), torch.zeros(3, 2, 5)
    calls = [
        (lambda: LSTM(5, 0), "hidden_size must be >= 1, got 0"),
        (lambda: GRU(5, 4, dropout=1.5), r"dropout must be in \[0, 1\], got 1.5"),
        (lambda: RNN(5, 4, nonlinearity="gelu"), "nonlinearity must be 'tanh' or 'relu', got 'gelu'"),
        (lambda: layer(x[..., :4]), "input must have 5 features"),
        (lambda: layer(x, torch.zeros(1, 3, 4)), r"must have shape \(1, 2, 4\), got \(1, 3, 4\)"),
        (lambda: layer(x, lengths=torch.tensor([4, 1])), r"lengths must be in \[0, 3\], got 1 to 4"),
        (lambda: layer(x, lengths=torch.tensor([1])), "lengths must be 2 integers"),
        (lambda: layer(x[:, 0], lengths=torch.tensor([1])), "lengths are for a batch"),
    ]
    for call, says in calls:
        with pytest.raises(ValueError, match=says):
            call()
