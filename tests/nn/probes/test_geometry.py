"""Receptive fields beside polynomials of kernels, and symmetries that hold, fail, or fail at the border only."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from breadth.nn.probes import (
    effective_receptive_field,
    equivariance_error,
    flip,
    interior,
    invariance_error,
    permutation,
    receptive_field,
    translation,
)

F64 = torch.float64


def boxes(depth, **settings):
    """Convolutions of one channel whose kernels are ones."""
    net = nn.Sequential(*(nn.Conv1d(1, 1, 3, bias=False, dtype=F64, **settings) for _ in range(depth)))
    with torch.no_grad():
        for layer in net:
            layer.weight.fill_(1)
    return net


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv1d(2, 3, 5), nn.ReLU(), nn.Conv1d(3, 3, 3, dilation=4)],
        [nn.Conv1d(2, 3, 3, stride=2), nn.Sequential(nn.AvgPool1d(2), nn.Conv1d(3, 2, 3, padding="same", dilation=2))],
        [nn.Conv1d(2, 3, 4, stride=3, padding=2), nn.BatchNorm1d(3), nn.Conv1d(3, 3, 2, stride=2), nn.AvgPool1d(3, 1)],
        [nn.Conv1d(2, 2, 1)],
    ],
)
def test_the_recursion_gives_the_support_of_the_gradient_and_its_centre_and_spacing(layers):
    torch.manual_seed(0)
    net = nn.Sequential(*layers).double().eval()
    net = nn.Sequential(*(m for m in net if not isinstance(m, nn.ReLU)))  # kinks would hide positions
    field = receptive_field(nn.Sequential(*layers))
    x = torch.randn(1, 2, 90, dtype=F64)
    first = 6  # far enough from both ends that nothing is cut off by the padding
    seen = [effective_receptive_field(net, x, at=(i,)) for i in (first, first + 1)]
    assert seen[0].support == field.size
    ends = [(s.energy.nonzero().min().item() + s.energy.nonzero().max().item()) / 2 for s in seen]
    assert ends[1] - ends[0] == field.jump[0]
    assert ends[0] == field.start[0] + first * field.jump[0]


def test_axes_of_space_are_apart_and_max_pools_count():
    net = nn.Sequential(nn.Conv2d(1, 4, (3, 5), stride=(1, 2)), nn.MaxPool2d((2, 3)), nn.Conv2d(4, 4, 3, padding=1))
    field = receptive_field(net)
    assert field.size == (3 + 1 + 2 * 2, 5 + 2 * 2 + 2 * 6)
    assert field.jump == (2, 6)
    assert receptive_field(nn.Conv3d(1, 1, 3)).size == (3, 3, 3)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (nn.Sequential(nn.Conv1d(1, 1, 3), nn.Linear(4, 4)), "holds a Linear, whose receptive field is not known"),
        (nn.Sequential(nn.Conv1d(1, 1, 3), nn.Conv2d(1, 1, 3)), "mixes 1 and 2 axes"),
        ([], "at least one convolution"),
        (nn.ReLU(), "at least one convolution"),
    ],
)
def test_stacks_whose_field_is_unknown_are_refused(layers, message):
    with pytest.raises(ValueError, match=message):
        receptive_field(layers)


@pytest.mark.parametrize("depth", [1, 4, 16])
def test_the_effective_field_is_the_power_of_the_kernels_polynomial_and_widens_as_the_root_of_depth(depth):
    found = effective_receptive_field(boxes(depth), torch.randn(3, 1, 101, dtype=F64))
    kernel = np.ones(1)
    for _ in range(depth):
        kernel = np.convolve(kernel, [1, 1, 1])
    middle = 50
    energy = np.zeros(101)
    energy[middle - depth : middle + depth + 1] = kernel**2
    np.testing.assert_allclose(found.energy.numpy(), energy, rtol=1e-12)
    assert found.support == (2 * depth + 1,) == receptive_field(boxes(depth)).size
    at = np.arange(-depth, depth + 1)
    spread = math.sqrt((at**2 * kernel**2).sum() / (kernel**2).sum())
    assert found.spread == (pytest.approx(spread, rel=1e-12),)
    # the kernel's variance is 2/3 a layer, half of that when squared; 15 %: the bell is not yet normal at depth 1
    assert spread == pytest.approx(math.sqrt(depth / 3), rel=0.15 if depth > 1 else 0.5)


def test_channels_examples_and_dead_outputs_are_summed_as_stated():
    torch.manual_seed(0)
    net = nn.Conv2d(2, 3, 3, padding=1, dtype=F64)
    found = effective_receptive_field(net, torch.randn(4, 2, 7, 7, dtype=F64), at=(3, 3))
    np.testing.assert_allclose(
        found.energy[2:5, 2:5].numpy(), net.weight.detach().square().sum((0, 1)).numpy(), rtol=1e-12
    )
    assert found.support == (3, 3)
    dead = effective_receptive_field(nn.Sequential(net, nn.Hardtanh(100.0, 101.0)), torch.randn(1, 2, 7, 7, dtype=F64))
    assert dead.support == (0, 0) and math.isnan(dead.spread[0])
    constant = effective_receptive_field(lambda x: torch.ones(1, 1, 4), torch.randn(1, 1, 4))
    assert constant.support == (0,)
    with pytest.raises(ValueError, match="at must be a position"):
        effective_receptive_field(net, torch.randn(1, 2, 7, 7, dtype=F64), at=(7, 0))
    with pytest.raises(ValueError, match="inputs must be"):
        effective_receptive_field(net, torch.randn(0, 2, 7, 7, dtype=F64))
    with pytest.raises(ValueError, match="model must give"):
        effective_receptive_field(lambda x: x.mean(), torch.randn(1, 2, 7, dtype=F64))


def test_convolution_is_equivariant_to_translation_and_not_invariant():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 20, dtype=F64)
    shift = translation(3, dims=-1)
    circular = nn.Conv1d(3, 4, 3, padding=1, padding_mode="circular", dtype=F64)
    # float64: the same products in another order of blocks
    assert equivariance_error(circular, x, shift) < 1e-15
    assert invariance_error(circular, x, shift) > 0.5
    zeros = nn.Conv1d(3, 4, 3, padding=1, dtype=F64)
    assert equivariance_error(zeros, x, shift) > 1e-2  # the border is not
    assert equivariance_error(zeros, x, shift, region=interior(4, dims=-1)) < 1e-15


def test_an_impulse_that_moves_clear_of_itself_errs_by_the_root_of_two_against_invariance():
    x = torch.zeros(1, 1, 30, dtype=F64)
    x[..., 5] = 1
    assert invariance_error(boxes(1, padding=1), x, translation(10, dims=-1)) == pytest.approx(math.sqrt(2), rel=1e-15)


def test_invariance_comes_with_pooling_and_strides_keep_only_their_multiples():
    torch.manual_seed(1)
    x = torch.randn(2, 1, 16, 16, dtype=F64)
    conv = nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular", dtype=F64)
    pooled = nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    shift = translation((1, 1), dims=(-2, -1))
    assert invariance_error(pooled, x, shift) < 1e-14
    strided = nn.Sequential(conv, nn.ReLU(), nn.MaxPool2d(2))
    two, one = translation((2, 2), dims=(-2, -1)), translation((1, 1), dims=(-2, -1))
    assert equivariance_error(strided, x, two, on_output=one) < 1e-14
    assert invariance_error(nn.Sequential(strided, nn.AdaptiveAvgPool2d(1)), x, one) > 1e-2


def test_flips_are_kept_by_symmetric_kernels_alone():
    x = torch.randn(1, 1, 12, dtype=F64)
    assert equivariance_error(boxes(2, padding=1), x, flip(-1)) < 1e-15
    lopsided = boxes(1, padding=1)
    with torch.no_grad():
        lopsided[0].weight.copy_(torch.tensor([1.0, 2.0, 4.0]))
    assert equivariance_error(lopsided, x, flip(-1)) > 0.1


def test_attention_without_positions_is_permutation_equivariant_and_with_them_or_a_causal_mask_it_is_not():
    torch.manual_seed(2)
    attention = nn.MultiheadAttention(8, 2, batch_first=True, dtype=F64).eval()
    x = torch.randn(3, 10, 8, dtype=F64)
    shuffle = permutation(torch.randperm(10).tolist(), dim=1)
    positions = torch.randn(10, 8, dtype=F64)
    mask = nn.Transformer.generate_square_subsequent_mask(10, dtype=F64)
    assert equivariance_error(lambda t: attention(t, t, t), x, shuffle) < 1e-14  # softmax sums in another order
    assert equivariance_error(lambda t: attention(*[t + positions] * 3), x, shuffle) > 1e-2
    assert equivariance_error(lambda t: attention(t, t, t, attn_mask=mask), x, shuffle) > 1e-2


def test_sums_and_means_are_permutation_invariant_and_zeros_nans_and_shapes_are_told_apart():
    x = torch.randn(2, 6, 3, dtype=F64)
    assert invariance_error(lambda t: t.sum(1), x, permutation([5, 4, 3, 2, 1, 0], dim=1)) < 1e-14
    assert equivariance_error(lambda t: 0 * t, x, flip(1)) == 0
    assert equivariance_error(lambda t: t - t[:, :1] * 0, x, flip(1)) == 0
    assert math.isnan(equivariance_error(lambda t: t * math.nan, x, flip(1)))
    assert equivariance_error(lambda t: (t * (t[:, :1] != x[:, :1])).clone(), x, flip(1)) == math.inf
    with pytest.raises(ValueError, match="set on_output"):
        equivariance_error(lambda t: t[:, : 3 + int(torch.equal(t, x))], x, flip(1))
    with pytest.raises(ValueError, match="nothing is left"):
        equivariance_error(lambda t: t, x, flip(1), region=interior(3, dims=1))
    with pytest.raises(TypeError, match="without a floating-point tensor"):
        equivariance_error(lambda t: [1, 2], x, flip(1))
