"""Returns, advantages and the clipped objective, as functions of tensors whose first axis is time."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def discounted_returns(
    rewards: Tensor,
    *,
    gamma: float,
    terminated: Tensor | None = None,
    truncated: Tensor | None = None,
    next_values: Tensor | None = None,
) -> Tensor:
    """What is earned from each step on: G_t = r_t + gamma G_{t+1}.

    Where the task ended, G_{t+1} is 0. Where it was only cut off (truncated, or the last step given), G_{t+1} is the
    value of the state that the step led to.

    Args:
        rewards: shape (T, ...), floating.
        gamma: discount, in [0, 1].
        terminated: bool, shape of rewards: the task ended with this step. None means never.
        truncated: bool, shape of rewards: the episode was cut off after this step. None means never.
        next_values: V(s_{t+1}) of the state that each step led to, before any reset, shape of rewards; only its entries
            at the cuts are used. None means 0: the return of what was seen.

    Returns:
        Shape and dtype of rewards.

    Raises:
        ValueError: if gamma is outside [0, 1], or shapes differ.

    Cost: O(T) operations on a row.
    References: Sutton & Barto 2018, eq. 3.9; Pardo et al. 2018, arXiv:1712.00378, eq. 6 (the value at a time limit).
    Peer: the double sum over powers of gamma in float64, 1e-12 (B).
    In production: use it for Monte-Carlo targets (REINFORCE); `gae` where a critic can lower the variance.
    """
    _check_discount("gamma", gamma)
    ended, cut = _masks(rewards, terminated, truncated)
    bootstrap = torch.zeros_like(rewards) if next_values is None else next_values
    _check_shape("next_values", bootstrap, rewards)
    returns = torch.empty_like(rewards)
    following = bootstrap[-1:].squeeze(0)
    for t in reversed(range(len(rewards))):
        following = torch.where(cut[t], bootstrap[t], following).masked_fill(ended[t], 0)
        following = rewards[t] + gamma * following
        returns[t] = following
    return returns


def gae(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    *,
    terminated: Tensor,
    truncated: Tensor | None = None,
    gamma: float = 0.99,
    gae_lambda: float = 0.95,
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation: A_t = sum_l (gamma lambda)^l delta_{t+l}.

    delta_t = r_t + gamma V(s_{t+1}) - V(s_t), where V(s_{t+1}) counts as 0 only where the task ended. The sum stops at
    the end of an episode, be it terminated or truncated, and with the last step given.

    Args:
        rewards: shape (T, ...), floating.
        values: V(s_t), shape of rewards.
        next_values: V of the state that each step led to, before any reset, shape of rewards. Inside an episode it is
            values[t + 1]; where an episode was truncated it is the value of its last state, which `values` lacks.
        terminated: bool, shape of rewards: the task ended with this step.
        truncated: bool, shape of rewards: the episode was cut off after this step. None means never.
        gamma: discount, in [0, 1].
        gae_lambda: 0 is the one-step TD error (low variance, biased by V), 1 the Monte-Carlo return less V(s_t).

    Returns:
        The advantages, and the returns A_t + V(s_t) that the critic is fitted to, each of the shape of rewards.

    Raises:
        ValueError: if gamma or gae_lambda is outside [0, 1], or shapes differ.

    Cost: O(T) operations on a row.
    References: Schulman et al. 2016, arXiv:1506.02438, eq. 16; Pardo et al. 2018, arXiv:1712.00378 (truncation).
    Peer: stable_baselines3.common.buffers.RolloutBuffer, 1e-6 in its float32 (A); the double sum in float64, 1e-12.
    In production: use it for the advantages of every actor-critic on whole rollouts.
    """
    _check_discount("gamma", gamma)
    _check_discount("gae_lambda", gae_lambda)
    _check_shape("values", values, rewards)
    _check_shape("next_values", next_values, rewards)
    ended, cut = _masks(rewards, terminated, truncated)
    # masked, not multiplied by 0: what stands for the value of a state that is not there may be NaN
    delta = rewards + gamma * next_values.masked_fill(ended, 0) - values
    last = ended | cut
    advantages = torch.empty_like(delta)
    following = torch.zeros_like(delta[:1]).squeeze(0)
    for t in reversed(range(len(delta))):
        following = delta[t] + gamma * gae_lambda * following.masked_fill(last[t], 0)
        advantages[t] = following
    return advantages, advantages + values


def clipped_surrogate(log_prob: Tensor, old_log_prob: Tensor, advantages: Tensor, *, clip_range: float) -> Tensor:
    """PPO's objective for each action, to be maximised: min(r A, clip(r, 1 - eps, 1 + eps) A), r = pi / pi_old.

    The minimum is taken for either sign of A: where A > 0 the ratio stops paying above 1 + eps, where A < 0 it stops
    below 1 - eps, and on the other side it is not clipped, so that a step too far can be undone.

    Args:
        log_prob: log pi(a | s) of the policy being improved, any shape.
        old_log_prob: log pi_old(a | s) of the policy that drew the actions, shape of log_prob; no gradient needed.
        advantages: shape of log_prob.
        clip_range: eps, in (0, 1).

    Returns:
        The objective per action, shape of log_prob; its mean is what PPO maximises.

    Raises:
        ValueError: if clip_range is outside (0, 1), or shapes differ.

    Cost: O(size).
    Deviations: the clip is applied to log r, before exp, which is the same function. Its gradient stays 0, and not NaN,
        where r overflows beyond a clip.
    References: Schulman et al. 2017, arXiv:1707.06347, eq. 7.
    Peer: the minimum of the two products as in the paper, float64, value and gradient, 1e-12 (B); torch.minimum.
    In production: use it inside PPO; with one update a rollout, r = 1 and it is the plain policy gradient.
    """
    if not 0 < clip_range < 1:
        raise ValueError(f"clip_range must be in (0, 1), got {clip_range}; 0.2 is usual")
    _check_shape("old_log_prob", old_log_prob, log_prob)
    _check_shape("advantages", advantages, log_prob)
    log_ratio = log_prob - old_log_prob
    upper, lower = math.log1p(clip_range), math.log1p(-clip_range)
    kept = torch.where(advantages >= 0, log_ratio.clamp(max=upper), log_ratio.clamp(min=lower))
    return kept.exp() * advantages


def _masks(rewards: Tensor, terminated: Tensor | None, truncated: Tensor | None) -> tuple[Tensor, Tensor]:
    never = torch.zeros_like(rewards, dtype=torch.bool)
    terminated, truncated = (never if mask is None else mask for mask in (terminated, truncated))
    for name, mask in (("terminated", terminated), ("truncated", truncated)):
        _check_shape(name, mask, rewards)
        if mask.dtype != torch.bool:
            raise ValueError(f"{name} must be bool, got {mask.dtype}")
    return terminated, truncated


def _check_shape(name: str, given: Tensor, like: Tensor) -> None:
    if given.shape != like.shape:
        raise ValueError(f"{name} must have the shape {tuple(like.shape)} of the first argument, got {given.shape}")


def _check_discount(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be in [0, 1], got {value}")
