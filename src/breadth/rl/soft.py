"""The two kinds of soft actor: continuous actions, of which one is drawn, and discrete ones, which are summed over."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from breadth.rl.envs import bounded_actions, discrete_actions
from breadth.rl.policies import mlp, squashed_gaussian

_LOG_STD_MIN, _LOG_STD_MAX = -20.0, 2.0


class TwinCritic(nn.Module):
    """Two critics of the same shape as one batched product, so that a layer costs one call and not two.

    forward maps rows (n, n_inputs) to (2, n, n_outputs).
    """

    def __init__(self, sizes: Sequence[int], generator: Generator) -> None:
        super().__init__()
        twins = [mlp(sizes, "relu", generator=generator) for _ in range(2)]
        layers = [[layer for layer in twin if isinstance(layer, nn.Linear)] for twin in twins]
        stacked = list(zip(*layers, strict=True))
        self.weights = nn.ParameterList(torch.stack([a.weight.detach().T, b.weight.detach().T]) for a, b in stacked)
        self.biases = nn.ParameterList(torch.stack([a.bias.detach(), b.bias.detach()])[:, None] for a, b in stacked)

    def forward(self, x: Tensor) -> Tensor:
        h = x.expand(2, *x.shape)
        last = len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            h = torch.baddbmm(bias, h, weight)
            if i < last:
                h = F.relu(h)
        return h


class Soft(NamedTuple):
    """The soft value of each state under a policy, and the entropy that is part of it.

    Attributes:
        value: E_a[min_i Q_i(s, a) - alpha log pi(a | s)], shape (n,).
        entropy: E_a[-log pi(a | s)], shape (n,).
    """

    value: Tensor
    entropy: Tensor


class GaussianActor(nn.Module):
    """tanh of a normal whose mean and log std depend on the state; expectations are by one draw.

    Attributes:
        n_actions: length d of an action, which is in [-1, 1]^d; `to_env` scales it to the bounds.
        target_entropy: -d.
    """

    def __init__(self, space: gymnasium.Space, n_inputs: int, net_arch: Sequence[int], generator: Generator) -> None:
        super().__init__()
        low, high = bounded_actions(space, "SAC")
        self._low, self._high = low, high
        self.n_actions = len(low)
        self.target_entropy = -float(self.n_actions)
        self.critic_sizes = [n_inputs + self.n_actions, *net_arch, 1]
        self.net = mlp([n_inputs, *net_arch, 2 * self.n_actions], "relu", generator=generator)

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = self.net(obs).chunk(2, -1)
        return mean, log_std.clamp(_LOG_STD_MIN, _LOG_STD_MAX)

    def sample(self, obs: Tensor, generator: Generator) -> Tensor:
        mean, log_std = self(obs)
        return (mean + log_std.exp() * torch.empty_like(mean).normal_(generator=generator)).tanh()

    def mode(self, obs: Tensor) -> Tensor:
        return self(obs)[0].tanh()

    def uniform(self, n: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """n actions drawn before anything is learnt."""
        return rng.uniform(-1, 1, (n, self.n_actions)).astype(np.float32)

    def to_env(self, actions: NDArray) -> NDArray:
        return self._low + 0.5 * (actions + 1) * (self._high - self._low)

    def q(self, critic: TwinCritic, obs: Tensor, actions: Tensor) -> Tensor:
        """Both critics' values of the actions, shape (2, n)."""
        return critic(torch.cat([obs, actions], -1)).squeeze(-1)

    def soft(self, critic: TwinCritic, obs: Tensor, alpha: float, generator: Generator) -> Soft:
        mean, log_std = self(obs)
        action, log_prob = squashed_gaussian(mean, log_std, generator)
        return Soft(self.q(critic, obs, action).amin(0) - alpha * log_prob, -log_prob)


class CategoricalActor(nn.Module):
    """softmax over n actions; expectations are sums over all of them, so nothing is drawn.

    Attributes:
        n_actions: None, as the replay buffer keeps indices.
        target_entropy: 0.98 log n.
    """

    def __init__(self, space: gymnasium.Space, n_inputs: int, net_arch: Sequence[int], generator: Generator) -> None:
        super().__init__()
        self._n = discrete_actions(space, "SAC")
        self.n_actions = None
        self.target_entropy = 0.98 * math.log(self._n)
        self.critic_sizes = [n_inputs, *net_arch, self._n]
        self.net = mlp([n_inputs, *net_arch, self._n], "relu", generator=generator)

    def forward(self, obs: Tensor) -> Tensor:
        """log pi, shape (..., n)."""
        return F.log_softmax(self.net(obs), -1)

    def sample(self, obs: Tensor, generator: Generator) -> Tensor:
        race = torch.empty(*obs.shape[:-1], self._n, device=obs.device).exponential_(generator=generator)
        return (self(obs) - race.log()).argmax(-1)

    def mode(self, obs: Tensor) -> Tensor:
        return self(obs).argmax(-1)

    def uniform(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """n actions drawn before anything is learnt."""
        return rng.integers(self._n, size=n)

    def to_env(self, actions: NDArray) -> NDArray:
        return actions

    def q(self, critic: TwinCritic, obs: Tensor, actions: Tensor) -> Tensor:
        """Both critics' values of the actions, shape (2, n)."""
        return critic(obs).gather(-1, actions.expand(2, -1).unsqueeze(-1)).squeeze(-1)

    def soft(self, critic: TwinCritic, obs: Tensor, alpha: float, generator: Generator) -> Soft:
        log_p = self(obs)
        p = log_p.exp()
        entropy = -(p * log_p).sum(-1)
        return Soft((p * critic(obs).amin(0)).sum(-1) + alpha * entropy, entropy)


def actor_for(
    space: gymnasium.Space, n_inputs: int, net_arch: Sequence[int], generator: Generator
) -> GaussianActor | CategoricalActor:
    """The actor for an action space: categorical for Discrete, else Gaussian."""
    kind = CategoricalActor if isinstance(space, spaces.Discrete) else GaussianActor
    return kind(space, n_inputs, net_arch, generator)
