"""MXFP4 beside a table of all codes, brute force over sixteen codes in float64, and transformers' conversion."""

from __future__ import annotations

import math

import pytest
import torch

from breadth.quant.mxfp4 import VALUES, decode_mxfp4, encode_mxfp4

ALL = [*VALUES, *(-value for value in VALUES)]


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_every_code_at_every_scale_is_its_value_times_a_power_of_two(dtype):
    codes = torch.arange(32) % 16
    blocks = (codes[0::2] | (codes[1::2] << 4)).to(torch.uint8).expand(253, 1, 16)
    scales = torch.arange(253, dtype=torch.uint8)[:, None]
    ours = decode_mxfp4(blocks, scales, dtype=dtype)
    for scale in range(253):
        expected = [math.ldexp(ALL[code], scale - 127) for code in codes.tolist()]
        assert ours[scale].tolist() == expected
    assert ours[0].signbit()[8], "minus zero has a code of its own"


def test_scale_255_is_not_a_number():
    assert (
        decode_mxfp4(torch.full((1, 16), 0x22, dtype=torch.uint8), torch.tensor([255], dtype=torch.uint8)).isnan().all()
    )


def test_numbers_become_the_nearest_code_and_ties_the_even_one():
    x = torch.cat((draw(40, 64, seed=1) * torch.logspace(-30, 30, 40)[:, None], torch.zeros(1, 64)))
    x[1, :32] = torch.tensor([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 6.0] * 4)  # halfway between neighbours
    x[1, 16:32] *= -1
    blocks, scales = encode_mxfp4(x)
    codes = torch.stack((blocks & 15, blocks >> 4), -1).flatten(-3)
    exact = x.double()
    for row, code_row, scale_row in zip(exact.tolist(), codes.tolist(), scales.tolist(), strict=True):
        for at, (value, code) in enumerate(zip(row, code_row, strict=True)):
            power = math.ldexp(1.0, scale_row[at // 32] - 127)
            far = [abs(min(abs(value) / power, 6.0) - candidate) for candidate in VALUES]
            best = [i for i, d in enumerate(far) if d == min(far)]
            assert code & 7 == min(best, key=lambda i: i % 2)
            assert (code >> 3) == int(math.copysign(1.0, value) < 0)


def test_the_scale_leaves_the_largest_number_between_four_and_eight():
    x = draw(100, 32, seed=2).double()
    _, scales = encode_mxfp4(x)
    top = x.abs().amax(-1) / torch.exp2(scales[:, 0].double() - 127)
    assert ((top >= 4) & (top < 8)).all()


def test_what_was_decoded_is_encoded_to_the_same_numbers():
    g = torch.Generator().manual_seed(3)
    blocks = torch.randint(0, 256, (5, 7, 4, 16), generator=g, dtype=torch.uint8)
    scales = torch.randint(100, 140, (5, 7, 4), generator=g, dtype=torch.uint8)
    x = decode_mxfp4(blocks, scales, dtype=torch.float32)
    again = decode_mxfp4(*encode_mxfp4(x), dtype=torch.float32)
    assert torch.equal(x, again)


def test_decoding_is_transformers_conversion_bit_for_bit():
    theirs = pytest.importorskip("transformers.integrations.mxfp4")
    g = torch.Generator().manual_seed(4)
    blocks = torch.randint(0, 256, (3, 10, 4, 16), generator=g, dtype=torch.uint8)
    scales = torch.randint(100, 140, (3, 10, 4), generator=g, dtype=torch.uint8)
    for dtype in (torch.float32, torch.bfloat16):
        peer = theirs._convert_moe_packed_tensors(blocks.clone(), scales.clone(), dtype=dtype)
        assert torch.equal(decode_mxfp4(blocks, scales, dtype=dtype), peer.transpose(1, 2))


def test_a_matrix_and_a_stack_of_matrices_are_decoded_alike():
    blocks = torch.randint(0, 256, (6, 2, 16), generator=torch.Generator().manual_seed(5), dtype=torch.uint8)
    scales = torch.full((6, 2), 127, dtype=torch.uint8)
    assert torch.equal(decode_mxfp4(blocks, scales), decode_mxfp4(blocks[None], scales[None])[0])
    assert torch.equal(decode_mxfp4(blocks[0], scales[0]), decode_mxfp4(blocks, scales)[0])


def test_what_does_not_fit_is_refused():
    blocks, scales = torch.zeros(2, 3, 16, dtype=torch.uint8), torch.zeros(2, 3, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"\(\.\.\., groups, 16\)"):
        decode_mxfp4(blocks, scales[:, :2])
    with pytest.raises(TypeError, match="blocks must be uint8"):
        decode_mxfp4(blocks.int(), scales)
    with pytest.raises(ValueError, match="multiple of 32"):
        encode_mxfp4(torch.ones(3, 33))
    with pytest.raises(ValueError, match="must be finite"):
        encode_mxfp4(torch.full((1, 32), math.nan))
    with pytest.raises(TypeError, match="floating point"):
        encode_mxfp4(torch.ones(1, 32, dtype=torch.int64))
