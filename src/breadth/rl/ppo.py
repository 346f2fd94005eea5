"""Proximal policy optimisation, for discrete and continuous actions."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from breadth.rl import checkpoint, hyperparameters
from breadth.rl.curves import Callback, LearningCurve, Recorder
from breadth.rl.envs import Envs, MakeEnv
from breadth.rl.policies import Activation, ActorCritic
from breadth.rl.returns import clipped_surrogate
from breadth.rl.rollout import Collector, Samples, assess

Schedule = Literal["constant", "linear"]


@dataclass(frozen=True, kw_only=True)
class PPOHyperparameters:
    """Settings of `PPO`, under stable-baselines3's names.

    Args:
        n_envs: copies of the environment stepped together, >= 1.
        n_steps: steps of each copy in a rollout, >= 1.
        batch_size: rows of a minibatch, in [2, n_envs n_steps]; the last minibatch of an epoch may be smaller.
        n_epochs: passes over each rollout, >= 1.
        learning_rate: of Adam, > 0.
        clip_range: eps of the clipped objective, in (0, 1).
        clip_range_vf: how far a value may move from that at the rollout and still lower the loss; None does not clip.
        learning_rate_schedule, clip_range_schedule: "linear" falls to 0 at the end of `learn`.
        gamma, gae_lambda: discount and the exponent of `gae`, in [0, 1].
        ent_coef, vf_coef: weights of the entropy bonus and of the critic's squared error.
        max_grad_norm: gradients are scaled to at most this norm.
        normalize_advantage: to mean 0 and standard deviation 1 in each minibatch of more than one row.
        target_kl: ends the epochs on a rollout once the approximate KL divergence is 1.5 times this; None never does.
        net_arch: hidden layers of the policy and of the critic.
        activation: of the hidden layers.
    """

    n_envs: int = 1
    n_steps: int = 2048
    batch_size: int = 64
    n_epochs: int = 10
    learning_rate: float = 3e-4
    clip_range: float = 0.2
    clip_range_vf: float | None = None
    learning_rate_schedule: Schedule = "constant"
    clip_range_schedule: Schedule = "constant"
    gamma: float = 0.99
    gae_lambda: float = 0.95
    ent_coef: float = 0.0
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5
    normalize_advantage: bool = True
    target_kl: float | None = None
    net_arch: tuple[int, ...] = (64, 64)
    activation: Activation = "tanh"

    def __post_init__(self) -> None:
        hyperparameters.require(
            self,
            counts=("n_envs", "n_steps", "batch_size", "n_epochs"),
            fractions=("gamma", "gae_lambda"),
            positive=("learning_rate", "max_grad_norm"),
            not_negative=("ent_coef", "vf_coef"),
        )
        if not 2 <= self.batch_size <= self.n_envs * self.n_steps:
            raise ValueError(
                f"batch_size must be in [2, n_envs n_steps = {self.n_envs * self.n_steps}], got {self.batch_size}"
            )
        if not 0 < self.clip_range < 1:
            raise ValueError(f"clip_range must be in (0, 1), got {self.clip_range}; 0.2 is usual")
        for name in ("clip_range_vf", "target_kl"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ValueError(f"{name} must be > 0, or None for none, got {value}")


class PPO:
    """Proximal policy optimisation: several passes of gradient ascent on a clipped objective over each rollout.

    max_theta mean[min(r A, clip(r, 1 - eps, 1 + eps) A)] - c_v mean[(V - R)^2] + c_e mean[H], r = pi_theta / pi_old,
    with A by generalised advantage estimation and R = A + V. It is an actor-critic: A comes from the critic V.

    Args:
        env: a gymnasium id, or a callable that makes an environment; observations are vectors, actions Discrete or a
            Box of shape (d,).
        seed: of the weights, the actions, the order of the minibatches, and the environments.
        device: of the networks.
        hyper: the fields of `PPOHyperparameters`.

    Attributes:
        hyper: the settings.
        policy: the `ActorCritic`.
        num_timesteps: environment steps taken so far, over all copies.

    Raises:
        ValueError: for a setting out of range, or spaces other than those above.
        TypeError: for a setting that does not exist.

    Cost: a rollout takes n_steps batched policy calls; the update n_epochs n_envs n_steps rows forward and backward.
    Deviations: from the paper: the critic has its own network; Adam has eps 1e-5; the gradient's norm is clipped;
        advantages are normalised in each minibatch; weights start orthogonal, the policy's last layer at gain 0.01;
        an episode cut off by a time limit is continued by the critic's value; a normal action beyond a Box's bounds is
        clipped for the environment and kept for its log probability. From stable-baselines3: a clipped value takes the
        larger of both squared errors (Engstrom et al. 2020, section 3), and log probabilities and values of a rollout
        are computed in one batch after it.
    References: Schulman et al. 2017, arXiv:1707.06347, eqs. 7, 9 and algorithm 1; Schulman et al. 2016,
        arXiv:1506.02438, eq. 16; Engstrom et al. 2020, arXiv:2005.12729.
    Peer: stable_baselines3.PPO: its loss and gradient on equal weights and rows, 2e-5 in its float32, and its weights
        after a whole run from equal draws, 1e-5 (A); the loss in NumPy, float64, 1e-12.
    In production: use it as the default for on-policy control with many copies of a fast simulator; for continuous
        actions that are slow to try, SAC needs fewer steps.
    """

    def __init__(self, env: MakeEnv, *, seed: int = 0, device: str | torch.device = "cpu", **hyper: Any) -> None:
        self.hyper = hyperparameters.build(PPOHyperparameters, hyper)
        self.seed, self.num_timesteps = seed, 0
        self._device = torch.device(device)
        self._envs = Envs(env, self.hyper.n_envs)
        self._rng = np.random.default_rng(seed)
        # of the actions: another stream than that of the weights
        self._generator = torch.Generator(self._device).manual_seed(int(self._rng.integers(2**63)))
        self.policy = ActorCritic(
            self._envs.observation_space,
            self._envs.action_space,
            net_arch=self.hyper.net_arch,
            activation=self.hyper.activation,
            generator=torch.Generator().manual_seed(seed),
            agent="PPO",
        ).to(self._device)
        self._optimizer = torch.optim.Adam(self.policy.parameters(), lr=self.hyper.learning_rate, eps=1e-5, fused=True)

    def learn(self, total_timesteps: int, callback: Callback | None = None) -> LearningCurve:
        """Learn until the agent has taken total_timesteps in its whole life, or the callback returns True.

        Args:
            total_timesteps: environment steps, over all copies and earlier calls; whole rollouts are taken, so it may
                be passed. Linear schedules reach 0 there.
            callback: called with the agent after each step of the copies.

        Returns:
            The episodes that ended during this call, which begins with new ones.
        """
        recorder = Recorder.of(self, self._envs, callback)
        collector = Collector(self._envs, int(self._rng.integers(2**31)), recorder, self._device)
        while self.num_timesteps < total_timesteps:
            rollout = collector.collect(self, self.policy, self.hyper.n_steps, self._generator)
            if rollout is None:
                break
            samples = assess(rollout, self.policy, gamma=self.hyper.gamma, gae_lambda=self.hyper.gae_lambda)
            self._improve(samples, max(1 - self.num_timesteps / total_timesteps, 0))
        return recorder.curve()

    def loss(self, batch: Samples, clip_range: float) -> tuple[Tensor, Tensor]:
        """The loss to minimise on a minibatch, and mean(r - 1 - log r), which estimates KL(pi_old, pi)."""
        h = self.hyper
        distribution, advantages = self.policy.distribution(batch.obs), batch.advantages
        if h.normalize_advantage and len(advantages) > 1:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        log_prob = distribution.log_prob(batch.actions)
        objective = clipped_surrogate(log_prob, batch.log_prob, advantages, clip_range=clip_range).mean()
        values = self.policy.value(batch.obs)
        error = F.mse_loss(values, batch.returns)
        if h.clip_range_vf is not None:
            near = batch.values + (values - batch.values).clamp(-h.clip_range_vf, h.clip_range_vf)
            error = torch.maximum((values - batch.returns).square(), (near - batch.returns).square()).mean()
        loss = h.vf_coef * error - objective
        if h.ent_coef:
            loss = loss - h.ent_coef * distribution.entropy().mean()
        log_ratio = (log_prob - batch.log_prob).detach()
        return loss, (log_ratio.expm1() - log_ratio).mean()

    def _improve(self, samples: Samples, remaining: float) -> None:
        h, n = self.hyper, len(samples.obs)
        if h.learning_rate_schedule == "linear":
            self._optimizer.param_groups[0]["lr"] = h.learning_rate * remaining
        clip_range = h.clip_range * (remaining if h.clip_range_schedule == "linear" else 1)
        if clip_range == 0:  # the schedule's end: no step is allowed
            return
        for _ in range(h.n_epochs):
            order = torch.from_numpy(self._rng.permutation(n)).to(self._device)
            for rows in order.split(h.batch_size):
                loss, divergence = self.loss(Samples(*(column[rows] for column in samples)), clip_range)
                if h.target_kl is not None and divergence > 1.5 * h.target_kl:
                    return
                self._optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.policy.parameters(), h.max_grad_norm, error_if_nonfinite=True)
                self._optimizer.step()

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
