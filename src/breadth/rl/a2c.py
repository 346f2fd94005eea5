"""Synchronous advantage actor-critic, for discrete and continuous actions."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from breadth.rl import checkpoint, hyperparameters
from breadth.rl.curves import Callback, LearningCurve, Recorder
from breadth.rl.envs import Envs, MakeEnv
from breadth.rl.policies import Activation, ActorCritic
from breadth.rl.rollout import Collector, Samples, assess


@dataclass(frozen=True, kw_only=True)
class A2CHyperparameters:
    """Settings of `A2C`, under stable-baselines3's names.

    Args:
        n_envs: copies of the environment stepped together, >= 1.
        n_steps: steps of each copy between updates, >= 1.
        learning_rate: of RMSProp, > 0; it falls linearly to 0 at the end of `learn` if anneal is set.
        anneal: whether the learning rate falls.
        rms_prop_eps: added to RMSProp's root.
        gamma: discount, in [0, 1].
        gae_lambda: 1 is the n-step return of the paper.
        ent_coef, vf_coef: weights of the entropy bonus and of the critic's squared error.
        max_grad_norm: gradients are scaled to at most this norm.
        normalize_advantage: to mean 0 and standard deviation 1 in each update.
        net_arch: hidden layers of the policy and of the critic.
        activation: of the hidden layers.
    """

    n_envs: int = 1
    n_steps: int = 5
    learning_rate: float = 7e-4
    anneal: bool = False
    rms_prop_eps: float = 1e-5
    gamma: float = 0.99
    gae_lambda: float = 1.0
    ent_coef: float = 0.0
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5
    normalize_advantage: bool = False
    net_arch: tuple[int, ...] = (64, 64)
    activation: Activation = "tanh"

    def __post_init__(self) -> None:
        hyperparameters.require(
            self,
            counts=("n_envs", "n_steps"),
            fractions=("gamma", "gae_lambda"),
            positive=("learning_rate", "max_grad_norm"),
            not_negative=("rms_prop_eps", "ent_coef", "vf_coef"),
        )
        if self.normalize_advantage and self.n_steps * self.n_envs < 2:
            raise ValueError("normalize_advantage needs at least two rows, n_steps n_envs >= 2")


class A2C:
    """Synchronous advantage actor-critic: one gradient step on each short rollout of many copies.

    minimise -mean[log pi(a | s) A] + c_v mean[(V - R)^2] - c_e mean[H], with A = R - V and R the n-step return that
    ends in the critic's value (at gae_lambda 1).

    Args:
        env: a gymnasium id, or a callable that makes an environment; observations are vectors, actions Discrete or a
            Box of shape (d,).
        seed: of the weights, the actions and the environments.
        device: of the networks.
        hyper: the fields of `A2CHyperparameters`.

    Attributes:
        hyper: the settings.
        policy: the `ActorCritic`.
        num_timesteps: environment steps taken so far, over all copies.

    Raises:
        ValueError: for a setting out of range, or spaces other than those above.
        TypeError: for a setting that does not exist.

    Cost: n_steps batched policy calls and one update of n_envs n_steps rows.
    Deviations: from A3C: copies are stepped together and their gradients averaged, where A3C's threads update without
        waiting; the critic has its own network; weights start orthogonal; the gradient's norm is clipped; an episode
        cut off by a time limit is continued by the critic's value.
    References: Mnih et al. 2016, arXiv:1602.01783, section 4 and algorithm S3; Schulman et al. 2016, arXiv:1506.02438,
        eq. 16.
    Peer: stable_baselines3.A2C: its loss and gradient on equal weights and rows, 2e-5 in its float32 (A).
    In production: use it as the plainest actor-critic; PPO takes fewer steps on nearly everything.
    """

    def __init__(self, env: MakeEnv, *, seed: int = 0, device: str | torch.device = "cpu", **hyper: Any) -> None:
        h = self.hyper = hyperparameters.build(A2CHyperparameters, hyper)
        self.seed, self.num_timesteps = seed, 0
        self._device = torch.device(device)
        self._envs = Envs(env, h.n_envs)
        self._rng = np.random.default_rng(seed)
        # of the actions: another stream than that of the weights
        self._generator = torch.Generator(self._device).manual_seed(int(self._rng.integers(2**63)))
        self.policy = ActorCritic(
            self._envs.observation_space,
            self._envs.action_space,
            net_arch=h.net_arch,
            activation=h.activation,
            generator=torch.Generator().manual_seed(seed),
            agent="A2C",
        ).to(self._device)
        self._optimizer = torch.optim.RMSprop(
            self.policy.parameters(), lr=h.learning_rate, alpha=0.99, eps=h.rms_prop_eps, foreach=True
        )

    def learn(self, total_timesteps: int, callback: Callback | None = None) -> LearningCurve:
        """Learn until the agent has taken total_timesteps in its whole life, or the callback returns True.

        Args:
            total_timesteps: environment steps, over all copies and earlier calls; whole rollouts are taken, so it may
                be passed.
            callback: called with the agent after each step of the copies.

        Returns:
            The episodes that ended during this call, which begins with new ones.
        """
        h, recorder = self.hyper, Recorder.of(self, self._envs, callback)
        collector = Collector(self._envs, int(self._rng.integers(2**31)), recorder, self._device)
        while self.num_timesteps < total_timesteps:
            rollout = collector.collect(self, self.policy, h.n_steps, self._generator)
            if rollout is None:
                break
            if h.anneal:
                remaining = max(1 - self.num_timesteps / total_timesteps, 0)
                self._optimizer.param_groups[0]["lr"] = h.learning_rate * remaining
            self._optimizer.zero_grad()
            self.loss(assess(rollout, self.policy, gamma=h.gamma, gae_lambda=h.gae_lambda)).backward()
            nn.utils.clip_grad_norm_(self.policy.parameters(), h.max_grad_norm, error_if_nonfinite=True)
            self._optimizer.step()
        return recorder.curve()

    def loss(self, batch: Samples) -> Tensor:
        """The loss to minimise on a rollout."""
        h, advantages = self.hyper, batch.advantages
        if h.normalize_advantage:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        distribution = self.policy.distribution(batch.obs)
        gain = (distribution.log_prob(batch.actions) * advantages).mean()
        loss = h.vf_coef * F.mse_loss(self.policy.value(batch.obs), batch.returns) - gain
        return loss - h.ent_coef * distribution.entropy().mean() if h.ent_coef else loss

    def predict(self, obs: NDArray, *, deterministic: bool = True) -> NDArray:
        """Actions at observations, one (n_inputs,) or a batch (n, n_inputs): the mode, or a draw."""
        x = torch.as_tensor(obs, dtype=torch.float32, device=self._device)
        return self.policy.act(x, None if deterministic else self._generator).cpu().numpy()

    def _parts(self) -> dict[str, checkpoint.Part]:
        return {"policy": self.policy, "optimizer": self._optimizer, "generator": self._generator, "rng": self._rng}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all but the episodes under way, with which `learn` never begins."""
        checkpoint.write(path, self, self._parts())

    @classmethod
    def load(cls, path: str | os.PathLike[str], env: MakeEnv, *, device: str | torch.device = "cpu") -> Self:
        """The saved agent, which learns on as the one that was saved would have."""
        saved = checkpoint.read(path, cls.__name__)
        agent = cls(env, seed=saved["seed"], device=device, **saved["hyper"])
        checkpoint.restore(agent, agent._parts(), saved["state"])
        return agent
