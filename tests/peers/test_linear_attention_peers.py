"""Linear kinds of attention beside numbers that other packages gave once for the same inputs.

performer-pytorch 1.1.4 and linformer 0.2.3, torch 2.13.0, CPU, float32. The packages are not needed here. Inputs are
`wave`, which needs no generator of random numbers.
"""

from __future__ import annotations

import math

import pytest
import torch

from breadth.nn.attention.linear import linear_attention
from breadth.nn.attention.linformer import linformer_attention
from breadth.nn.attention.performer import performer_attention

FLOAT32 = 1e-6  # absolute, of averages within [-1, 1]: the peers sum a few dozen terms in float32

# performer_pytorch.linear_attention and causal_linear_attention_noncuda(eps=0) of elu + 1
LINEAR = [
    0.032625463,
    0.32534617,
    0.4650515,
    0.38603586,
    0.065178402,
    0.27907237,
    0.36171427,
    0.27423629,
    0.0068543782,
    0.33653799,
    0.50794256,
    0.44045377,
    0.088860556,
    0.27179226,
    0.32689586,
    0.22825521,
    -0.013277029,
    0.33722302,
    0.52912188,
    0.47216639,
    0.51012379,
    0.48901901,
    0.23792097,
    -0.12507504,
    0.26628372,
    0.31689873,
    0.21847136,
    0.017293505,
    0.47151664,
    0.46663746,
    0.24229142,
    -0.096008077,
    0.33911788,
    0.36530644,
    0.21968566,
    -0.029256687,
    0.41354734,
    0.42809767,
    0.24130704,
    -0.058974076,
]
LINEAR_CAUSAL = [
    0.56464255,
    0.9635582,
    0.90929747,
    0.42737991,
    0.34403074,
    0.48428282,
    0.39676911,
    0.12264874,
    0.18352346,
    0.57760751,
    0.70003372,
    0.49322313,
    0.23786813,
    0.33618709,
    0.27639198,
    0.086605422,
    -0.013277021,
    0.33722302,
    0.52912176,
    0.47216633,
    0.89479125,
    0.39674056,
    -0.28790331,
    -0.83714163,
    -0.13341898,
    -0.19054177,
    -0.15804981,
    -0.051224492,
    0.57849538,
    0.41784111,
    0.060669605,
    -0.32503572,
    0.22304133,
    0.11048853,
    -0.054028716,
    -0.19313543,
    0.41354734,
    0.42809767,
    0.24130704,
    -0.058974076,
]
# the same of its softmax_kernel(eps=0) with projection 1.5 wave(6, 4, phase=0.9)
PERFORMER = [
    0.12568046,
    0.60623008,
    0.80166036,
    0.62005717,
    0.0089054815,
    -0.51360095,
    -0.7945528,
    -0.70181412,
    0.032980222,
    0.54078496,
    0.79425013,
    0.67416698,
    0.079238214,
    -0.39454374,
    -0.68276566,
    -0.64987212,
    -0.043804176,
    0.38488984,
    0.63256413,
    0.58273363,
    0.57626671,
    0.51250076,
    0.20769763,
    -0.19478886,
    -0.38123232,
    -0.39074901,
    -0.2164903,
    0.059587147,
    0.70352209,
    0.76632178,
    0.46870834,
    -0.049345911,
    -0.53444326,
    -0.6075018,
    -0.3948428,
    0.0035170063,
    0.66525066,
    0.77674025,
    0.52291662,
    0.023157286,
]
PERFORMER_CAUSAL = [
    0.56464249,
    0.96355832,
    0.90929747,
    0.42737991,
    -0.22173062,
    -0.74482429,
    -0.91761553,
    -0.6588378,
    0.22377804,
    0.73173058,
    0.89553881,
    0.63816118,
    0.10365261,
    -0.40491349,
    -0.72304249,
    -0.70111334,
    -0.043804187,
    0.38488978,
    0.63256407,
    0.58273357,
    0.89479125,
    0.39674059,
    -0.28790334,
    -0.83714175,
    -0.4059251,
    -0.34618902,
    -0.12363477,
    0.15706682,
    0.84275734,
    0.65850735,
    0.1645509,
    -0.40679634,
    -0.56988508,
    -0.65626824,
    -0.43399802,
    -0.0076118959,
    0.66525066,
    0.77674025,
    0.52291662,
    0.023157278,
]
# LinformerSelfAttention(8, seq_len=6, k=3, heads=2) with the weights of the test and the identity as to_out
LINFORMER = [
    2.2992377,
    0.87068433,
    -0.94869143,
    -2.3422296,
    -2.6872039,
    -1.8236369,
    -0.141497,
    1.6041559,
    2.2741251,
    0.86008286,
    -0.94002289,
    -2.3181822,
    -2.6707382,
    -1.8119215,
    -0.13979049,
    1.5950875,
    1.8377666,
    0.68141222,
    -0.78080618,
    -1.8925455,
    -2.3954997,
    -1.6178797,
    -0.11404463,
    1.440981,
    0.2172571,
    0.036389649,
    -0.16081144,
    -0.28582969,
    -0.33189857,
    -0.18646549,
    0.042666502,
    0.25264648,
    0.16745654,
    0.016853977,
    -0.14131327,
    -0.23604979,
    -0.22506468,
    -0.11285359,
    0.050014358,
    0.19043206,
]


def wave(*shape, phase):
    """sin(0.7 n + phase) in row-major order, rounded to float32 as the peer got it."""
    n = torch.arange(math.prod(shape), dtype=torch.float64)
    return torch.sin(0.7 * n + phase).reshape(shape).float().double()


def qkv():
    return [wave(1, 2, 5, 4, phase=phase) for phase in (0.4, 0.5, 0.6)]


def assert_equal(ours, frozen, atol=FLOAT32):
    expected = torch.tensor(frozen, dtype=torch.float64)
    torch.testing.assert_close(ours.flatten(), expected, rtol=0, atol=atol)


@pytest.mark.parametrize(("causal", "frozen"), [(False, LINEAR), (True, LINEAR_CAUSAL)])
def test_linear_attention_is_that_of_performer_pytorch(causal, frozen):
    assert_equal(linear_attention(*qkv(), causal=causal, chunk=2), frozen)


@pytest.mark.parametrize(("causal", "frozen"), [(False, PERFORMER), (True, PERFORMER_CAUSAL)])
def test_favor_is_that_of_performer_pytorch(causal, frozen):
    projection = 1.5 * wave(6, 4, phase=0.9)
    assert_equal(performer_attention(*qkv(), projection, causal=causal, chunk=2), frozen)


def test_linformer_is_that_of_its_namesake():
    x = wave(1, 5, 8, phase=0.7)
    q, k, v = ((x @ wave(8, 8, phase=p).mT).unflatten(-1, (2, 4)).transpose(1, 2) for p in (0.1, 0.2, 0.3))
    # the peer keeps its projections as (n, k)
    ours = linformer_attention(q, k, v, wave(6, 3, phase=0.5).mT, wave(6, 3, phase=0.6).mT)
    assert_equal(ours.transpose(1, 2), LINFORMER, atol=5e-6)  # values up to 2.7, from sums of products of 8
