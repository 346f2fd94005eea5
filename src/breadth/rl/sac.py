"""Soft actor-critic with a learned temperature, for continuous and discrete actions."""

from __future__ import annotations

import copy
import math
import os
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from breadth.rl import checkpoint, hyperparameters
from breadth.rl.curves import Callback, LearningCurve, Recorder
from breadth.rl.envs import Envs, MakeEnv
from breadth.rl.policies import flat_size, move_towards
from breadth.rl.replay import Batch, ReplayBuffer
from breadth.rl.soft import TwinCritic, actor_for


@dataclass(frozen=True, kw_only=True)
class SACHyperparameters:
    """Settings of `SAC`, under stable-baselines3's names.

    Args:
        n_envs: copies of the environment stepped together, >= 1.
        learning_rate: of the Adams of actor, critics and temperature, > 0.
        buffer_size: transitions kept for replay, >= n_envs.
        learning_starts: environment steps with random actions before the first update, >= 1.
        batch_size: transitions of an update, >= 1.
        tau: share of the critics in their new targets, in (0, 1].
        gamma: discount, in [0, 1].
        train_freq: steps of the copies between bursts of updates, >= 1.
        gradient_steps: updates of a burst, >= 1.
        ent_coef: the temperature alpha, >= 0; None learns it, from 1.
        target_entropy: that the learned temperature holds, in nats; None is -d for an action of d numbers and
            0.98 log n for one of n.
        net_arch: hidden layers of the actor and the critics, with ReLU.
    """

    n_envs: int = 1
    learning_rate: float = 3e-4
    buffer_size: int = 1_000_000
    learning_starts: int = 100
    batch_size: int = 256
    tau: float = 0.005
    gamma: float = 0.99
    train_freq: int = 1
    gradient_steps: int = 1
    ent_coef: float | None = None
    target_entropy: float | None = None
    net_arch: tuple[int, ...] = (256, 256)

    def __post_init__(self) -> None:
        hyperparameters.require(
            self,
            counts=("n_envs", "buffer_size", "learning_starts", "batch_size", "train_freq", "gradient_steps"),
            fractions=("gamma", "tau"),
            positive=("learning_rate", "tau"),
            not_negative=() if self.ent_coef is None else ("ent_coef",),
        )
        if self.buffer_size < self.n_envs:
            raise ValueError(f"buffer_size must be at least n_envs = {self.n_envs}, got {self.buffer_size}")


class SAC:
    """Soft actor-critic: off-policy learning of the policy with the largest return plus alpha times entropy.

    V(s) = E_{a ~ pi}[min(Q_1', Q_2')(s, a) - alpha log pi(a | s)] with target critics Q'; each critic is moved to
    r + gamma V(s'), the actor up V(s) with the critics themselves, and log alpha by (entropy - target entropy).

    A Box's actions are tanh of a normal, scaled to its bounds; V takes one draw. Discrete actions have a softmax, and V
    is the sum over them.

    Args:
        env: a gymnasium id, or a callable that makes an environment; observations are vectors, actions a Box of shape
            (d,) with finite bounds, or Discrete.
        seed: of the weights, the actions, the draws from the buffer, and the environments.
        device: of the networks.
        hyper: the fields of `SACHyperparameters`.

    Attributes:
        hyper: the settings.
        actor, critic, target_critic: the networks.
        log_ent_coef: log alpha; None where ent_coef is given.
        buffer: the `ReplayBuffer`.
        num_timesteps: environment steps taken so far, over all copies.

    Raises:
        ValueError: for a setting out of range, a Box without finite bounds, or observations that are not vectors.
        TypeError: for a setting that does not exist.

    Cost: an update passes batch_size rows forward 2 times through the actor and 6 through a critic, and back 1 and 4.
    Deviations: from the second paper (arXiv:1812.05905): the temperature is moved by (entropy - target) times log
        alpha, not alpha, as in its authors' code; rewards are not scaled; an episode cut off by a time limit does not
        count as ended. From Christodoulou: the critics' losses are plain squared errors, the target entropy 0.98 of the
        largest. From stable-baselines3: both critics are one batched product.
    References: Haarnoja et al. 2018, arXiv:1812.05905, eqs. 5, 7, 18 and algorithm 1; Haarnoja et al. 2018,
        arXiv:1801.01290, appendix C; Christodoulou 2019, arXiv:1910.07207, eqs. 10-12.
    Peer: stable_baselines3.SAC: its three losses and the actor's gradient on equal weights, rows and noise, 2e-4, as it
        adds 1e-6 inside a logarithm (A); discrete actions: soft value iteration on a maze (B).
    In production: use it for continuous control where steps are dear; PPO where a simulator is fast.
    """

    def __init__(self, env: MakeEnv, *, seed: int = 0, device: str | torch.device = "cpu", **hyper: Any) -> None:
        h = self.hyper = hyperparameters.build(SACHyperparameters, hyper)
        self.seed, self.num_timesteps = seed, 0
        self._device = torch.device(device)
        self._envs = Envs(env, h.n_envs)
        self._rng = np.random.default_rng(seed)
        # of the actions: another stream than that of the weights
        self._generator = torch.Generator(self._device).manual_seed(int(self._rng.integers(2**63)))
        weights = torch.Generator().manual_seed(seed)
        n_inputs = flat_size(self._envs.observation_space)
        self.actor = actor_for(self._envs.action_space, n_inputs, h.net_arch, weights).to(self._device)
        self.critic = TwinCritic(self.actor.critic_sizes, weights).to(self._device)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.log_ent_coef = torch.zeros((), device=self._device, requires_grad=True) if h.ent_coef is None else None
        self._target_entropy = self.actor.target_entropy if h.target_entropy is None else h.target_entropy
        learned: dict[str, list[Tensor]] = {
            "actor": list(self.actor.parameters()),
            "critic": list(self.critic.parameters()),
            "ent_coef": [] if self.log_ent_coef is None else [self.log_ent_coef],
        }
        self._optimizers = {
            name: torch.optim.Adam(tensors, lr=h.learning_rate, fused=True)
            for name, tensors in learned.items()
            if tensors
        }
        self.buffer = ReplayBuffer(h.buffer_size, n_inputs, self.actor.n_actions)

    @property
    def ent_coef(self) -> float:
        """The temperature alpha."""
        return float(self.hyper.ent_coef or 0) if self.log_ent_coef is None else math.exp(self.log_ent_coef.item())

    def learn(self, total_timesteps: int, callback: Callback | None = None) -> LearningCurve:
        """Learn until the agent has taken total_timesteps in its whole life, or the callback returns True.

        Args:
            total_timesteps: environment steps, over all copies and earlier calls.
            callback: called with the agent after each step of the copies.

        Returns:
            The episodes that ended during this call, which begins with new ones.
        """
        h, recorder, n_calls = self.hyper, Recorder.of(self, self._envs, callback), 0
        obs = self._envs.reset(int(self._rng.integers(2**31)))
        while self.num_timesteps < total_timesteps:
            if self.num_timesteps < h.learning_starts:
                actions = self.actor.uniform(h.n_envs, self._rng)
            else:
                with torch.no_grad():
                    actions = self.actor.sample(self._tensor(obs), self._generator).cpu().numpy()
            step = self._envs.step(self.actor.to_env(actions))
            self.buffer.add(obs, actions, step.reward, step.successor, step.terminated)
            obs, n_calls = step.observation, n_calls + 1
            self.num_timesteps += h.n_envs
            if recorder.stops():
                break
            if n_calls % h.train_freq == 0 and self.num_timesteps > h.learning_starts:
                for _ in range(h.gradient_steps):
                    self._improve(self.buffer.sample(h.batch_size, self._rng, self._device))
        return recorder.curve()

    @torch.no_grad()
    def targets(self, batch: Batch) -> Tensor:
        """r + gamma (1 - terminated) V(s'), shape (rows,)."""
        following = self.actor.soft(self.target_critic, batch.successors, self.ent_coef, self._generator).value
        return batch.rewards + self.hyper.gamma * (1 - batch.terminated) * following

    def _improve(self, batch: Batch) -> None:
        alpha, targets = self.ent_coef, self.targets(batch)
        if not math.isfinite(targets.sum().item()):
            raise FloatingPointError(
                f"a critic's targets are not finite after {self.num_timesteps} steps; lower learning_rate, or look for "
                "rewards and observations that are not finite"
            )
        error = self.actor.q(self.critic, batch.obs, batch.actions) - targets
        self._descend("critic", 0.5 * error.square().mean(1).sum())
        soft = self.actor.soft(self.critic, batch.obs, alpha, self._generator)
        self._descend("actor", -soft.value.mean())
        if self.log_ent_coef is not None:
            self._descend("ent_coef", self.log_ent_coef * (soft.entropy.detach().mean() - self._target_entropy))
        move_towards(self.target_critic, self.critic, self.hyper.tau)

    def _descend(self, name: str, loss: Tensor) -> None:
        optimizer = self._optimizers[name]
        optimizer.zero_grad()
        # of these tensors only: the actor's loss passes through the critics without a gradient of their weights
        loss.backward(inputs=optimizer.param_groups[0]["params"])
        optimizer.step()

    def _tensor(self, array: NDArray) -> Tensor:
        return torch.as_tensor(array, dtype=torch.float32, device=self._device)

    @torch.no_grad()
    def predict(self, obs: NDArray, *, deterministic: bool = True) -> NDArray:
        """Actions at observations, one (n_inputs,) or a batch (n, n_inputs): the mode, or a draw."""
        x = self._tensor(obs)
        action = self.actor.mode(x) if deterministic else self.actor.sample(x, self._generator)
        return self.actor.to_env(action.cpu().numpy())

    def _parts(self) -> dict[str, checkpoint.Part]:
        return {
            "actor": self.actor,
            "critic": self.critic,
            "target_critic": self.target_critic,
            **({} if self.log_ent_coef is None else {"log_ent_coef": self.log_ent_coef}),
            **{f"{name}_optimizer": optimizer for name, optimizer in self._optimizers.items()},
            "buffer": self.buffer,
            "generator": self._generator,
            "rng": self._rng,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all, the buffer too, but the episodes under way, with which `learn` never begins."""
        checkpoint.write(path, self, self._parts())

    @classmethod
    def load(cls, path: str | os.PathLike[str], env: MakeEnv, *, device: str | torch.device = "cpu") -> Self:
        """The saved agent, which learns on as the one that was saved would have."""
        saved = checkpoint.read(path, cls.__name__)
        agent = cls(env, seed=saved["seed"], device=device, **saved["hyper"])
        checkpoint.restore(agent, agent._parts(), saved["state"])
        return agent
