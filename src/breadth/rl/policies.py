"""Small networks, and the distributions of actions that they give.

The distributions draw from a torch.Generator of the agent's own, which torch.distributions cannot, and check nothing on
the way: on batches of a few rows those checks cost more than the networks do.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import gymnasium
import torch
from gymnasium import spaces
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from breadth.rl.envs import discrete_actions

Activation = Literal["tanh", "relu"]


def mlp(
    sizes: Sequence[int],
    activation: Activation,
    *,
    generator: Generator,
    orthogonal: bool = False,
    output_gain: float = 1.0,
) -> nn.Sequential:
    """A perceptron with layers of the given sizes, the last one linear.

    Args:
        sizes: of the input, each hidden layer, and the output.
        activation: after each hidden layer.
        generator: of the weights.
        orthogonal: W W^T = g^2 I with g = sqrt(2) in hidden layers and output_gain in the last, biases 0; else each
            weight and bias uniform in +-1/sqrt(fan_in), as torch.nn.Linear draws them.
        output_gain: gain of the last layer; 0.01 makes a policy that at first does not depend on what it sees.

    References: Saxe et al. 2014, arXiv:1312.6120, section 2 (orthogonal); Andrychowicz et al. 2021, arXiv:2006.05990,
        section 3.2 (the small last layer).
    """
    layers: list[nn.Module] = []
    for i, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        linear = nn.Linear(fan_in, fan_out, device="meta").to_empty(device="cpu")  # not drawn twice
        last = i == len(sizes) - 2
        if orthogonal:
            nn.init.orthogonal_(linear.weight, output_gain if last else math.sqrt(2), generator=generator)
            nn.init.zeros_(linear.bias)
        else:
            bound = 1 / math.sqrt(fan_in)
            nn.init.uniform_(linear.weight, -bound, bound, generator=generator)
            nn.init.uniform_(linear.bias, -bound, bound, generator=generator)
        layers.append(linear)
        if not last:
            layers.append(nn.Tanh() if activation == "tanh" else nn.ReLU())
    return nn.Sequential(*layers)


class Categorical(NamedTuple):
    """One of n actions with probabilities softmax(logits), logits of shape (..., n)."""

    logits: Tensor

    def sample(self, generator: Generator) -> Tensor:
        """Indices, shape (...), by the exponential race: argmax_i p_i / E_i, E_i ~ Exp(1)."""
        return (self.logits - torch.empty_like(self.logits).exponential_(generator=generator).log()).argmax(-1)

    def mode(self) -> Tensor:
        return self.logits.argmax(-1)

    def log_prob(self, action: Tensor) -> Tensor:
        return F.log_softmax(self.logits, -1).gather(-1, action.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        log_p = F.log_softmax(self.logits, -1)
        return -(log_p.exp() * log_p).sum(-1)


class DiagonalGaussian(NamedTuple):
    """Independent normals: mean of shape (..., d), log_std broadcastable to it."""

    mean: Tensor
    log_std: Tensor

    def sample(self, generator: Generator) -> Tensor:
        noise = torch.empty_like(self.mean).normal_(generator=generator)
        return self.mean + self.log_std.exp() * noise

    def mode(self) -> Tensor:
        return self.mean

    def log_prob(self, action: Tensor) -> Tensor:
        z = (action - self.mean) * (-self.log_std).exp()
        return (-0.5 * z.square() - self.log_std - 0.5 * math.log(2 * math.pi)).sum(-1)

    def entropy(self) -> Tensor:
        return (self.log_std + 0.5 * math.log(2 * math.pi * math.e)).expand_as(self.mean).sum(-1)


def squashed_gaussian(mean: Tensor, log_std: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """An action tanh(u), u ~ N(mean, std^2), differentiable in both, with its log probability.

    log pi(a) = log N(u) - sum_i log(1 - tanh(u_i)^2), the last term as 2 (log 2 - u_i - softplus(-2 u_i)), which is
    exact where tanh(u) rounds to 1.

    Args:
        mean, log_std: shape (..., d).
        generator: of the noise.

    Returns:
        The action in [-1, 1], shape (..., d), and its log probability, shape (...).

    References: Haarnoja et al. 2018, arXiv:1801.01290, appendix C, eq. 21.
    """
    noise = torch.empty_like(mean).normal_(generator=generator)
    u = mean + log_std.exp() * noise
    log_normal = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
    return u.tanh(), (log_normal - 2 * (math.log(2) - u - F.softplus(-2 * u))).sum(-1)


class ActorCritic(nn.Module):
    """A policy and a value network without common layers, over flat observations.

    The actions of a Box have a mean that depends on the state and a standard deviation that does not.
    """

    def __init__(
        self,
        observation_space: gymnasium.Space,
        action_space: gymnasium.Space,
        *,
        net_arch: Sequence[int],
        activation: Activation,
        generator: Generator,
        agent: str,
    ) -> None:
        super().__init__()
        n_inputs = flat_size(observation_space)
        self.continuous = isinstance(action_space, spaces.Box)
        if isinstance(action_space, spaces.Box):
            if len(action_space.shape) != 1:
                raise ValueError(f"{agent} has actions of shape (d,), and the environment's are {action_space}")
            n_outputs = action_space.shape[0]
            self.log_std = nn.Parameter(torch.zeros(n_outputs))
            self.register_buffer("low", torch.as_tensor(action_space.low, dtype=torch.float32))
            self.register_buffer("high", torch.as_tensor(action_space.high, dtype=torch.float32))
        else:
            n_outputs = discrete_actions(action_space, agent)
        self.actor = mlp(
            [n_inputs, *net_arch, n_outputs], activation, generator=generator, orthogonal=True, output_gain=0.01
        )
        self.critic = mlp([n_inputs, *net_arch, 1], activation, generator=generator, orthogonal=True)

    def distribution(self, obs: Tensor) -> Categorical | DiagonalGaussian:
        """Of the actions at each observation (..., n_inputs)."""
        output = self.actor(obs)
        return DiagonalGaussian(output, self.log_std) if self.continuous else Categorical(output)

    def value(self, obs: Tensor) -> Tensor:
        """V of each observation, shape (...)."""
        return self.critic(obs).squeeze(-1)

    def within_bounds(self, action: Tensor) -> Tensor:
        """The action that the environment is given: a normal has no bounds, a Box has."""
        return torch.clamp(action, self.low, self.high) if self.continuous else action

    @torch.no_grad()
    def act(self, obs: Tensor, generator: Generator | None) -> Tensor:
        """Actions for the environment: draws from a generator, the modes without one."""
        distribution = self.distribution(obs)
        return self.within_bounds(distribution.mode() if generator is None else distribution.sample(generator))


def flat_size(space: gymnasium.Space) -> int:
    """The length of a flat observation.

    Raises:
        ValueError: if observations are not vectors.
    """
    if space.shape is None or len(space.shape) != 1:
        raise ValueError(
            f"observations must be vectors, got {space}; wrap the environment in gymnasium.wrappers.FlattenObservation"
        )
    return space.shape[0]


@torch.no_grad()
def move_towards(target: nn.Module, network: nn.Module, tau: float) -> None:
    """Polyak's average of weights: target <- (1 - tau) target + tau network."""
    for old, new in zip(target.parameters(), network.parameters(), strict=True):
        old.lerp_(new, tau)
