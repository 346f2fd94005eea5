"""Positions beside numbers that transformers 5.24.0 (torch 2.13.0, CPU, float32) gave once for the same inputs.

The package is not needed here. Inputs are `wave`, which needs no generator of random numbers.
"""

from __future__ import annotations

import math

import pytest
import torch

from breadth.nn.positions import (
    RelativePositionBias,
    RoPE,
    TransformerXLAttention,
    alibi_slopes,
    linear_frequencies,
    llama3_frequencies,
    ntk_frequencies,
    rope_frequencies,
    t5_buckets,
    yarn_frequencies,
    yarn_mscale,
)

FLOAT32 = 5e-7  # relative: the peer's powers, quotients and blends are each rounded to float32, eps 1.2e-7


def wave(*shape, phase):
    """sin(0.7 n + phase) in row-major order, rounded to float32 as the peer got it."""
    n = torch.arange(math.prod(shape), dtype=torch.float64)
    return torch.sin(0.7 * n + phase).reshape(shape).float().double()


def assert_equal(ours, frozen, *, rtol, atol=0.0):
    expected = torch.tensor(frozen, dtype=torch.float64)
    torch.testing.assert_close(ours.detach().double().flatten(), expected, rtol=rtol, atol=atol)


# ROPE_INIT_FUNCTIONS of transformers.modeling_rope_utils
DEFAULT = [1, 0.1, 0.0099999998, 0.001]
LINEAR = [0.25, 0.025, 0.0024999999, 0.00025000001]
DYNAMIC = [1, 0.069336124, 0.0048074983, 0.00033333333]
YARN = [1, 0.31622776, 0.081250004, 0.019764237, 0.004375, 0.00079056947, 0.00025000001, 7.9056947e-05]
YARN_UNTRUNCATED = [1, 0.31622776, 0.085398637, 0.019126777, 0.0035569714, 0.00079056947, 0.00025000001, 7.9056947e-05]
YARN_DEEPSEEK = [1, 0.31622776, 0.1, 0.031622779, 0.0067499992, 0.0011067971, 2.4999999e-05, 7.9056945e-06]
LLAMA3 = [1, 0.19392276, 0.037606031, 0.0072926651, 0.00052484602, 3.4281024e-05, 6.6478697e-06, 1.2891732e-06]
# apply_rotary_pos_emb of Llama and of GPT-J, wave(1, 2, 3, 8, phase=0.3) at positions 5, 6 and 1000
LLAMA_TURNED = [
    0.12370062, 1.0318005, 1.0392816, 0.67987198, -0.27158666, -0.13353315, -0.92674589, -0.88006628, -0.17374137,
    0.24313693, 0.886388, 0.99522603, 0.74103028, 0.19635753, -0.57295024, -0.9749825, -1.3082776, 0.02037558,
    -0.27044237, 1.0011554, -0.16895366, 0.74215049, -0.1848347, 0.37818915, 0.55286288, -1.2327515, -0.37391046,
    0.34335488, 1.1897616, 0.44770047, 0.6195091, -0.0071346308, -0.52470815, -1.3090962, -0.91597229, -0.33037549,
    0.52664608, 0.16564143, 0.92750692, 0.62240607, 0.24247675, -0.38252866, 1.3110946, -1.2816455, -0.19595011,
    0.65915251, -0.20332861, -0.18716383,
]  # fmt: skip
GPTJ_TURNED = [
    0.89073485, -0.044688016, 0.54643345, 1.0682042, 0.072108842, -0.60901505, -0.97310066, -0.88833123, -0.27193576,
    0.40359968, 0.14326197, 1.2967453, 0.6602906, 0.064485133, -0.61917377, -0.98466897, -0.19612351, -0.92535418,
    0.71743745, 0.57504964, -0.47420189, -1.0824628, 0.54125077, -0.33806977, -1.1107233, 0.69765133, -0.46514896,
    0.13709322, 0.8173849, 1.0260412, 0.63745886, -0.0056640985, -0.90079415, -0.76571798, -0.52428937, -0.75444609,
    0.30589089, 0.89583552, 0.9769994, 0.63025039, 0.53431278, -0.39443424, -1.2836485, -0.231902, 0.46454212,
    -0.14537443, -0.3448481, 1.2718117,
]  # fmt: skip
# _get_alibi_slopes of BLOOM, build_mpt_alibi_tensor of MPT
BLOOM_12 = [
    0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625, 0.70710677, 0.35355338, 0.17677668, 0.088388339,
]  # fmt: skip
MPT_12 = [
    0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625, 0.70710677, 0.35355338, 0.17677669, 0.088388346,
]  # fmt: skip
BLOOM_5 = [0.25, 0.0625, 0.015625, 0.00390625, 0.5]
MPT_3 = [0.0625, 0.00390625, 0.25]
# T5Attention._relative_position_bucket over -3000 ... 3000: (distance, bucket) wherever the bucket changes
T5 = {
    (True, 32, 128): [
        (-3000, 15),
        (-90, 14),
        (-63, 13),
        (-45, 12),
        (-31, 11),
        (-22, 10),
        (-15, 9),
        (-11, 8),
        (-7, 7),
        (-6, 6),
        (-5, 5),
        (-4, 4),
        (-3, 3),
        (-2, 2),
        (-1, 1),
        (0, 0),
        (1, 17),
        (2, 18),
        (3, 19),
        (4, 20),
        (5, 21),
        (6, 22),
        (7, 23),
        (8, 24),
        (12, 25),
        (16, 26),
        (23, 27),
        (32, 28),
        (46, 29),
        (64, 30),
        (91, 31),
    ],
    (True, 16, 64): [
        (-3000, 7),
        (-31, 6),
        (-15, 5),
        (-7, 4),
        (-3, 3),
        (-2, 2),
        (-1, 1),
        (0, 0),
        (1, 9),
        (2, 10),
        (3, 11),
        (4, 12),
        (8, 13),
        (16, 14),
        (32, 15),
    ],
    (True, 12, 100): [
        (-3000, 5),
        (-31, 4),
        (-9, 3),
        (-2, 2),
        (-1, 1),
        (0, 0),
        (1, 7),
        (2, 8),
        (3, 9),
        (10, 10),
        (32, 11),
    ],
    (False, 32, 128): [
        (-3000, 31),
        (-112, 30),
        (-98, 29),
        (-86, 28),
        (-76, 27),
        (-66, 26),
        (-58, 25),
        (-51, 24),
        (-45, 23),
        (-39, 22),
        (-34, 21),
        (-30, 20),
        (-26, 19),
        (-23, 18),
        (-20, 17),
        (-18, 16),
        (-15, 15),
        (-14, 14),
        (-13, 13),
        (-12, 12),
        (-11, 11),
        (-10, 10),
        (-9, 9),
        (-8, 8),
        (-7, 7),
        (-6, 6),
        (-5, 5),
        (-4, 4),
        (-3, 3),
        (-2, 2),
        (-1, 1),
        (0, 0),
    ],
    (False, 16, 64): [
        (-3000, 15),
        (-49, 14),
        (-38, 13),
        (-29, 12),
        (-22, 11),
        (-17, 10),
        (-13, 9),
        (-10, 8),
        (-7, 7),
        (-6, 6),
        (-5, 5),
        (-4, 4),
        (-3, 3),
        (-2, 2),
        (-1, 1),
        (0, 0),
    ],
    (False, 12, 100): [
        (-3000, 11),
        (-62, 10),
        (-39, 9),
        (-24, 8),
        (-15, 7),
        (-9, 6),
        (-5, 5),
        (-4, 4),
        (-3, 3),
        (-2, 2),
        (-1, 1),
        (0, 0),
    ],
}
# T5Attention.compute_bias(3, 5) with 8 buckets, max_distance 20, weight wave(8, 2, phase=1.0)
T5_BIAS = [
    0.84147096, 0.98935825, 0.024775425, 0.024775425, 0.024775425, 0.6754632, 0.84147096, 0.98935825, 0.024775425,
    0.024775425, -0.61185789, 0.6754632, 0.84147096, 0.98935825, 0.024775425, 0.99166483, 0.66296923, -0.62507063,
    -0.62507063, -0.62507063, 0.041580662, 0.99166483, 0.66296923, -0.62507063, -0.62507063, -0.97753012, 0.041580662,
    0.99166483, 0.66296923, -0.62507063,
]  # fmt: skip
# XLNetRelativeAttention.rel_attn_core, d_model 8, 2 heads, 3 queries and 5 keys, as the test has them
XLNET = [
    -0.043302447, 0.5125668, 0.82736784, 0.75304496, -0.0039390922, 0.065491065, 0.10411974, 0.093779296, 0.40104654,
    0.83380771, 0.87441605, 0.50377297, -0.19588846, -0.34136569, -0.32629323, -0.15775998, -0.4914434, -0.50910652,
    -0.28732893, 0.069583975, 0.81018949, 0.37559339, -0.23565009, -0.7360636,
]  # fmt: skip
XLNET_CAUSAL = [
    0.08139585, 0.67005193, 0.94357204, 0.77331555, 0.15012476, 0.094940029, -0.0048964769, -0.10243006, 0.40104654,
    0.83380771, 0.87441605, 0.50377297, 0.75787276, 0.49046397, -0.0076176822, -0.50211662, -0.5554173, -0.59487134,
    -0.35454816, 0.052524589, 0.81018949, 0.37559339, -0.23565009, -0.7360636,
]  # fmt: skip


@pytest.mark.parametrize(
    ("ours", "frozen"),
    [
        (rope_frequencies(8), DEFAULT),
        (linear_frequencies(8, factor=4.0), LINEAR),
        # trained at 32, read at 64, factor 2: 2 * 64 / 32 - (2 - 1)
        (ntk_frequencies(8, factor=3.0), DYNAMIC),
        (yarn_frequencies(16, factor=4.0, original=1024), YARN),
        (yarn_frequencies(16, factor=4.0, original=1024, truncate=False), YARN_UNTRUNCATED),
        (yarn_frequencies(16, factor=40.0, original=4096, beta_fast=16, beta_slow=2), YARN_DEEPSEEK),
        (llama3_frequencies(16, factor=8.0, original=8192), LLAMA3),
    ],
)
def test_frequencies_are_those_of_transformers(ours, frozen):
    assert_equal(ours, frozen, rtol=FLOAT32)


def test_attention_factors_are_those_of_transformers():
    assert yarn_mscale(4.0) == pytest.approx(1.138629436111989, rel=1e-15)
    # mscale 1 over mscale_all_dim 0.5 at factor 40, as DeepSeek's configuration has them
    assert yarn_mscale(40.0, 1.0) / yarn_mscale(40.0, 0.5) == pytest.approx(1.1557219901962608, rel=1e-15)


@pytest.mark.parametrize(("interleaved", "frozen"), [(False, LLAMA_TURNED), (True, GPTJ_TURNED)])
def test_queries_are_turned_as_by_llama_and_gpt_j(interleaved, frozen):
    x = wave(1, 2, 3, 8, phase=0.3)
    ours = RoPE(8, interleaved=interleaved)(x, positions=torch.tensor([5, 6, 1000]))
    assert_equal(ours, frozen, rtol=0, atol=4e-5)  # the peer's angle of 1000 has float32's error, 3e-5
    near = torch.arange(48).reshape(2, 3, 8)[:, :2].flatten()
    assert_equal(ours.flatten()[near], [frozen[i] for i in near.tolist()], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("n", "frozen"), [(12, BLOOM_12), (12, MPT_12), (5, BLOOM_5), (3, MPT_3)])
def test_slopes_are_those_of_bloom_and_mpt(n, frozen):
    assert_equal(alibi_slopes(n), frozen, rtol=FLOAT32)


@pytest.mark.parametrize(("bidirectional", "n_buckets", "max_distance"), list(T5))
def test_buckets_change_where_those_of_t5_do(bidirectional, n_buckets, max_distance):
    distances = torch.arange(-3000, 3001)
    found = t5_buckets(distances, n_buckets=n_buckets, max_distance=max_distance, bidirectional=bidirectional)
    changes = [0, *(torch.nonzero(found.diff()).flatten() + 1).tolist()]
    assert [(i - 3000, int(found[i])) for i in changes] == T5[bidirectional, n_buckets, max_distance]


def test_the_bias_is_that_of_t5():
    layer = RelativePositionBias(2, n_buckets=8, max_distance=20).double()
    with torch.no_grad():
        layer.weight.copy_(wave(8, 2, phase=1.0))
    # The peer's queries begin at position 0 and ours end at the last key's: rows 0 to 2 of five
    assert_equal(layer(5, 5)[:, :3], T5_BIAS, rtol=FLOAT32)


@pytest.mark.parametrize(("causal", "frozen"), [(False, XLNET), (True, XLNET_CAUSAL)])
def test_four_terms_are_those_of_xlnet(causal, frozen):
    layer = TransformerXLAttention(2, 4, 8).double()
    with torch.no_grad():
        layer.u.copy_(wave(2, 4, phase=0.1))
        layer.v.copy_(wave(2, 4, phase=0.2))
        layer.r_proj.weight.copy_(wave(8, 8, phase=0.7))
    q, k, v = wave(1, 2, 3, 4, phase=0.4), wave(1, 2, 5, 4, phase=0.5), wave(1, 2, 5, 4, phase=0.6)
    assert_equal(layer(q, k, v, causal=causal), frozen, rtol=0, atol=1e-6)
