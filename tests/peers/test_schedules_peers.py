"""Schedules beside torch.optim.lr_scheduler, step by step."""

from __future__ import annotations

import math

import pytest
import torch
from torch.optim import lr_scheduler as theirs

from breadth.nn import schedules

BASE = 0.3


def rates(make, steps):
    """Of an optimizer that a scheduler drives, at each step."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=BASE)
    scheduler = make(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return torch.tensor(found, dtype=torch.float64)


def beside(schedule, make, steps=60):
    ours = rates(lambda optimizer: theirs.LambdaLR(optimizer, schedule), steps)
    # rtol: torch multiplies from step to step; atol: where cosine and line end at 0
    torch.testing.assert_close(ours, rates(make, steps), rtol=1e-12, atol=1e-15)
    return ours / BASE


def after_warmup(warmup_steps, make):
    """Torch's linear warm-up, and another of its schedulers from where it ends."""

    def build(optimizer):
        if warmup_steps == 0:
            return make(optimizer)
        first = theirs.LinearLR(optimizer, 1 / (warmup_steps + 1), 1.0, warmup_steps)
        return theirs.SequentialLR(optimizer, [first, make(optimizer)], [warmup_steps])

    return build


@pytest.mark.parametrize("warmup_steps", [0, 1, 9])
def test_every_schedule_is_torchs_with_a_linear_warm_up_before(warmup_steps):
    span = 50 - warmup_steps
    ends = {"total_steps": 50, "warmup_steps": warmup_steps}
    flat = beside(
        schedules.constant(warmup_steps=warmup_steps),
        after_warmup(warmup_steps, lambda o: theirs.ConstantLR(o, factor=1.0)),
    )
    assert flat[0] == 1 / (warmup_steps + 1) and flat[warmup_steps] == 1, "no step is spent at rate 0"
    for final in (0.0, 0.1, 1.0):
        line = beside(
            schedules.linear(**ends, final=final),
            after_warmup(warmup_steps, lambda o, final=final: theirs.LinearLR(o, 1.0, final, span)),
        )
        assert line[warmup_steps] == 1 and line[49] > final * (1 - 1e-12) and (line[50:] == final).all()
        # torch's cosine turns upwards again after its end; ours stays
        beside(
            schedules.cosine(**ends, final=final),
            after_warmup(warmup_steps, lambda o, final=final: theirs.CosineAnnealingLR(o, span, eta_min=final * BASE)),
            steps=51,
        )
        stays = schedules.cosine(**ends, final=final)
        assert stays(50) == stays(10**9) == final
    beside(
        schedules.exponential(gamma=0.9, warmup_steps=warmup_steps),
        after_warmup(warmup_steps, lambda o: theirs.ExponentialLR(o, 0.9)),
    )
    beside(
        schedules.step(step_size=7, gamma=0.3, warmup_steps=warmup_steps),
        after_warmup(warmup_steps, lambda o: theirs.StepLR(o, 7, 0.3)),
    )


@pytest.mark.parametrize("final", [0.0, 0.2])
def test_wsd_is_torchs_constant_and_then_its_line_or_cosine(final):
    decays = {
        "linear": lambda o: theirs.LinearLR(o, 1.0, final, 15),
        "cosine": lambda o: theirs.CosineAnnealingLR(o, 15, eta_min=final * BASE),
    }
    for cooldown, decay in decays.items():

        def build(optimizer, decay=decay):
            first = theirs.LinearLR(optimizer, 1 / 6, 1.0, 5)
            stable = theirs.ConstantLR(optimizer, factor=1.0)
            return theirs.SequentialLR(optimizer, [first, stable, decay(optimizer)], [5, 35])

        options = {"total_steps": 50, "decay_steps": 15, "warmup_steps": 5, "final": final}
        beside(schedules.wsd(**options, cooldown=cooldown), build, steps=51)


def test_the_inverse_square_root_is_that_of_the_paper_over_its_peak():
    d_model, warmup = 512, 40

    def paper(step):  # Vaswani et al. 2017, eq. 3, steps from 1
        return d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)

    ours = schedules.inverse_square_root(warmup_steps=warmup - 1)
    for step in range(300):
        assert ours(step) == pytest.approx(paper(step + 1) / paper(warmup), rel=1e-12)
    assert schedules.inverse_square_root(warmup_steps=0)(3) == 0.5


def test_the_steeper_cooldowns_are_closed_forms_and_all_meet_at_both_ends():
    for cooldown in ("linear", "cosine", "1-sqrt", "exponential"):
        f = schedules.wsd(total_steps=100, decay_steps=20, warmup_steps=10, final=0.01, cooldown=cooldown)
        assert [f(10), f(79), f(80)] == [1, 1, 1] and f(81) < 1
        assert f(100) == f(1000) == pytest.approx(0.01, rel=1e-15)
        longer = schedules.wsd(total_steps=200, decay_steps=20, warmup_steps=10, final=0.01, cooldown=cooldown)
        assert [longer(t) for t in range(81)] == [f(t) for t in range(81)], "the stable part does not know the end"
        u = 7 / 20
        exact = {
            "linear": 1 - 0.99 * u,
            "cosine": 0.01 + 0.99 * (1 + math.cos(math.pi * u)) / 2,
            "1-sqrt": 0.01 + 0.99 * (1 - math.sqrt(u)),
            "exponential": 0.01**u,
        }
        assert f(87) == pytest.approx(exact[cooldown], rel=1e-14)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.constant(warmup_steps=-1), "warmup_steps must be >= 0, got -1"),
        (lambda: schedules.linear(total_steps=5, warmup_steps=5), "total_steps must be > warmup_steps = 5, got 5"),
        (lambda: schedules.cosine(total_steps=5, final=1.5), r"final must be in \[0, 1\], got 1.5"),
        (lambda: schedules.exponential(gamma=0.0), r"gamma must be in \(0, 1\], got 0.0"),
        (lambda: schedules.step(step_size=0), "step_size must be >= 1, got 0"),
        (lambda: schedules.inverse_square_root(warmup_steps=-2), "warmup_steps must be >= 0, got -2"),
        (lambda: schedules.wsd(total_steps=5, decay_steps=0), "decay_steps must be >= 1, got 0"),
        (
            lambda: schedules.wsd(total_steps=5, decay_steps=6),
            r"total_steps must be >= warmup_steps \+ decay_steps, got 5",
        ),
        (lambda: schedules.wsd(total_steps=9, decay_steps=6, cooldown="exponential"), "final must be > 0 for an exp"),
        (lambda: schedules.wsd(total_steps=9, decay_steps=6, cooldown="sqrt"), "cooldown must be one of 'linear', "),
    ],
)
def test_errors_name_the_argument(make, message):
    with pytest.raises(ValueError, match=message):
        make()
