"""Eight-bit blocks beside their definition in float64 and transformers' dequantiser."""

from __future__ import annotations

import pytest
import torch

from breadth.quant.fp8 import decode_fp8, encode_fp8


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("shape", "block"), [((5, 7), (2, 3)), ((256, 128), (128, 128)), ((130, 300), (128, 128)), ((1, 1), (4, 4))]
)
def test_each_number_is_multiplied_with_its_blocks_factor(shape, block):
    weight = draw(*shape).mul(20).to(torch.float8_e4m3fn)
    factors = draw(-(-shape[0] // block[0]), -(-shape[1] // block[1]), seed=1).abs()
    ours = decode_fp8(weight, factors, dtype=torch.float64, block=block)
    rows, columns = torch.arange(shape[0]) // block[0], torch.arange(shape[1]) // block[1]
    exact = weight.double() * factors.double()[rows][:, columns]
    torch.testing.assert_close(ours, exact, rtol=2**-23, atol=0)  # products in float32
    assert decode_fp8(weight, factors, block=block).dtype == torch.bfloat16


def test_rounded_numbers_come_back_within_a_sixteenth_or_half_of_the_smallest_step():
    weight = draw(200, 150, seed=2) * torch.logspace(-6, 6, 200)[:, None]
    weight[:128, :128] = 0
    quantised, factors = encode_fp8(weight)
    back = decode_fp8(quantised, factors, dtype=torch.float32)
    steps = factors.repeat_interleave(128, 0)[:200].repeat_interleave(128, 1)[:, :150] * 2.0**-9
    assert ((back - weight).abs() <= torch.maximum(weight.abs() / 16, steps / 2) * 1.0001).all()
    assert (back[:128, :128] == 0).all()
    assert factors[0, 0] == 1


def test_decoding_is_transformers_dequantiser():
    theirs = pytest.importorskip("transformers.integrations.finegrained_fp8")
    weight, factors = encode_fp8(draw(256, 384, seed=3))
    peer = theirs._dequantize_fp8_weight(weight, factors, (128, 128), torch.float32)
    assert torch.equal(decode_fp8(weight, factors, dtype=torch.float32), peer)


def test_what_does_not_fit_is_refused():
    weight = torch.zeros(4, 4, dtype=torch.float8_e4m3fn)
    with pytest.raises(ValueError, match=r"must have shape \(1, 1\), got \(2, 1\)"):
        decode_fp8(weight, torch.ones(2, 1))
    with pytest.raises(TypeError, match="float8_e4m3fn"):
        decode_fp8(weight.float(), torch.ones(1, 1))
    with pytest.raises(ValueError, match="block must be"):
        decode_fp8(weight, torch.ones(1, 1), block=(0, 128))
    with pytest.raises(ValueError, match="finite"):
        encode_fp8(torch.full((2, 2), float("inf")))
    with pytest.raises(ValueError, match="rows, columns"):
        encode_fp8(torch.ones(3))
