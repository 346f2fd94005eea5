"""Deep Q-network, with Double Q-learning as an option."""

from __future__ import annotations

import math
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
from breadth.rl.envs import Envs, MakeEnv, discrete_actions
from breadth.rl.policies import Activation, flat_size, mlp, move_towards
from breadth.rl.replay import Batch, ReplayBuffer


@dataclass(frozen=True, kw_only=True)
class DQNHyperparameters:
    """Settings of `DQN`, under stable-baselines3's names.

    Args:
        n_envs: copies of the environment stepped together, >= 1.
        learning_rate: of Adam, > 0.
        buffer_size: transitions kept for replay, >= n_envs.
        learning_starts: environment steps with random actions before the first update, >= 1.
        batch_size: transitions of an update, >= 1.
        gamma: discount, in [0, 1].
        train_freq: steps of the copies between bursts of updates, >= 1.
        gradient_steps: updates of a burst, >= 1.
        tau: share of the network in the new target network, in (0, 1]; 1 copies it.
        target_update_interval: environment steps between updates of the target network, >= 1.
        exploration_fraction: share of total_timesteps in which epsilon falls linearly to its final value, in [0, 1].
        exploration_initial_eps, exploration_final_eps: share of random actions at first, and in the end.
        max_grad_norm: gradients are scaled to at most this norm.
        double: the network picks the successor's action and the target network says its value (van Hasselt et al.).
        net_arch: hidden layers.
        activation: of the hidden layers.
    """

    n_envs: int = 1
    learning_rate: float = 1e-4
    buffer_size: int = 1_000_000
    learning_starts: int = 100
    batch_size: int = 32
    gamma: float = 0.99
    train_freq: int = 4
    gradient_steps: int = 1
    tau: float = 1.0
    target_update_interval: int = 10_000
    exploration_fraction: float = 0.1
    exploration_initial_eps: float = 1.0
    exploration_final_eps: float = 0.05
    max_grad_norm: float = 10.0
    double: bool = False
    net_arch: tuple[int, ...] = (64, 64)
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        hyperparameters.require(
            self,
            counts=(
                "n_envs", "buffer_size", "learning_starts", "batch_size", "train_freq", "gradient_steps",
                "target_update_interval",
            ),
            fractions=("gamma", "exploration_fraction", "exploration_initial_eps", "exploration_final_eps", "tau"),
            positive=("learning_rate", "max_grad_norm", "tau"),
        )  # fmt: skip
        if self.buffer_size < self.n_envs:
            raise ValueError(f"buffer_size must be at least n_envs = {self.n_envs}, got {self.buffer_size}")


class DQN:
    """Deep Q-network: Q-learning with a network, on transitions drawn from a replay buffer.

    Q(s, a) is moved to r + gamma max_a' Q'(s', a'), or to r where the task ended, by Huber's loss; Q' is the target
    network, a copy from a while ago. With `double`, a' = argmax_a' Q(s', a').

    Args:
        env: a gymnasium id, or a callable that makes an environment; observations are vectors, actions Discrete.
        seed: of the weights, the actions, the draws from the buffer, and the environments.
        device: of the networks.
        hyper: the fields of `DQNHyperparameters`.

    Attributes:
        hyper: the settings.
        q_net, target_net: the network and its target, from observations to the value of each action.
        buffer: the `ReplayBuffer`.
        num_timesteps: environment steps taken so far, over all copies.

    Raises:
        ValueError: for a setting out of range, continuous actions, or observations that are not vectors.
        TypeError: for a setting that does not exist.

    Cost: gradient_steps / train_freq updates of batch_size rows for each step of the copies; the targets of a burst are
        computed in one batch, as the target network stands still meanwhile.
    Deviations: from the paper: vectors instead of images, so no frame skipping or stacking; Adam, not RMSProp; the
        gradient's norm is clipped besides Huber's loss; rewards are not clipped; an episode cut off by a time limit
        does not count as ended. From stable-baselines3: epsilon is one draw for each copy.
    References: Mnih et al. 2015, Nature 518, 529-533, algorithm 1; van Hasselt, Guez & Silver 2016, arXiv:1509.06461,
        eq. 4 (Double DQN).
    Peer: stable_baselines3.DQN: its loss and gradient on equal weights and rows, 2e-5 in its float32, the steps on
        which it updates, each step of a whole run from equal draws, and the weights in the end, 1e-5 (A); Double DQN's
        targets row by row in NumPy (B).
    In production: use it for a few discrete actions where steps are dear; PPO is easier to set where they are cheap.
    """

    def __init__(self, env: MakeEnv, *, seed: int = 0, device: str | torch.device = "cpu", **hyper: Any) -> None:
        h = self.hyper = hyperparameters.build(DQNHyperparameters, hyper)
        self.seed, self.num_timesteps = seed, 0
        self._device = torch.device(device)
        self._envs = Envs(env, h.n_envs)
        self._n_actions = discrete_actions(self._envs.action_space, "DQN")
        n_inputs = flat_size(self._envs.observation_space)
        self._rng = np.random.default_rng(seed)
        generator = torch.Generator().manual_seed(seed)
        sizes = [n_inputs, *h.net_arch, self._n_actions]
        self.q_net, self.target_net = (mlp(sizes, h.activation, generator=generator).to(self._device) for _ in range(2))
        self.target_net.load_state_dict(self.q_net.state_dict())
        self._optimizer = torch.optim.Adam(self.q_net.parameters(), lr=h.learning_rate, fused=True)
        self.buffer = ReplayBuffer(h.buffer_size, n_inputs)

    def learn(self, total_timesteps: int, callback: Callback | None = None) -> LearningCurve:
        """Learn until the agent has taken total_timesteps in its whole life, or the callback returns True.

        Args:
            total_timesteps: environment steps, over all copies and earlier calls; epsilon's fall is a share of them.
            callback: called with the agent after each step of the copies.

        Returns:
            The episodes that ended during this call, which begins with new ones.
        """
        h, recorder, n_calls = self.hyper, Recorder.of(self, self._envs, callback), 0
        every = max(h.target_update_interval // h.n_envs, 1)  # in steps of the copies
        obs = self._envs.reset(int(self._rng.integers(2**31)))
        while self.num_timesteps < total_timesteps:
            actions = self._explore(obs, self.epsilon(total_timesteps))
            step = self._envs.step(actions)
            self.buffer.add(obs, actions, step.reward, step.successor, step.terminated)
            obs, n_calls = step.observation, n_calls + 1
            self.num_timesteps += h.n_envs
            if n_calls % every == 0:
                move_towards(self.target_net, self.q_net, h.tau)
            if recorder.stops():
                break
            if n_calls % h.train_freq == 0 and self.num_timesteps > h.learning_starts:
                self._improve()
        return recorder.curve()

    def epsilon(self, total_timesteps: int) -> float:
        """Share of random actions at this step of the agent's life, if it is to take total_timesteps."""
        h = self.hyper
        if self.num_timesteps < h.learning_starts:
            return 1.0
        span = h.exploration_fraction * total_timesteps
        done = min(self.num_timesteps / span, 1.0) if span else 1.0
        return h.exploration_initial_eps + done * (h.exploration_final_eps - h.exploration_initial_eps)

    def _explore(self, obs: NDArray, epsilon: float) -> NDArray[np.int64]:
        n = len(obs)
        actions, at_random = self._rng.integers(self._n_actions, size=n), self._rng.random(n) < epsilon
        if not at_random.all():
            actions[~at_random] = self.predict(obs[~at_random])
        return actions

    @torch.no_grad()
    def targets(self, batch: Batch) -> Tensor:
        """r + gamma (1 - terminated) Q'(s', a'), shape (rows,)."""
        following = self.target_net(batch.successors)
        if self.hyper.double:
            best = self.q_net(batch.successors).argmax(-1, keepdim=True)
            following = following.gather(-1, best).squeeze(-1)
        else:
            following = following.amax(-1)
        return batch.rewards + self.hyper.gamma * (1 - batch.terminated) * following

    def loss(self, batch: Batch, targets: Tensor) -> Tensor:
        """Mean Huber loss of the values of the actions taken."""
        values = self.q_net(batch.obs).gather(-1, batch.actions[:, None]).squeeze(-1)
        return F.smooth_l1_loss(values, targets)

    def _improve(self) -> None:
        h = self.hyper
        burst = self.buffer.sample(h.gradient_steps * h.batch_size, self._rng, self._device)
        if not math.isfinite(burst.rewards.sum().item()):  # Huber's gradient of an infinite error is finite
            raise FloatingPointError(f"rewards are not finite after {self.num_timesteps} steps; mend the environment")
        fixed = None if h.double else self.targets(burst).split(h.batch_size)
        batches = zip(*(column.split(h.batch_size) for column in burst), strict=True)
        for i, batch in enumerate(Batch(*columns) for columns in batches):
            loss = self.loss(batch, self.targets(batch) if fixed is None else fixed[i])
            self._optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.q_net.parameters(), h.max_grad_norm, error_if_nonfinite=True)
            self._optimizer.step()

    @torch.no_grad()
    def predict(self, obs: NDArray) -> NDArray:
        """Greedy actions at observations, one (n_inputs,) or a batch (n, n_inputs)."""
        values = self.q_net(torch.as_tensor(obs, dtype=torch.float32, device=self._device))
        return values.argmax(-1).cpu().numpy()

    def _parts(self) -> dict[str, checkpoint.Part]:
        return {
            "q_net": self.q_net,
            "target_net": self.target_net,
            "optimizer": self._optimizer,
            "buffer": self.buffer,
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
