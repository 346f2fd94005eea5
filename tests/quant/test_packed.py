"""Packed linear layers beside float64 on their own dequantised weights, at shapes that fill no block."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from breadth.nn.linear import Linear
from breadth.quant.packed import FEW, Int4Linear, Int8Linear, pack

KINDS = {
    "int8": Int8Linear.from_linear,
    "int4, groups of 32": Int4Linear.from_linear,
    "int4, groups of 64": lambda linear: Int4Linear.from_linear(linear, group_size=64),
}
SHAPES = [(64, 64), (1, 1), (3, 5), (33, 31), (130, 96), (65, 257), (200, 1), (1, 200)]  # (out, in)
EXACT = 2e-6  # float32 sums of up to 257 products, of the sum of their sizes
MANY = max(FEW.values()) + 1


def linear(out: int, inner: int, *, bias: bool = True, seed: int = 0) -> nn.Linear:
    layer = nn.Linear(inner, out, bias)
    generator = torch.Generator().manual_seed(seed)
    for p in layer.parameters():
        p.data = torch.randn(p.shape, generator=generator)
    return layer


def inputs(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def expected(layer: nn.Module, x: torch.Tensor) -> np.ndarray:
    """In float64, on the weights that the layer says it has."""
    y = x.double().numpy() @ layer.dequantize().double().numpy().T
    return y if layer.bias is None else y + layer.bias.double().numpy()


def error(found: torch.Tensor, exact: np.ndarray) -> float:
    return float(np.linalg.norm(found.double().numpy() - exact) / np.linalg.norm(exact))


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bias", [False, True])
def test_the_output_is_that_of_the_dequantised_weights_at_any_size(make, shape, bias):
    layer = make(linear(*shape, bias=bias))
    for rows in (1, 2, 5, *FEW.values(), MANY):
        x = inputs(rows, shape[1], seed=rows)
        y = layer(x)
        assert y.dtype == torch.float32 and y.shape == (rows, shape[0])
        exact = expected(layer, x)
        size = np.abs(x.double().numpy()) @ np.abs(layer.dequantize().double().numpy()).T + np.abs(exact)
        if isinstance(
            layer, Int4Linear
        ):  # scale, code and zero are multiplied one by one: parts are larger than the sum
            size += np.abs(x.double().numpy()).sum(1, keepdims=True) * 2 * layer.dequantize().abs().max().item()
        assert (np.abs(y.double().numpy() - exact) <= EXACT * size).all()
        assert error(y, exact) < 1e-5


@pytest.mark.parametrize("group_size", [32, 64])
@pytest.mark.parametrize("shape", SHAPES)
def test_4_bit_weights_are_scale_times_code_less_8_plus_zero(shape, group_size):
    rng = np.random.default_rng(0)
    groups = -(-shape[1] // group_size)
    codes = rng.integers(0, 16, shape)
    scales, zeros = (torch.tensor(rng.normal(size=(shape[0], groups))).bfloat16() for _ in range(2))
    layer = Int4Linear(torch.tensor(codes), scales, zeros, group_size=group_size)
    s, z = (t.double().numpy().repeat(group_size, 1)[:, : shape[1]] for t in (scales, zeros))
    np.testing.assert_allclose(layer.dequantize().numpy(), s * (codes - 8) + z, rtol=3e-7, atol=1e-6)
    state = layer.state_dict()
    assert torch.equal(state["scales"], scales) and torch.equal(state["zeros"], zeros)


def test_rows_that_several_threads_share_are_those_of_one(monkeypatch):
    layers, x = [make(linear(130, 96)) for make in KINDS.values()], inputs(3, 96)
    alone = [layer(x) for layer in layers]
    monkeypatch.setattr("breadth.nn.linear._SHARE", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    for layer, y in zip(layers, alone, strict=True):
        torch.testing.assert_close(layer(x), y, rtol=0, atol=1e-5)


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_codes_are_the_nearest_that_there_are(make):
    source = linear(40, 70)
    layer = make(source)
    weight, back = source.weight.detach().double(), layer.dequantize().double()
    if isinstance(layer, Int8Linear):
        step = layer.scales.double()[:, None].expand_as(weight)
    else:
        step = layer.state_dict()["scales"].double().repeat_interleave(layer.group_size, 1)[:, :70]
    # the ends of a range may miss by what bfloat16 took from scale and zero; within it half a step is the most
    assert ((weight - back).abs() <= step * (0.5 + 8 * 2.0**-8) + 1e-6).all()
    assert ((weight - back).abs() <= step * 0.5001).double().mean() > 0.95


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_any_layout_of_the_input_and_any_number_of_axes_will_do(make):
    layer = make(linear(48, 64))
    x = inputs(2, 3, 64)
    y = layer(x)
    assert y.shape == (2, 3, 48)
    torch.testing.assert_close(layer(x[1, 2]), y[1, 2], rtol=1e-6, atol=1e-5)  # one row's sums run in another order
    for strange in (x.transpose(0, 1).contiguous().transpose(0, 1), inputs(2, 3, 128)[..., ::2], x.expand(4, 2, 3, 64)):
        torch.testing.assert_close(layer(strange), layer(strange.contiguous()), rtol=1e-6, atol=1e-5)
    assert layer(x[:0]).shape == (0, 3, 48)
    assert layer(torch.zeros(2, 64)).abs().max() == layer.bias.abs().max()


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rows", [1, MANY])
def test_the_output_has_the_dtype_of_the_input(make, dtype, rows):
    layer = make(linear(96, 128))
    x = inputs(rows, 128).to(dtype)
    y = layer(x)
    assert y.dtype == dtype
    assert error(y, expected(layer, x)) < (1e-2 if dtype.itemsize == 2 else 1e-5)
    assert layer(torch.full((rows, 128), torch.nan, dtype=dtype)).isnan().all()


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_a_model_s_dtype_changes_neither_codes_nor_scales(make):
    layer = make(linear(64, 64))
    layer.bias = layer.bias.bfloat16().float()  # which comes through all of them
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        assert torch.equal(copy.deepcopy(layer).to(dtype)(inputs(1, 64)), layer(inputs(1, 64)))


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_activations_keep_their_digits_whatever_stands_beside_them(make):
    layer = make(linear(48, 256))
    small_beside_large = torch.cat((inputs(1, 256) * 1e-6, inputs(1, 256) * 1e6))
    small_beside_large[1, 0] = 1e9
    for y, exact in zip(layer(small_beside_large), expected(layer, small_beside_large), strict=True):
        assert error(y, exact) < 1e-5


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_gradients_flow_to_the_input(make):
    layer = make(linear(7, 9))
    x = inputs(3, 9).requires_grad_()
    (by_x,) = torch.autograd.grad(layer(x).sum(), x)
    torch.testing.assert_close(by_x, layer.dequantize().sum(0).expand(3, 9), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_weights_that_are_equal_zero_or_huge_come_back(make):
    source = linear(4, 64, bias=False)
    source.weight.data = torch.stack((torch.zeros(64), torch.full((64,), 0.75), inputs(64) * 1e30, inputs(64) * 1e-30))
    layer = make(source)
    back = layer.dequantize()
    assert torch.equal(back[:2], source.weight[:2]) or isinstance(layer, Int8Linear)
    torch.testing.assert_close(back[:2], source.weight.detach()[:2], rtol=1e-6, atol=0)
    span = source.weight.abs().amax(1, keepdim=True)
    assert ((back - source.weight).abs() <= 0.15 * span).all()
    assert layer(inputs(1, 64)).isfinite().all()


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("shape", [(64, 64), (33, 31), (1, 1)])
def test_the_state_is_plain_and_comes_back_through_a_file(make, shape):
    layer, other = make(linear(*shape)), make(linear(*shape, seed=5))
    state = layer.state_dict()
    assert sorted(state) == sorted(["bias", "codes", "scales", *(["zeros"] if isinstance(layer, Int4Linear) else [])])
    assert sum(t.nbytes for t in state.values()) <= {64: 6000, 33: 1500, 1: 20}[shape[0]]
    other.load_state_dict(load(save(state)))
    x = inputs(1, shape[1])
    assert torch.equal(other(x), layer(x)) and torch.equal(other.dequantize(), layer.dequantize())
    buffer = io.BytesIO()
    torch.save(layer.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer), assign=True)
    assert torch.equal(other(x), layer(x))


def test_the_saved_codes_are_two_in_a_byte_with_the_even_column_low():
    codes = torch.tensor([[1, 2, 3], [15, 0, 7]])
    layer = Int4Linear(codes, torch.ones(2, 1), torch.full((2, 1), 8.0))
    assert layer.state_dict()["codes"].tolist() == [[1 + 16 * 2, 3], [15, 7]]
    assert layer.dequantize().tolist() == codes.tolist()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(40, 64)
        self.body = nn.Sequential(nn.Linear(64, 96), nn.GELU(), Linear(96, 64))
        self.router = nn.Linear(64, 4)
        self.again = self.body[0]
        self.special = nn.modules.linear.NonDynamicallyQuantizableLinear(64, 4)
        self.head = nn.Linear(64, 40, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids):
        return self.head(self.body(self.embed(ids)))


@pytest.mark.parametrize("format", ["int8", "int4"])
def test_pack_replaces_what_is_a_linear_layer_and_keeps_the_names(format):
    torch.manual_seed(0)
    net = Net()
    plain = copy.deepcopy(net)
    names = [name for name, _ in net.named_modules(remove_duplicate=False)]
    assert pack(net, format, leave=("router",)) is net
    assert [name for name, _ in net.named_modules(remove_duplicate=False)] == names
    kind = Int8Linear if format == "int8" else Int4Linear
    assert {name for name, m in net.named_modules(remove_duplicate=False) if isinstance(m, kind)} == {
        "body.0", "body.2", "again", "head",
    }  # fmt: skip
    assert net.again is net.body[0] and type(net.router) is nn.Linear
    assert torch.equal(net.embed.weight, plain.embed.weight)
    for name in ("body.0", "body.2", "head"):
        plain.get_submodule(name).weight = nn.Parameter(net.get_submodule(name).dequantize())
    plain.embed.weight = net.embed.weight
    ids = torch.arange(10)[None]
    with torch.no_grad():
        assert error(net(ids), plain(ids).double().numpy()) < 1e-5


def test_a_linear_layer_by_itself_is_packed_too():
    assert isinstance(pack(linear(8, 8), "int8"), Int8Linear)
    layer = pack(linear(8, 70), "int4", group_size=64)
    assert isinstance(layer, Int4Linear) and layer.group_size == 64
    assert repr(layer) == "Int4Linear(in_features=70, out_features=8, bias=True, group_size=64)"
    assert torch.equal(layer.weight, layer.dequantize())


def broken(value: float) -> nn.Module:
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    net[1].weight.data[2, 1] = value
    return net


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: pack(Net(), "int5"), ValueError, "'int8', 'int4'"),
        (lambda: pack(Net(), "int4", group_size=48), ValueError, "group_size must be 32 or 64, got 48"),
        (lambda: pack(Net(), "int4", leave=("heads",)), ValueError, "'heads', which fits none of .*body.0"),
        (lambda: pack(Net(), "int4", leave=("*",)), ValueError, "leave fits all"),
        (lambda: pack(nn.ReLU(), "int8"), ValueError, "ReLU has 0 nn.Linear"),
        (lambda: pack(broken(float("nan")), "int4"), ValueError, "^1: .*NaN"),
        (lambda: pack(broken(float("inf")), "int8"), ValueError, "^1: .*infinite"),
        (lambda: Int8Linear(torch.ones(2, 3), torch.ones(2)), TypeError, "codes must be integers"),
        (lambda: Int8Linear(torch.full((2, 3), -128), torch.ones(2)), ValueError, "-127..127, got -128"),
        (lambda: Int8Linear(torch.ones(2, 3, dtype=int), torch.ones(3)), ValueError, r"scales .*\(2,\), got \(3,\)"),
        (lambda: Int4Linear(torch.full((2, 3), 16), torch.ones(2, 1), torch.ones(2, 1)), ValueError, "0..15, got 16"),
        (lambda: Int4Linear(torch.ones(2, 33, dtype=int), torch.ones(2, 1), torch.ones(2, 1)), ValueError, r"\(2, 2\)"),
        (
            lambda: Int4Linear(torch.ones(2, 3, dtype=int), torch.ones(2, 1), torch.full((2, 1), torch.nan)),
            ValueError,
            "zeros must be finite",
        ),
        (lambda: Int8Linear(torch.ones(0, 3, dtype=int), torch.ones(0)), ValueError, r"neither 0, got \(0, 3\)"),
        (lambda: Int8Linear.from_linear(linear(4, 5))(torch.ones(2, 4)), ValueError, r"\(..., 5\), got \(2, 4\)"),
        (lambda: Int4Linear.from_linear(linear(4, 5))(torch.ones(2, 6)), ValueError, r"\(..., 5\), got \(2, 6\)"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_by_name(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


def test_a_state_that_does_not_fit_is_refused_by_name():
    layer = Int4Linear.from_linear(linear(8, 10))
    state = layer.state_dict()
    for change, words in (
        ({"codes": state["codes"].int()}, r"codes must be uint8 of shape \(8, 5\), got torch.int32"),
        ({"codes": state["codes"][:, :4]}, r"got torch.uint8 of shape \(8, 4\)"),
        ({"zeros": state["zeros"] * torch.nan}, "zeros must be finite"),
        ({"scales": state["scales"][:4]}, r"scales must have shape \(8, 1\)"),
    ):
        with pytest.raises(RuntimeError, match=words):
            layer.load_state_dict({**state, **change})
    del state["zeros"]
    with pytest.raises(RuntimeError, match=r"Missing key.*zeros"):
        layer.load_state_dict(state)
    with pytest.raises(RuntimeError, match=r"Unexpected key.*more"):
        layer.load_state_dict({**layer.state_dict(), "more": state["scales"]})
