"""Gradients and activations by depth, in networks whose moments are known in closed form."""

import math

import pytest
import torch
from torch import nn

from breadth.nn.probes import signal_by_depth
from breadth.nn.probes.depth import rms

F64 = torch.float64


def linear(weight, bias=None):
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


def orthogonal(n, draw):
    return torch.linalg.qr(torch.randn(n, n, generator=draw, dtype=F64))[0]


def he_mlp(width, depth, activation, draw, gain=2**0.5):
    layers = []
    for _ in range(depth):
        layers += [linear(torch.randn(width, width, generator=draw, dtype=F64) * gain / math.sqrt(width)), activation()]
    return nn.Sequential(*layers)


class Block(nn.Module):
    """x + W x, or x + W x / rms(x), with W a rotation by a right angle: W x is as long as x, and orthogonal to it."""

    def __init__(self, n, *, normalised):
        super().__init__()
        self.branch = linear(
            torch.kron(torch.eye(n // 2, dtype=F64), torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=F64))
        )
        self.normalised = normalised

    def forward(self, x):
        return x + self.branch(x / x.square().mean(-1, keepdim=True).sqrt() if self.normalised else x)


@pytest.mark.parametrize(("gain", "trend"), [(1.3, "exploding"), (0.7, "vanishing"), (1.0, "stable")])
def test_linear_nets_of_gain_g_grow_by_exactly_g_a_layer_both_ways(gain, trend):
    draw = torch.Generator().manual_seed(0)
    model = nn.Sequential(*(linear(gain * orthogonal(16, draw)) for _ in range(40)))
    x = torch.randn(8, 16, generator=draw, dtype=F64)
    found = signal_by_depth(model, x)
    for depth, layer in enumerate(found.layers, start=1):
        assert layer.activation == pytest.approx(gain**depth * rms(x), rel=1e-12)
        assert layer.gradient == pytest.approx(gain ** (40 - depth) * found.layers[-1].gradient, rel=1e-12)
    for growth in (found.activation, found.gradient):
        assert growth.factor == pytest.approx(gain, rel=1e-12)
        assert growth.over_depth == pytest.approx(gain**39, rel=1e-11)  # 39 times the slope's rounding
        assert growth.trend == trend


def test_sigmoids_at_their_steepest_make_gradients_vanish_as_a_quarter_of_the_gain_to_the_depth():
    draw = torch.Generator().manual_seed(1)
    layers, gain = [], 1.5
    for depth in range(20):
        weight = gain * orthogonal(12, draw)
        # the input of layer 1 is 0, that of the others sigmoid(0) = 1/2: biases put every pre-activation at 0
        layers += [linear(weight, weight.sum(1) * (0.0 if depth == 0 else -0.5)), nn.Sigmoid()]
    found = signal_by_depth(nn.Sequential(*layers), torch.zeros(3, 12, dtype=F64))
    assert found.gradient.trend == "vanishing"
    assert found.gradient.factor == pytest.approx(gain / 4, rel=1e-12)


def test_small_random_sigmoid_nets_lose_at_least_the_quarter_of_their_gain():
    draw = torch.Generator().manual_seed(2)
    model = he_mlp(64, 12, nn.Sigmoid, draw, gain=0.5)
    found = signal_by_depth(model, torch.randn(32, 64, generator=draw, dtype=F64))
    assert found.gradient.trend == "vanishing"
    # sigmoid' <= 1/4 everywhere; 5 % for the random weights, whose squares vary by 1 / sqrt(64 * 64) a layer
    assert found.gradient.factor <= 0.5 / 4 * 1.05
    assert found.gradient.factor >= 0.5 * 0.235  # sigmoid' at 0.5, beyond most pre-activations: sums of 64 w / 2


def test_he_initialisation_keeps_second_moments_through_relu_and_glorots_does_not():
    draw = torch.Generator().manual_seed(3)
    x = torch.randn(64, 256, generator=draw, dtype=F64)
    kept = signal_by_depth(he_mlp(256, 30, nn.ReLU, draw), x)
    lost = signal_by_depth(he_mlp(256, 30, nn.ReLU, draw, gain=1.0), x)
    # log a^2 walks by about sqrt(5 / width) a layer: its mean over 29 layers varies by 0.026, half of that for log a
    assert kept.activation.factor == pytest.approx(1, abs=0.04)
    assert kept.gradient.factor == pytest.approx(1, abs=0.04)
    assert (kept.activation.trend, kept.gradient.trend) == ("stable", "stable")
    assert lost.gradient.factor == pytest.approx(math.sqrt(0.5), rel=0.04)
    assert (lost.activation.trend, lost.gradient.trend) == ("vanishing", "vanishing")


def test_skips_do_not_cure_explosion_and_normalising_the_branch_does():
    draw = torch.Generator().manual_seed(4)
    x = torch.randn(5, 16, generator=draw, dtype=F64)
    x = x / x.square().mean(-1, keepdim=True).sqrt()
    bare = signal_by_depth(nn.Sequential(*(Block(16, normalised=False) for _ in range(60))), x, layers=Block)
    normed = signal_by_depth(nn.Sequential(*(Block(16, normalised=True) for _ in range(60))), x, layers=Block)
    for depth in range(1, 61):
        assert bare.layers[depth - 1].activation == pytest.approx(math.sqrt(2) ** depth, rel=1e-12)
        assert normed.layers[depth - 1].activation == pytest.approx(math.sqrt(1 + depth), rel=1e-12)
    assert bare.activation.factor == pytest.approx(math.sqrt(2), rel=1e-12)
    assert bare.gradient.factor == pytest.approx(math.sqrt(2), rel=1e-12)
    assert (bare.activation.trend, bare.gradient.trend) == ("exploding", "exploding")
    assert (normed.activation.trend, normed.gradient.trend) == ("stable", "stable")


def test_un_normalised_residual_relu_nets_with_he_weights_double_their_second_moment_a_block():
    draw = torch.Generator().manual_seed(5)

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.branch = he_mlp(128, 2, nn.ReLU, draw)[:3]  # linear, ReLU, linear: E f^2 = 2 E x^2 with He's gain

        def forward(self, x):
            return x + self.branch(x) / math.sqrt(2)

    found = signal_by_depth(
        nn.Sequential(*(Residual() for _ in range(50))),
        torch.randn(16, 128, generator=draw, dtype=F64),
        layers=Residual,
    )
    assert found.activation.factor == pytest.approx(math.sqrt(2), rel=0.05)  # as above, for random weights
    assert found.gradient.factor == pytest.approx(math.sqrt(2), rel=0.05)
    assert found.layers[-1].activation > 1e6
    assert found.gradient.trend == "exploding"


def test_weight_gradients_are_those_of_backward():
    draw = torch.Generator().manual_seed(6)
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(inplace=True), nn.Linear(7, 3))
    x, y = torch.randn(9, 5, generator=draw), torch.randint(3, (9,), generator=draw)
    found = signal_by_depth(model, x, loss=lambda out: nn.functional.cross_entropy(out, y))
    assert all(p.grad is None for p in model.parameters())
    nn.functional.cross_entropy(model(x), y).backward()
    for layer, signal in zip((model[0], model[2]), found.layers, strict=True):
        norm = math.sqrt(sum(p.grad.double().square().sum().item() for p in layer.parameters()))
        assert signal.weight_gradient == pytest.approx(norm, rel=1e-6)  # float32


def test_a_value_that_a_later_layer_overwrites_is_seen_as_it_was():
    draw = torch.Generator().manual_seed(7)
    x = torch.randn(9, 5, generator=draw, dtype=F64)
    weights = [torch.randn(5, 5, generator=draw, dtype=F64) for _ in range(3)]
    seen = [
        signal_by_depth(
            nn.Sequential(nn.ReLU(inplace), *(m for w in weights for m in (linear(w), nn.ReLU(inplace)))), x
        )
        for inplace in (True, False)
    ]
    assert seen[0] == seen[1]


def test_frozen_layers_shared_layers_and_buffers_are_left_as_they_are_and_still_seen():
    draw = torch.Generator().manual_seed(8)
    shared = linear(0.9 * orthogonal(6, draw))
    model = nn.Sequential(shared, nn.BatchNorm1d(6, dtype=F64), shared, shared).requires_grad_(False)
    before = [b.clone() for b in model.buffers()]
    x = torch.randn(20, 6, generator=draw, dtype=F64)
    with torch.no_grad():
        found = signal_by_depth(model, x, layers=("0",))
    assert [layer.name for layer in found.layers] == ["0", "0", "0"]  # one module called three times is three layers
    assert all(torch.equal(b, a) for b, a in zip(before, model.buffers(), strict=True))
    assert all(layer.weight_gradient is None and layer.gradient > 0 for layer in found.layers)
    assert found.layers[2].activation == pytest.approx(0.9 * found.layers[1].activation, rel=1e-12)


def test_modules_that_return_tuples_and_integers_as_inputs_are_followed():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.read, self.out = nn.Embedding(11, 8), nn.LSTM(8, 8, num_layers=2), nn.Linear(8, 2)

        def forward(self, tokens):
            out, state = self.read(self.embed(tokens))
            return {"logits": self.out(out[-1]), "state": state}

    model = Reader()
    found = signal_by_depth(model, torch.randint(11, (7, 3)))
    assert [layer.name for layer in found.layers] == ["embed", "read", "out"]
    assert [layer.elements for layer in found.layers] == [7 * 3 * 8, 7 * 3 * 8, 6]
    assert all(layer.gradient > 0 and layer.weight_gradient > 0 for layer in found.layers)
    with pytest.raises(TypeError, match="layer 'pick' gave Tensor without a floating-point tensor"):
        signal_by_depth(Picking(), torch.randn(2, 3), layers=("pick",))


class Picking(nn.Module):
    class Pick(nn.Module):
        def forward(self, x):
            return x.argmax(-1)

    def __init__(self):
        super().__init__()
        self.pick = self.Pick()

    def forward(self, x):
        return x * self.pick(x)[:, None]


def test_zero_infinite_and_undefined_signals_are_named():
    dead = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
    with torch.no_grad():
        dead[2].bias.fill_(-1e6)  # the second ReLU never fires: nothing comes back
    found = signal_by_depth(dead, torch.randn(5, 4))
    assert found.gradient == type(found.gradient)(0.0, 0.0, "vanishing")
    assert found.layers[0].weight_gradient == 0
    with torch.no_grad():
        dead[0].weight[0, 0] = math.nan
    assert signal_by_depth(dead, torch.randn(5, 4)).activation.trend == "not finite"
    huge = nn.Sequential(*(linear(1e30 * torch.eye(3)) for _ in range(3)))
    found = signal_by_depth(huge, torch.ones(2, 3))
    assert (found.activation.trend, found.activation.factor) == ("exploding", math.inf)
    assert found.layers[0].activation == pytest.approx(1e30, rel=1e-6)  # its square would overflow float32
    one = signal_by_depth(nn.Linear(1, 1), torch.ones(1, 1))
    assert (one.activation.trend, one.gradient.trend) == ("too few layers", "too few layers")


def test_half_precision_and_tiny_signals_lose_no_digit_to_their_squares():
    tiny = torch.full((10,), 1e-200, dtype=F64)
    assert rms(tiny) == pytest.approx(1e-200, rel=1e-14)
    assert rms(torch.full((10,), 6e4, dtype=torch.float16)) == pytest.approx(6e4, rel=1e-3)
    assert rms(torch.zeros(3)) == 0


def test_the_table_names_layers_trends_and_the_threshold():
    text = str(signal_by_depth(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), torch.randn(3, 4), threshold=10))
    assert "by weights" in text and "gradients: stable" in text and "(stable within x 10)" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": 1.0}, "threshold must be > 1, got 1.0"),
        ({"layers": ("1",)}, "layers names '1', which is no submodule of Sequential; there are"),
        ({"layers": ("0.weigth",)}, "layers names '0.weigth'"),
        ({"layers": "0"}, "single name '0'"),
        ({"layers": nn.Conv2d}, "picks none"),
        ({"loss": lambda out: out}, "loss gave a tensor of shape .* that is no scalar"),
        ({"loss": lambda out: torch.zeros(())}, "does not depend on the model"),
        ({"x": torch.randn(0, 4)}, "shape \\(0, 4\\); inputs must hold examples"),
    ],
)
def test_what_cannot_be_measured_is_refused(change, message):
    x = change.pop("x", torch.randn(2, 4))
    with pytest.raises(ValueError, match=message):
        signal_by_depth(nn.Sequential(nn.Linear(4, 4)), x, **change)
