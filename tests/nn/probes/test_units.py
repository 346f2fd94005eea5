"""Dead and saturated units and ranks, planted and counted beside NumPy."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from breadth.nn.probes import effective_rank, rank_by_layer, stable_rank, unit_activity

F64 = torch.float64


def planted():
    """Eight units: 0-2 never fire, 3 always does, 4-7 fire for positive x."""
    net = nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 1))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([0.0, 0, 0, 0, 1, 1, 1, 1])[:, None])
        net[0].bias.copy_(torch.tensor([-1.0, 0, -1e9, 1, 0, 0, 0, 0]))
    return net


def test_planted_dead_units_are_found_over_all_batches_and_their_gradient_is_zero():
    net = planted()
    x = torch.arange(-50, 51)[:, None] / 25
    found = unit_activity(net, x.split(20))["1"]
    assert found.dead.tolist() == [True] * 3 + [False] * 5
    assert found.dead_share == 3 / 8
    assert found.fires.tolist() == [0, 0, 0, 1] + [50 / 101] * 4
    assert (found.low.tolist(), found.high.tolist()) == ([0, 0, 0, 1, 0, 0, 0, 0], [0, 0, 0, 1, 2, 2, 2, 2])
    assert found.seen == 101 and found.saturated is None
    net(x).sum().backward()
    assert torch.equal(net[0].weight.grad[:3], torch.zeros(3, 1))
    only_negative = unit_activity(net, x[:50])["1"]
    assert only_negative.dead.sum() == 7  # dead on these data says nothing about others


def test_saturation_counts_outputs_near_either_bound():
    draw = torch.Generator().manual_seed(0)
    x = 3 * torch.randn(500, 6, generator=draw, dtype=F64)
    net = nn.Sequential(nn.Tanh(), nn.Sigmoid())
    found = unit_activity(net, x, layers=(nn.Tanh, nn.Sigmoid), margin=0.1)
    t = np.tanh(x.numpy())
    np.testing.assert_array_equal(found["0"].saturated.numpy(), (np.abs(t) >= 0.8).mean(0))
    assert (found["1"].saturated == 0).all()  # the sigmoid of [-1, 1] stays within [0.26, 0.74]
    clipped = unit_activity(nn.Sequential(nn.Hardtanh()), x, layers=nn.Hardtanh, bounds=(-1, 1))["0"]
    np.testing.assert_array_equal(clipped.saturated.numpy(), (np.abs(x.numpy()) >= 0.9).mean(0))


def test_channels_are_the_units_of_images_and_the_last_axis_those_of_sequences():
    images = torch.ones(2, 3, 4, 5)
    images[:, 1] = -1
    found = unit_activity(nn.Sequential(nn.ReLU()), images)["0"]
    assert (found.dead.tolist(), found.seen) == ([False, True, False], 40)
    assert len(unit_activity(nn.Sequential(nn.ReLU()), torch.ones(2, 7, 3))["0"].fires) == 3
    assert len(unit_activity(nn.Sequential(nn.ReLU()), torch.ones(2, 7, 3), dim=1)["0"].fires) == 7
    assert unit_activity(nn.Sequential(nn.ReLU()), torch.ones(4))["0"].seen == 4


def test_a_shared_module_is_one_layer_and_tuples_are_followed():
    relu = nn.ReLU()
    found = unit_activity(nn.Sequential(relu, nn.Linear(3, 3), relu), torch.ones(5, 3))
    assert list(found) == ["0"] and found["0"].seen == 10

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.read = nn.LSTM(2, 4)

        def forward(self, x):
            return self.read(x)

    assert unit_activity(Reader(), torch.ones(6, 1, 2), layers=nn.LSTM)["read"].seen == 6


def test_units_that_are_not_finite_are_undefined_and_not_dead():
    x = torch.tensor([[math.nan, -1.0, math.inf], [-1.0, -1.0, -1.0]])
    found = unit_activity(nn.Sequential(nn.ReLU()), x)["0"]
    assert found.dead.tolist() == [False, True, False]
    assert found.undefined.tolist() == [0.5, 0, 0.5]
    assert math.isnan(found.low[0])


def test_running_statistics_stay_as_they_were():
    net = nn.Sequential(nn.BatchNorm1d(3), nn.ReLU())
    unit_activity(net, torch.randn(10, 3) + 5)
    assert torch.equal(net[0].running_mean, torch.zeros(3))
    assert net[0].num_batches_tracked == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": []}, "inputs held no example"),
        ({"inputs": torch.ones(0, 3)}, "inputs held no example"),
        ({"inputs": [torch.ones(2, 3), torch.ones(2, 4)]}, "gave 4 units after 3; set dim"),
        ({"margin": 0.5}, "margin must be in"),
        ({"bounds": (1, 1)}, "bounds must be"),
        ({"layers": nn.Tanh}, "picks none"),
    ],
)
def test_what_cannot_be_counted_is_refused(change, message):
    inputs = change.pop("inputs", torch.ones(2, 3))
    with pytest.raises(ValueError, match=message):
        unit_activity(nn.Sequential(nn.ReLU()), inputs, **change)


@pytest.mark.parametrize("r", [1, 2, 7])
def test_ranks_of_equal_singular_values_are_their_number(r):
    draw = torch.Generator().manual_seed(r)
    Q = torch.linalg.qr(torch.randn(30, r, generator=draw, dtype=F64))[0]
    P = torch.linalg.qr(torch.randn(9, r, generator=draw, dtype=F64))[0]
    assert effective_rank(1e4 * Q @ P.T) == pytest.approx(r, rel=1e-12)
    assert stable_rank(1e4 * Q @ P.T) == pytest.approx(r, rel=1e-12)


@pytest.mark.parametrize("q", [0.9, 0.5, 0.01])
def test_ranks_of_geometric_singular_values_have_their_closed_form(q):
    n = 12
    X = torch.diag(q ** torch.arange(n, dtype=F64))
    p = q ** np.arange(n) / (q ** np.arange(n)).sum()
    assert effective_rank(X) == pytest.approx(math.exp(-(p * np.log(p)).sum()), rel=1e-12)
    assert stable_rank(X) == pytest.approx((1 - q ** (2 * n)) / (1 - q**2), rel=1e-12)


def test_the_mean_is_a_direction_unless_it_is_taken_off():
    x = torch.full((50, 4), 1e4, dtype=F64)
    x[:, 0] += torch.linspace(-1, 1, 50, dtype=F64)
    assert effective_rank(x) == pytest.approx(1, abs=1e-2)
    assert effective_rank(x, center=True) == pytest.approx(1, abs=1e-9)
    assert effective_rank(torch.zeros(3, 3)) == 0 and stable_rank(torch.zeros(3, 3)) == 0
    assert effective_rank(torch.ones(1, 1)) == 1
    for bad, message in ((torch.ones(3), "must be a matrix"), (torch.ones(0, 3), "at least one element")):
        with pytest.raises(ValueError, match=message):
            effective_rank(bad)
    with pytest.raises(ValueError, match="must be finite"):
        stable_rank(torch.full((2, 2), math.nan))


def test_a_planted_bottleneck_shows_in_the_ranks_by_layer():
    net = nn.Sequential(nn.Linear(10, 10, bias=False), nn.Linear(10, 10, bias=False)).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(10))
        net[1].weight.copy_(torch.diag(torch.tensor([1.0, 1, 1] + [0] * 7)))
    x = torch.linalg.qr(torch.randn(40, 10, dtype=F64))[0]
    ranks = rank_by_layer(net, x, layers=nn.Linear, center=False)
    assert ranks == {"0": pytest.approx(10, rel=1e-12), "1": pytest.approx(3, rel=1e-12)}
