"""What an on-policy agent saw: n_steps of each copy of the environment under one policy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from breadth.rl.curves import Learns, Recorder
from breadth.rl.envs import Envs
from breadth.rl.policies import ActorCritic
from breadth.rl.returns import gae


class Rollout(NamedTuple):
    """Tensors whose first two axes are (n_steps, n_envs).

    Attributes:
        obs, actions: what was seen, and done there, before a continuous action was brought within its bounds.
        rewards, terminated, truncated: what followed.
        successors: the state that each action led to, before any reset.
    """

    obs: Tensor
    actions: Tensor
    rewards: Tensor
    terminated: Tensor
    truncated: Tensor
    successors: Tensor


class Samples(NamedTuple):
    """A rollout as rows: actions with their log probabilities when drawn, values, advantages and returns."""

    obs: Tensor
    actions: Tensor
    log_prob: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor


class Collector:
    """Steps the environments under a policy, from where the last rollout ended."""

    def __init__(self, envs: Envs, seed: int, recorder: Recorder, device: torch.device) -> None:
        self._envs, self._recorder, self._device = envs, recorder, device
        self._obs = envs.reset(seed)

    @torch.no_grad()
    def collect(self, agent: Learns, policy: ActorCritic, n_steps: int, generator: Generator) -> Rollout | None:
        """The next rollout; None if the callback asked to stop on the way."""
        rows: list[tuple[NDArray, ...]] = []
        for _ in range(n_steps):
            action = policy.distribution(self._tensor(self._obs)).sample(generator)
            step = self._envs.step(policy.within_bounds(action).cpu().numpy())
            reward = step.reward.astype(np.float32)
            rows.append((self._obs, action.cpu().numpy(), reward, step.terminated, step.truncated, step.successor))
            self._obs = step.observation
            agent.num_timesteps += len(self._envs)
            if self._recorder.stops():
                return None
        return Rollout(*(self._tensor(np.stack(column)) for column in zip(*rows, strict=True)))

    def _tensor(self, array: NDArray) -> Tensor:
        return torch.from_numpy(array).to(self._device)


@torch.no_grad()
def assess(rollout: Rollout, policy: ActorCritic, *, gamma: float, gae_lambda: float) -> Samples:
    """Values, log probabilities and advantages of a whole rollout, in three batched calls of the networks.

    The policy has not changed since the rollout began, so these are what it would have computed at each step.
    """
    values = policy.value(rollout.obs)
    next_values = torch.cat([values[1:], policy.value(rollout.successors[-1:])])
    cut = rollout.truncated
    if cut.any():
        next_values[cut] = policy.value(rollout.successors[cut])
    advantages, returns = gae(
        rollout.rewards,
        values,
        next_values,
        terminated=rollout.terminated,
        truncated=cut,
        gamma=gamma,
        gae_lambda=gae_lambda,
    )
    log_prob = policy.distribution(rollout.obs).log_prob(rollout.actions)
    columns = (rollout.obs, rollout.actions, log_prob, values, advantages, returns)
    return Samples(*(column.flatten(0, 1) for column in columns))
