"""Linear pieces counted exactly, and what depth buys where it buys something."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from breadth.nn.probes import (
    approximation_by_width,
    depth_against_width,
    kinks,
    linear_pieces,
    sawtooth,
    shapes_of_budget,
)

F64 = torch.float64
ZERO, ONE = torch.zeros(1, dtype=F64), torch.ones(1, dtype=F64)


def plain(widths, seed, gain=1.0):
    torch.manual_seed(seed)
    layers = [m for a, b in itertools.pairwise(widths[:-1]) for m in (nn.Linear(a, b), nn.ReLU())]
    net = nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1])).double()
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(gain)
    return net


@pytest.mark.parametrize("depth", [1, 2, 5, 9])
def test_the_sawtooth_is_the_triangle_wave_with_two_to_the_depth_pieces(depth):
    net = sawtooth(depth)
    assert linear_pieces(net, ZERO, ONE) == 2**depth
    assert kinks(net, ZERO, ONE) == tuple(np.arange(1, 2**depth) / 2**depth)
    x = torch.rand(1000, 1, dtype=F64)
    phase = x * 2 ** (depth - 1) % 1
    assert torch.equal(
        net(torch.arange(2**depth + 1, dtype=F64)[:, None] / 2**depth)[:, 0] == 1, torch.arange(2**depth + 1) % 2 == 1
    )
    # doubling x costs a bit a layer: 1e-16 * 2^depth
    torch.testing.assert_close(net(x), 1 - (2 * phase - 1).abs(), rtol=0, atol=1e-15 * 2**depth)
    assert sum(p.numel() for p in net.parameters()) == 4 + 6 * (depth - 1) + 3


def test_separate_kinks_give_one_piece_more_than_units_and_cancelled_ones_none():
    n = 12
    net = nn.Sequential(nn.Linear(1, n), nn.ReLU(), nn.Linear(n, 1)).double()
    with torch.no_grad():
        net[0].weight.fill_(1)
        net[0].bias.copy_(-torch.arange(1, n + 1) / (n + 1))
        net[2].weight.fill_(1)
    assert linear_pieces(net, ZERO, ONE) == n + 1
    assert linear_pieces(net, -ONE, ZERO) == 1
    assert linear_pieces(net, ONE, ZERO) == n + 1
    with torch.no_grad():
        net[0].bias[1] = net[0].bias[0]
        net[2].weight[0, 1] = -net[2].weight[0, 0]  # relu(z) - relu(z)
        net[2].weight[0, 2] = 0
    assert linear_pieces(net, ZERO, ONE) == n + 1 - 3
    with torch.no_grad():
        net[2].weight.zero_()
    assert linear_pieces(net, ZERO, ONE) == 1


@pytest.mark.parametrize(
    ("widths", "gain"), [((1, 30, 1), 1.0), ((1, 12, 12, 1), 2.0), ((3, 8, 8, 8, 8, 2), 2.0), ((2, 1, 1, 1), 1.0)]
)
def test_rational_and_floating_counts_agree_with_slopes_by_autograd_and_stay_below_the_product(widths, gain):
    for seed in range(3):
        net = plain(widths, seed, gain)
        start, end = -2 * torch.ones(widths[0], dtype=F64), torch.linspace(1, 2, widths[0], dtype=F64)
        found = np.array(kinks(net, start, end))
        assert linear_pieces(net, start, end, exact=False) == len(found) + 1
        assert len(found) + 1 <= math.prod(w + 1 for w in widths[1:-1])
        # between kinks, at their middle and near both ends, the slope is one; across a kink it is another
        ends = np.concatenate([[0], found, [1]])
        inside = ends[:-1, None] + np.diff(ends)[:, None] * np.array([1e-3, 0.5, 1 - 1e-3])
        t = torch.tensor(inside.ravel(), requires_grad=True)
        y = net(start + t[:, None] * (end - start))
        slopes = torch.stack([torch.autograd.grad(y[:, i].sum(), t, retain_graph=True)[0] for i in range(y.shape[1])])
        slopes = slopes.reshape(y.shape[1], -1, 3).numpy()
        assert np.ptp(slopes, axis=2).max() <= 1e-12 * np.abs(slopes).max()
        assert (np.abs(np.diff(slopes[:, :, 1], axis=1)).max(0) > 0).all()


def test_units_that_cross_zero_together_make_one_kink():
    net = nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 1)).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[3.0], [7.0], [-1.0]]))
        net[0].bias.copy_(-net[0].weight[:, 0] * 0.1)  # rounding puts the three roots within 1e-17 of each other
    assert linear_pieces(net, ZERO, ONE, exact=False) == 2
    assert 2 <= linear_pieces(net, ZERO, ONE) <= 4  # of the stored weights, whose roots may differ in the last bit


@pytest.mark.parametrize(
    ("net", "start", "end", "message"),
    [
        (nn.Sequential(nn.Linear(1, 1), nn.Tanh()), ZERO, ONE, "made of Linear and ReLU layers, got a Tanh"),
        (nn.Linear(1, 1), ZERO, ZERO, "different vectors"),
        (nn.Linear(1, 1), ZERO, torch.ones(2), "different vectors"),
        (nn.Linear(2, 1), ZERO, ONE, "takes 2 inputs after 1 units"),
        (nn.Linear(1, 1).requires_grad_(False), ZERO, ONE, "finite weights"),
    ],
)
def test_networks_without_countable_pieces_are_refused(net, start, end, message):
    if "finite" in message:
        net.weight.fill_(math.nan)
    with pytest.raises(ValueError, match=message):
        linear_pieces(net, start, end)


def test_shapes_are_the_widest_within_the_budget():
    for n_inputs, n_outputs, budget in ((1, 1, 400), (64, 10, 5000)):
        for shape in shapes_of_budget(budget, (1, 2, 3, 7), n_inputs=n_inputs, n_outputs=n_outputs):
            counts = [
                sum(p.numel() for p in plain([n_inputs, *[w] * shape.depth, n_outputs], 0).parameters())
                for w in (shape.width, shape.width + 1)
            ]
            assert counts[0] == shape.parameters <= budget < counts[1]
    with pytest.raises(ValueError, match="parameters must be at least 4 for depth 1, got 3"):
        shapes_of_budget(3, [1])
    assert shapes_of_budget(4, [1])[0].width == 1
    with pytest.raises(ValueError, match="depths must be >= 1"):
        shapes_of_budget(100, [0])


def test_depth_expresses_the_sawtooth_with_parameters_that_leave_one_wide_layer_far_from_it():
    depth = 6
    net = sawtooth(depth)
    shallow = shapes_of_budget(sum(p.numel() for p in net.parameters()), [1])[0]
    assert shallow.width + 1 < 2**depth  # the most pieces that it can have
    best = approximation_by_width(lambda x: net(x)[:, 0], widths=[shallow.width], low=0, high=1)[0]
    # a piece that spans a whole tooth errs by that tooth's deviation from a line, 1 / sqrt(12) for most of them
    assert best.rms > 0.1
    wide = 2**depth - 1
    exact = nn.Sequential(nn.Linear(1, wide + 1), nn.ReLU(), nn.Linear(wide + 1, 1)).double()
    with torch.no_grad():
        exact[0].weight.fill_(1)
        exact[0].bias.copy_(-torch.arange(wide + 1) / 2**depth)
        exact[2].weight.copy_(2 ** (depth + 1) * (-1.0) ** torch.arange(wide + 1, dtype=F64))
        exact[2].weight[0, 0] /= 2
        exact[2].bias.zero_()
    x = torch.rand(500, 1, dtype=F64)
    torch.testing.assert_close(exact(x), net(x), rtol=0, atol=1e-11)  # 64 terms up to 128
    assert linear_pieces(exact, ZERO, ONE) == 2**depth


def test_every_shape_fits_a_line_and_runs_say_what_their_networks_have():
    runs = depth_against_width(
        lambda x: 3 * x[:, 0] - 1, parameters=200, depths=(1, 3), steps=100, lr=0.05, seeds=(0, 1)
    )
    assert [(r.shape.depth, r.seed) for r in runs] == [(1, 0), (1, 1), (3, 0), (3, 1)]
    for run in runs:
        assert run.losses[-1] < 1e-2 < run.losses[0]
        assert len(run.losses) == 9  # 0, 1, 2, 4, ..., 64, and the last
        assert min(run.pieces_before, run.pieces_after) >= 1
        assert max(run.pieces_before, run.pieces_after) <= (run.shape.width + 1) ** run.shape.depth
    again = depth_against_width(lambda x: 3 * x[:, 0] - 1, parameters=200, depths=(3,), steps=100, lr=0.05, seeds=(1,))
    assert again[0] == runs[-1]
    state = torch.random.get_rng_state()
    depth_against_width(lambda x: x[:, 0], parameters=20, depths=(1,), steps=1, seeds=(0,))
    assert torch.equal(torch.random.get_rng_state(), state)
    for change, message in (
        ({"steps": 0}, "steps >= 1"),
        ({"low": 1.0}, "low < high"),
        ({"target": lambda x: x}, "target must give shape"),
    ):
        with pytest.raises(ValueError, match=message):
            depth_against_width(change.pop("target", lambda x: x[:, 0]), **change)
