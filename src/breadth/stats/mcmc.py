"""Samples of a posterior known up to a factor: Metropolis and Hamiltonian Monte Carlo, chains side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breadth.stats import arguments

Floats = NDArray[np.float64]


class Chains(NamedTuple):
    """Draws of several chains after warm-up."""

    draws: Floats  # (chains, draws, dimensions)
    log_density: Floats  # (chains, draws), unnormalised
    acceptance: Floats  # (chains,), mean over the draws that are kept
    step: float  # scale of the walk, or step of the leapfrog, fixed after warm-up
    divergences: int  # trajectories whose energy rose by more than 1000; 0 for Metropolis


def metropolis(
    log_density: Callable[[Floats], Any],
    start: ArrayLike,
    *,
    n_draws: int = 2000,
    n_warmup: int = 1000,
    scale: float | ArrayLike = 1.0,
    rng: np.random.Generator | int | None = None,
) -> Chains:
    """Random-walk Metropolis: propose x + step scale N(0, I), accept with probability min(1, p(x') / p(x)).

    In warm-up log(step) moves by (accepted share - target) / k^0.6 at iteration k; the target is 0.44 in one dimension
    and 0.234 in more. After it the step is fixed, so that the chain is a Markov chain with p as its stationary density.

    Args:
        log_density: from points, shape (chains, dimensions), to log p up to a constant, shape (chains,); -inf is 0.
        start: first points, shape (chains, dimensions) or (dimensions,) for one chain, of positive density.
        n_draws: kept of each chain, >= 1.
        n_warmup: iterations before them, >= 0; with 0 the step stays 1.
        scale: of the proposal in each dimension, > 0, broadcast to (dimensions,).
        rng: generator or its seed.

    Returns:
        Chains.

    Raises:
        ValueError: if start has another shape, is not finite or has density 0, log_density returns another shape, NaN
            or infinity, or an argument is out of range.

    Cost: one call of log_density for all chains an iteration.
    References: Metropolis et al. 1953, J. Chemical Physics 21; Roberts, Gelman & Gilks 1997, Annals of Applied
        Probability 7 (0.234); Andrieu & Thoms 2008, Statistics and Computing 18, algorithm 4 (the step).
    Peer: closed forms of normal and Beta posteriors and kstest of thinned draws, within 5 Monte Carlo errors (B).
    In production: use `hmc` where there is a gradient; look at `rhat` and `effective_sample_size` before the draws.
    """
    x, value, generator = _begin(log_density, start, n_draws, n_warmup, rng)
    spread = np.broadcast_to(np.asarray(scale, np.float64), x.shape[1:])
    if not (np.isfinite(spread) & (spread > 0)).all():
        raise ValueError(f"scale must be > 0 and finite, got {scale!r}")
    target = 0.44 if x.shape[1] == 1 else 0.234
    draws, kept, accepted = _room(x, n_draws)
    log_step = 0.0
    for k in range(n_warmup + n_draws):
        proposal = x + np.exp(log_step) * spread * generator.standard_normal(x.shape)
        there = _log_density(log_density, proposal)
        chance = np.exp(np.minimum(there - value, 0.0))
        taken = generator.random(len(x)) < chance
        x, value = np.where(taken[:, None], proposal, x), np.where(taken, there, value)
        if k < n_warmup:
            log_step += (chance.mean() - target) / (k + 1) ** 0.6
        else:
            draws[:, k - n_warmup], kept[:, k - n_warmup] = x, value
            accepted += taken
    return Chains(draws, kept, accepted / n_draws, float(np.exp(log_step)), 0)


def hmc(
    log_density: Callable[[Floats], Any],
    gradient: Callable[[Floats], Any],
    start: ArrayLike,
    *,
    n_draws: int = 1000,
    n_warmup: int = 1000,
    path: float = 1.5,
    step: float = 0.1,
    target: float = 0.8,
    max_steps: int = 200,
    rng: np.random.Generator | int | None = None,
) -> Chains:
    """Hamiltonian Monte Carlo: a momentum N(0, I), leapfrog steps along the density, and a Metropolis decision.

    H(x, r) = -log p(x) + |r|^2 / 2; a step is r += h/2 grad, x += h r, r += h/2 grad with grad of log p; L steps of
    length h make a path of random length in [0.5, 1.5] times `path`; accepted with min(1, exp(H - H')). In warm-up h is
    adapted to the target acceptance by dual averaging, and then fixed.

    Args:
        log_density: from points, shape (chains, dimensions), to log p up to a constant, shape (chains,); -inf is 0.
        gradient: from the same points to its gradient, shape (chains, dimensions).
        start: first points, shape (chains, dimensions) or (dimensions,) for one chain, of positive density.
        n_draws: kept of each chain, >= 1.
        n_warmup: iterations before them, >= 0; with 0 `step` is used as it is.
        path: mean length h L of a trajectory, > 0: about a quarter period, pi/2 standard deviations, is best.
        step: the first h, > 0.
        target: acceptance aimed at, in (0, 1).
        max_steps: bound of L, >= 1.
        rng: generator or its seed.

    Returns:
        Chains. Divergences mean that h is too long for a narrow part of p, which draws then miss.

    Raises:
        ValueError: as `metropolis`, and if a gradient at an accepted point has another shape or is not finite.

    Cost: about path / h gradients for all chains an iteration.
    References: Duane et al. 1987, Physics Letters B 195; Neal 2011, MCMC using Hamiltonian dynamics, eq. 2.28 to 2.30
        and section 3.2; Hoffman & Gelman 2014, JMLR 15, section 3.2 (dual averaging).
    Peer: closed forms of normal and Beta posteriors, within 5 Monte Carlo errors; volume and energy of the leapfrog
        (B).
    In production: scale parameters to like spread first; use Stan or PyMC for hierarchical models.
    """
    x, value, generator = _begin(log_density, start, n_draws, n_warmup, rng)
    for name, number in (("path", path), ("step", step)):
        if not (np.isfinite(number) and number > 0):
            raise ValueError(f"{name} must be > 0, got {number!r}")
    arguments.open_unit("target", target)
    arguments.whole("max_steps", max_steps, 1)
    grad = _gradient(gradient, x)
    if not np.isfinite(grad).all():
        raise ValueError("gradient must be finite where the density is positive; it is not at start")
    draws, kept, accepted = _room(x, n_draws)
    h, averaged, error, divergences = step, 0.0, 0.0, 0
    for k in range(n_warmup + n_draws):
        length = path * generator.uniform(0.5, 1.5)
        n_steps = int(min(max(1, np.ceil(length / h)), max_steps))
        momentum = generator.standard_normal(x.shape)
        there, r, there_value, there_grad = _leapfrog(log_density, gradient, x, momentum, grad, h, n_steps)
        with np.errstate(invalid="ignore", over="ignore"):
            risen = (value - (momentum**2).sum(1) / 2) - (there_value - (r**2).sum(1) / 2)
        risen = np.where(np.isnan(risen), np.inf, risen)
        chance = np.exp(np.minimum(-risen, 0.0))
        taken = generator.random(len(x)) < chance
        x, value = np.where(taken[:, None], there, x), np.where(taken, there_value, value)
        grad = np.where(taken[:, None], there_grad, grad)
        if k < n_warmup:  # dual averaging with gamma 0.05, t0 10, kappa 0.75, as in its paper
            error += (target - chance.mean() - error) / (k + 11)
            log_h = np.log(10 * step) - np.sqrt(k + 1) / 0.05 * error
            averaged += (k + 1) ** -0.75 * (log_h - averaged)
            h = float(np.exp(averaged if k == n_warmup - 1 else log_h))
        else:
            divergences += int((risen > 1000).sum())
            draws[:, k - n_warmup], kept[:, k - n_warmup] = x, value
            accepted += taken
    return Chains(draws, kept, accepted / n_draws, h, divergences)


def _leapfrog(
    log_density: Callable[[Floats], Any],
    gradient: Callable[[Floats], Any],
    x: Floats,
    r: Floats,
    grad: Floats,
    h: float,
    n_steps: int,
) -> tuple[Floats, Floats, Floats, Floats]:
    """Points, momenta, log densities and gradients at the end of n_steps; what left the range stays where it was."""
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(n_steps):
            r = r + h / 2 * grad
            moved = x + h * r
            alive = np.isfinite(moved).all(1, keepdims=True)
            x = np.where(alive, moved, x)
            grad = _gradient(gradient, x)
            r = r + h / 2 * grad
    value = np.where(np.isfinite(r).all(1), _log_density(log_density, x), -np.inf)
    return x, r, value, np.where(np.isfinite(grad), grad, 0.0)


def _begin(
    log_density: Callable[[Floats], Any],
    start: ArrayLike,
    n_draws: int,
    n_warmup: int,
    rng: np.random.Generator | int | None,
) -> tuple[Floats, Floats, np.random.Generator]:
    arguments.whole("n_draws", n_draws, 1)
    arguments.whole("n_warmup", n_warmup, 0)
    x = arguments.finite("start", np.atleast_2d(np.asarray(start, np.float64)), ndim=2)
    value = _log_density(log_density, x)
    if np.isneginf(value).any():
        raise ValueError(
            f"start must have positive density; chain {int(np.isneginf(value).argmax())} has log density -inf"
        )
    return x, value, np.random.default_rng(rng)


def _room(x: Floats, n_draws: int) -> tuple[Floats, Floats, Floats]:
    return np.empty((len(x), n_draws, x.shape[1])), np.empty((len(x), n_draws)), np.zeros(len(x))


def _log_density(log_density: Callable[[Floats], Any], x: Floats) -> Floats:
    value = np.asarray(log_density(x), np.float64)
    if value.shape != (len(x),):
        raise ValueError(f"log_density must return shape ({len(x)},) for points {x.shape}, got {value.shape}")
    if np.isnan(value).any() or (value == np.inf).any():
        raise ValueError(f"log_density must be a number or -inf, got {value!r} at {x!r}")
    return value


def _gradient(gradient: Callable[[Floats], Any], x: Floats) -> Floats:
    grad = np.asarray(gradient(x), np.float64)
    if grad.shape != x.shape:
        raise ValueError(f"gradient must return the points' shape {x.shape}, got {grad.shape}")
    return grad
