"""Shapes of a learning rate over training, as functions of the step for torch.optim.lr_scheduler.LambdaLR.

Each factory returns a function from the step, counted from 0, to the factor of the base rate:

    LambdaLR(optimizer, schedules.cosine(total_steps=10_000, warmup_steps=500))

Warm-up is alike in all: (step + 1) / (warmup_steps + 1) until it reaches 1 at step warmup_steps, so that no step is
spent at rate 0. Decay ends at step total_steps, one after the last, and stays there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

Schedule = Callable[[int], float]
Cooldown = Literal["linear", "cosine", "1-sqrt", "exponential"]


def constant(*, warmup_steps: int = 0) -> Schedule:
    """1 after warm-up.

    Args:
        warmup_steps: steps below the full rate, >= 0.

    Returns:
        The factor as a function of the step.

    Raises:
        ValueError: if warmup_steps < 0.

    References: Goyal et al. 2017, arXiv:1706.02677, section 2.2 (gradual warm-up).
    Peer: torch.optim.lr_scheduler.LinearLR, 1e-12 (A).
    In production: use it for short fine-tuning, or with weight averaging in place of a decay.
    """
    return _after_warmup(warmup_steps, lambda _: 1.0)


def linear(*, total_steps: int, warmup_steps: int = 0, final: float = 0.0) -> Schedule:
    """1 - (1 - final) u, with u = (step - warmup_steps) / (total_steps - warmup_steps).

    Args:
        total_steps: steps of the whole training, > warmup_steps.
        warmup_steps: steps below the full rate, >= 0.
        final: factor at the end, in [0, 1].

    Returns:
        The factor as a function of the step.

    Raises:
        ValueError: if an argument is out of its range.

    References: Devlin et al. 2019, arXiv:1810.04805, appendix A.2; Bergsma et al. 2025, arXiv:2502.15938 (final = 0).
    Peer: torch.optim.lr_scheduler.LinearLR, 1e-12 (A).
    In production: use it with final = 0 where the number of steps is known.
    """
    _require_end(total_steps, warmup_steps, final)
    return _after_warmup(warmup_steps, lambda t: _mix(final, 1 - _share(t, total_steps - warmup_steps)))


def cosine(*, total_steps: int, warmup_steps: int = 0, final: float = 0.0) -> Schedule:
    """final + (1 - final) (1 + cos pi u) / 2, with u = (step - warmup_steps) / (total_steps - warmup_steps).

    Args:
        total_steps: steps of the whole training, > warmup_steps.
        warmup_steps: steps below the full rate, >= 0.
        final: factor at the end, in [0, 1].

    Returns:
        The factor as a function of the step.

    Raises:
        ValueError: if an argument is out of its range.

    References: Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5.
    Peer: torch.optim.lr_scheduler.CosineAnnealingLR, 1e-12 (A).
    In production: use it with final = 0.1 for pre-training of a fixed length; wsd where the length is open.
    """
    _require_end(total_steps, warmup_steps, final)
    span = total_steps - warmup_steps
    return _after_warmup(warmup_steps, lambda t: _mix(final, (1 + math.cos(math.pi * _share(t, span))) / 2))


def exponential(*, gamma: float, warmup_steps: int = 0) -> Schedule:
    """gamma^(step - warmup_steps).

    Args:
        gamma: factor from a step to the next, in (0, 1].
        warmup_steps: steps below the full rate, >= 0.

    Returns:
        The factor as a function of the step.

    Raises:
        ValueError: if an argument is out of its range.

    References: Senior et al. 2013, ICASSP, section 3 (exponential scheduling).
    Peer: torch.optim.lr_scheduler.ExponentialLR, 1e-12 (A).
    In production: use cosine or linear, whose end is under control.
    """
    _require_gamma(gamma)
    return _after_warmup(warmup_steps, lambda t: gamma**t)


def step(*, step_size: int, gamma: float = 0.1, warmup_steps: int = 0) -> Schedule:
    """gamma^floor((step - warmup_steps) / step_size).

    Args:
        step_size: steps between drops, >= 1.
        gamma: factor of each drop, in (0, 1].
        warmup_steps: steps below the full rate, >= 0.

    Returns:
        The factor as a function of the step.

    Raises:
        ValueError: if an argument is out of its range.

    References: He et al. 2016, arXiv:1512.03385, section 3.4 (a tenth at each plateau).
    Peer: torch.optim.lr_scheduler.StepLR, 1e-12 (A).
    In production: use it to repeat published convolutional training; cosine needs no places chosen.
    """
    _require_gamma(gamma)
    if step_size < 1:
        raise ValueError(f"step_size must be >= 1, got {step_size}")
    return _after_warmup(warmup_steps, lambda t: gamma ** (t // step_size))


def inverse_square_root(*, warmup_steps: int) -> Schedule:
    """sqrt((warmup_steps + 1) / (step + 1)), which is 1 where warm-up ends.

    Args:
        warmup_steps: steps below the full rate, >= 0; they also set how slowly the rate falls.

    Returns:
        The factor as a function of the step.

    Raises:
        ValueError: if warmup_steps < 0.

    Deviations: scaled to a peak of 1; the paper's peak is (d_model warmup_steps)^-0.5, and it counts steps from 1.
    References: Vaswani et al. 2017, arXiv:1706.03762, eq. 3.
    Peer: the paper's equation at step + 1 and warmup_steps + 1 over its peak, 1e-12 (B).
    In production: use it where training has no fixed end; wsd is its successor.
    """
    return _after_warmup(warmup_steps, lambda t: math.sqrt((warmup_steps + 1) / (t + warmup_steps + 1)))


def wsd(
    *,
    total_steps: int,
    decay_steps: int,
    warmup_steps: int = 0,
    final: float = 0.0,
    cooldown: Cooldown = "1-sqrt",
) -> Schedule:
    """Warm up, stay at 1, and fall over the last decay_steps: "warm-up, stable, decay".

    With u the share of the decay that has passed, the factor falls from 1 to `final` as

        linear       1 - u                 cosine        (1 + cos pi u) / 2
        1-sqrt       1 - sqrt(u)           exponential   final^u, in place of a mixture with final

    The stable part may be prolonged from any of its checkpoints: nothing before the decay depends on total_steps.

    Args:
        total_steps: steps of the whole training, >= warmup_steps + decay_steps.
        decay_steps: steps of the fall, >= 1; a tenth to a fifth of the total is usual.
        warmup_steps: steps below the full rate, >= 0.
        final: factor at the end, in [0, 1]; > 0 for "exponential".
        cooldown: one of these shapes.

    Returns:
        The factor as a function of the step.

    Raises:
        ValueError: if an argument is out of its range.

    References: Hu et al. 2024, arXiv:2404.06395, section 4 and eq. 1; Hägele et al. 2024, arXiv:2405.18392, eqs. 1-2
        (1-sqrt).
    Peer: torch's ConstantLR, LinearLR and CosineAnnealingLR in a SequentialLR, 1e-12 (A); 1-sqrt, closed form (B).
    In production: use it for pre-training whose length is open.
    """
    if cooldown not in get_args(Cooldown):
        raise ValueError(f"cooldown must be one of {', '.join(map(repr, get_args(Cooldown)))}, got {cooldown!r}")
    if decay_steps < 1:
        raise ValueError(f"decay_steps must be >= 1, got {decay_steps}")
    if total_steps < warmup_steps + decay_steps:
        raise ValueError(f"total_steps must be >= warmup_steps + decay_steps, got {total_steps}")
    _require_end(total_steps, warmup_steps, final)
    if cooldown == "exponential" and final == 0:
        raise ValueError("final must be > 0 for an exponential cooldown, got 0")
    stable = total_steps - decay_steps - warmup_steps

    def after_warmup(t: int) -> float:
        u = _share(max(0, t - stable), decay_steps)
        if cooldown == "exponential":
            return final**u
        shape = {"linear": 1 - u, "cosine": (1 + math.cos(math.pi * u)) / 2, "1-sqrt": 1 - math.sqrt(u)}
        return _mix(final, shape[cooldown])

    return _after_warmup(warmup_steps, after_warmup)


def _after_warmup(warmup_steps: int, shape: Schedule) -> Schedule:
    if warmup_steps < 0:
        raise ValueError(f"warmup_steps must be >= 0, got {warmup_steps}")

    def factor(step: int) -> float:
        return (step + 1) / (warmup_steps + 1) if step < warmup_steps else shape(step - warmup_steps)

    return factor


def _share(t: int, span: int) -> float:
    return min(1.0, t / span)


def _mix(final: float, shape: float) -> float:
    return final + (1 - final) * shape


def _require_end(total_steps: int, warmup_steps: int, final: float) -> None:
    if total_steps <= warmup_steps:
        raise ValueError(f"total_steps must be > warmup_steps = {warmup_steps}, got {total_steps}")
    if not 0 <= final <= 1:
        raise ValueError(f"final must be in [0, 1], got {final}")


def _require_gamma(gamma: float) -> None:
    if not 0 < gamma <= 1:
        raise ValueError(f"gamma must be in (0, 1], got {gamma}")
