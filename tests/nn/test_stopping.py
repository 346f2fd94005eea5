"""When early stopping ends, and what it goes back to."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from breadth.nn.stopping import EarlyStopping


def follow(stopping: EarlyStopping, values: list[float]) -> int:
    """Number of the check after which it stops."""
    for t, value in enumerate(values):
        stopping.update(value)
        if stopping.stop:
            return t
    return len(values)


@pytest.mark.parametrize(
    ("values", "patience", "min_delta", "best", "last"),
    [
        ([3, 2, 1, 2, 3, 0], 2, 0, 2, 4),  # the 0 comes too late
        ([3, 3, 3], 2, 0, 0, 2),  # a tie is no improvement
        ([1, 0.95, 0.9, 0.85], 3, 0.1, 3, 4),  # small gains that add up, measured from the last improvement
        ([1, 0.95, 0.9], 2, 0.1, 0, 2),  # and not more than min_delta together
        ([math.nan, 1, math.nan, math.nan], 2, 0, 1, 3),  # NaN never improves
        ([math.nan, math.nan, 1], 2, 0, None, 1),
        ([math.inf, 5, 6, 7], 2, 0, 1, 3),
        ([5], 1, 0, 0, 1),
        ([], 1, 0, None, 0),
    ],
)
def test_training_ends_after_patience_checks_without_enough_improvement(values, patience, min_delta, best, last):
    stopping = EarlyStopping(patience, min_delta=min_delta, restore_best=False)
    if values and not math.isnan(values[0]) and not math.isinf(values[0]):
        up = EarlyStopping(patience, min_delta=min_delta, mode="max", restore_best=False)
        assert follow(up, [-v for v in values]) == last
        assert up.best_check == best
    assert follow(stopping, values) == last
    assert stopping.best_check == best


def test_the_best_weights_and_buffers_come_back_bit_for_bit():
    torch.manual_seed(0)
    model, stopping = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), EarlyStopping(patience=3)
    seen = []
    for value in [3.0, 1.0, 2.0, 5.0]:
        model(torch.randn(8, 3))  # moves the running statistics
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn_like(p))
        stopping.update(value, model)
        seen.append({name: t.clone() for name, t in model.state_dict().items()})
    assert stopping.restore(model)
    assert all(torch.equal(t, seen[1][name]) for name, t in model.state_dict().items())
    assert not EarlyStopping().restore(model)  # nothing was seen, nothing is changed


def test_a_run_that_is_taken_up_again_stops_where_it_would_have():
    values = [5.0, 4.0, 4.5, 3.9, 4.0, 4.1, 4.2, 1.0]
    whole = EarlyStopping(3, min_delta=0.05, restore_best=False)
    last = follow(whole, values)
    first, second = (EarlyStopping(3, min_delta=0.05, restore_best=False) for _ in range(2))
    follow(first, values[:4])
    second.load_state_dict(first.state_dict())
    assert 4 + follow(second, values[4:]) == last
    assert (second.best, second.best_check) == (whole.best, whole.best_check)


def test_parameters_out_of_range_are_refused_by_name():
    calls = [
        (lambda: EarlyStopping(0), "patience must be >= 1, got 0"),
        (lambda: EarlyStopping(min_delta=-1), "min_delta must be >= 0 and finite, got -1"),
        (lambda: EarlyStopping(mode="low"), "mode must be 'min' or 'max', got 'low'"),
        (lambda: EarlyStopping().update(1.0), "needs the model"),
    ]
    for call, says in calls:
        with pytest.raises(ValueError, match=says):
            call()
