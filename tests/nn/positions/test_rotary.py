"""Rotary embedding beside complex numbers, its relations, and the frequencies of longer contexts."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import torch

from breadth.nn.positions import (
    NoPE,
    RoPE,
    linear_frequencies,
    llama3_frequencies,
    ntk_frequencies,
    rope_frequencies,
    rotate,
    yarn_frequencies,
    yarn_mscale,
)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def as_complex(x, positions, *, base=10_000.0, interleaved=False):
    """x e^(i p theta) with pairs as complex numbers, NumPy."""
    x = x.numpy()
    n = x.shape[-1] // 2
    theta = np.array([base ** (-2 * i / (2 * n)) for i in range(n)])
    turn = np.exp(1j * np.asarray(positions, dtype=np.float64)[..., None] * theta)
    if interleaved:
        z = (x[..., 0::2] + 1j * x[..., 1::2]) * turn
        return torch.tensor(np.stack((z.real, z.imag), -1).reshape(x.shape))
    z = (x[..., :n] + 1j * x[..., n:]) * turn
    return torch.tensor(np.concatenate((z.real, z.imag), -1))


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("start", [0, 3, 4000])
def test_rotation_is_multiplication_by_a_complex_number(interleaved, start):
    x = draw(2, 3, 7, 8)
    ours = RoPE(8, interleaved=interleaved)(x, start=start)
    expected = as_complex(x, np.arange(start, start + 7), interleaved=interleaved)
    # angles up to 4000 carry errors of 4000 eps
    torch.testing.assert_close(ours, expected, rtol=0, atol=2e-12 if start else 1e-14)


@pytest.mark.parametrize("interleaved", [False, True])
def test_scores_depend_on_the_difference_of_positions_alone_and_lengths_stay(interleaved):
    rope = RoPE(16, interleaved=interleaved)
    q, k = draw(1, 2, 6, 16), draw(1, 2, 6, 16, seed=1)
    scores = [rope(q, start=s) @ rope(k, start=s).mT for s in (0, 1, 1000)]
    torch.testing.assert_close(scores[1], scores[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(scores[2], scores[0], rtol=1e-11, atol=1e-11)  # angles of 1000: 1000 eps
    assert not torch.allclose(rope(q, start=1) @ rope(k).mT, scores[0])
    torch.testing.assert_close(rope(q, start=500).norm(dim=-1), q.norm(dim=-1), rtol=1e-13, atol=0)
    assert torch.equal(rope(q)[:, :, 0], q[:, :, 0])  # position 0 is not turned


def test_the_two_layouts_differ_by_a_permutation_of_features():
    x = draw(1, 2, 5, 8)
    order = torch.tensor([0, 4, 1, 5, 2, 6, 3, 7])  # pair i's features beside each other
    halves, interleaved = RoPE(8)(x), RoPE(8, interleaved=True)(x[..., order])
    torch.testing.assert_close(interleaved, halves[..., order], rtol=0, atol=1e-15)


def test_part_of_the_features_can_be_turned():
    x = draw(2, 2, 5, 12)
    for interleaved in (False, True):
        ours = RoPE(8, interleaved=interleaved)(x)
        torch.testing.assert_close(ours[..., :8], RoPE(8, interleaved=interleaved)(x[..., :8]), rtol=0, atol=0)
        assert torch.equal(ours[..., 8:], x[..., 8:])


def test_positions_of_each_sequence_are_rows_of_the_table():
    rope, x = RoPE(8), draw(2, 3, 4, 8)
    each = torch.tensor([[0, 1, 2, 3], [0, 0, 7, 300]])
    ours = rope(x, positions=each)
    for b in range(2):
        torch.testing.assert_close(ours[b], as_complex(x[b], each[b].numpy()), rtol=0, atol=1e-13)
    torch.testing.assert_close(rope(x, positions=each[0]), rope(x), rtol=0, atol=1e-15)
    cos, sin = rope.tables(x, positions=each)
    assert cos.shape == (2, 1, 4, 4)
    assert torch.equal(rotate(x, cos, sin), ours)
    assert torch.equal(NoPE()(x, positions=each), x)


def test_decoding_with_a_start_gives_the_rows_of_the_whole():
    rope, x = RoPE(8), draw(1, 2, 200, 8)
    rows = torch.cat([rope(x[:, :, t : t + 1], start=t) for t in range(200)], 2)
    assert torch.equal(rows, rope(x))
    assert rope(x[:, :, :0]).shape == (1, 2, 0, 8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_far_positions_keep_their_angles_in_every_precision(dtype):
    x = draw(1, 2, 3, 64).to(dtype)
    rope = RoPE(64).to(dtype)  # rounds no frequency
    ours = rope(x, start=100_000)
    assert ours.dtype == dtype
    expected = as_complex(x.double(), np.arange(100_000, 100_003))
    # one rounding of the result and a few of float32; frequencies in float32 would be off by 0.004
    torch.testing.assert_close(ours.double(), expected, rtol=torch.finfo(dtype).eps / 2, atol=4e-7)


def test_gradients_are_turned_back():
    x = draw(1, 1, 5, 8).requires_grad_()
    rope = RoPE(8)
    with torch.inference_mode():
        rope(x)  # a table that was made here serves training as well
    g = draw(1, 1, 5, 8, seed=1)
    (found,) = torch.autograd.grad(rope(x), x, g)
    torch.testing.assert_close(found, as_complex(g, -np.arange(5)), rtol=0, atol=1e-14)


def test_strides_copies_and_pickles():
    rope, x = RoPE(8, mscale=1.25), draw(2, 5, 3, 8)
    strided = x.transpose(1, 2)
    assert torch.equal(rope(strided), rope(strided.contiguous()))
    one = x[:, :1].transpose(1, 2).expand(2, 3, 4, 8)
    assert torch.equal(rope(one), rope(one.contiguous()))
    expected = 1.25 * as_complex(x.transpose(1, 2), np.arange(5))
    torch.testing.assert_close(rope(strided), expected, rtol=0, atol=1e-14)
    for other in (copy.deepcopy(rope), pickle.loads(pickle.dumps(rope))):
        assert torch.equal(other(strided), rope(strided))
    assert not rope.state_dict()


def test_frequencies_are_powers_of_the_base():
    found = rope_frequencies(6, base=5e5)
    expected = torch.tensor([5e5 ** (-2 * i / 6) for i in range(3)], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-15, atol=0)
    assert rope_frequencies(2).tolist() == [1.0]


def test_every_stretching_by_one_is_none_and_the_slowest_pair_slows_by_the_factor():
    plain = rope_frequencies(32)
    stretched = {
        "linear": lambda factor: linear_frequencies(32, factor=factor),
        "ntk": lambda factor: ntk_frequencies(32, factor=factor),
        "yarn": lambda factor: yarn_frequencies(32, factor=factor, original=2048),
        "llama3": lambda factor: llama3_frequencies(32, factor=factor, original=2048, base=10_000.0),
    }
    for name, frequencies in stretched.items():
        torch.testing.assert_close(frequencies(1.0), plain, rtol=1e-15, atol=0)
        ratio = plain / frequencies(8.0)
        assert ratio[-1] == pytest.approx(8, rel=1e-14), name
        assert ratio[0] == pytest.approx(8 if name == "linear" else 1, rel=1e-14), name
        assert (ratio.diff() >= -1e-12).all(), name


def test_yarn_and_llama3_keep_pairs_by_their_turns_in_the_trained_context():
    plain = rope_frequencies(64)
    turns = 4096 * plain / (2 * math.pi)
    ratio = plain / yarn_frequencies(64, factor=4, original=4096, truncate=False)
    assert torch.equal((ratio - 1).abs() < 1e-14, turns >= 32)
    assert torch.equal((ratio - 4).abs() < 1e-13, turns <= 1)
    ratio = plain / llama3_frequencies(64, factor=4, original=4096, base=10_000.0)
    assert torch.equal((ratio - 1).abs() < 1e-14, turns >= 4)
    assert torch.equal((ratio - 4).abs() < 1e-13, turns <= 1)
    ratio = plain / llama3_frequencies(
        64, factor=4, original=4096, base=10_000.0, low_freq_factor=1.0, high_freq_factor=1.0
    )
    assert torch.equal((ratio - 1).abs() < 1e-14, turns > 1), "nothing is blended between equal borders"
    assert torch.equal((ratio - 4).abs() < 1e-13, turns <= 1)


def test_linear_interpolation_is_a_smaller_position():
    x = draw(1, 1, 1, 8)
    near = RoPE(8)(x, start=25)
    torch.testing.assert_close(
        RoPE(8, frequencies=linear_frequencies(8, factor=4))(x, start=100), near, rtol=0, atol=1e-14
    )


def test_mscale_multiplies_scores_by_its_square():
    m = yarn_mscale(16)
    assert m == pytest.approx(1 + 0.1 * math.log(16), rel=1e-15)
    assert yarn_mscale(1) == yarn_mscale(0.5) == 1
    assert yarn_mscale(16, 0.5) == pytest.approx(1 + 0.05 * math.log(16), rel=1e-15)
    q, k = draw(1, 1, 4, 8), draw(1, 1, 4, 8, seed=1)
    plain, sharp = RoPE(8), RoPE(8, mscale=m)
    torch.testing.assert_close(sharp(q) @ sharp(k).mT, m * m * (plain(q) @ plain(k).mT), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RoPE(7), "dim must be even and >= 2, got 7"),
        (lambda: RoPE(8, base=1.0), "base must be > 1, got 1.0"),
        (lambda: RoPE(8, mscale=0.0), "mscale must be > 0"),
        (lambda: RoPE(8, frequencies=torch.ones(3)), r"frequencies must have shape \(4,\), got \(3,\)"),
        (lambda: RoPE(8)(torch.zeros(2, 3, 8)), "x must have shape"),
        (lambda: RoPE(8)(torch.zeros(1, 2, 3, 6)), "x must be at least twice as wide as cos and sin"),
        (lambda: RoPE(8)(torch.zeros(1, 2, 3, 8), start=-2), "start must be >= 0, got -2"),
        (lambda: RoPE(8)(torch.zeros(1, 2, 3, 8), positions=torch.zeros(4, dtype=torch.int64)), "positions must have"),
        (lambda: linear_frequencies(8, factor=0.5), "factor must be >= 1 and finite, got 0.5"),
        (lambda: ntk_frequencies(2, factor=2.0), "dim must be >= 4, got 2"),
        (lambda: yarn_frequencies(8, factor=2.0, original=0), "original must be >= 1, got 0"),
        (lambda: yarn_frequencies(8, factor=2.0, original=9, beta_fast=0.5), "beta_slow and beta_fast"),
        (lambda: yarn_mscale(2.0, -1.0), "mscale must be >= 0, got -1.0"),
        (lambda: llama3_frequencies(8, factor=2.0, original=9, low_freq_factor=4.5), "low_freq_factor and high"),
        (lambda: llama3_frequencies(8, factor=math.inf, original=9), "factor must be >= 1 and finite"),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
