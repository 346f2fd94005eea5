"""REINFORCE: the Monte-Carlo policy gradient, with or without a baseline."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from breadth.rl import checkpoint, hyperparameters
from breadth.rl.curves import Callback, LearningCurve, Recorder
from breadth.rl.envs import MakeEnv, make
from breadth.rl.policies import Activation, ActorCritic
from breadth.rl.returns import discounted_returns


@dataclass(frozen=True, kw_only=True)
class REINFORCEHyperparameters:
    """Settings of `REINFORCE`.

    Args:
        n_episodes: whole episodes behind an update, played side by side, >= 1.
        learning_rate: of the policy's Adam, > 0.
        baseline: "value" learns V(s); "none" weighs with the bare return.
        baseline_learning_rate: of the baseline's Adam, > 0.
        gamma: discount, in [0, 1].
        discount_states: weigh step t by gamma^t besides, as the theorem asks for the return from the first state; then
            late steps hardly count.
        net_arch: hidden layers of the policy and of the baseline.
        activation: of the hidden layers.
    """

    n_episodes: int = 8
    learning_rate: float = 1e-2
    baseline: Literal["value", "none"] = "value"
    baseline_learning_rate: float = 1e-2
    gamma: float = 0.99
    discount_states: bool = False
    net_arch: tuple[int, ...] = (64,)
    activation: Activation = "tanh"

    def __post_init__(self) -> None:
        hyperparameters.require(
            self,
            counts=("n_episodes",),
            fractions=("gamma",),
            positive=("learning_rate", "baseline_learning_rate"),
        )
        if self.baseline not in ("value", "none"):
            raise ValueError(f'baseline must be "value" or "none", got {self.baseline!r}')


class Episodes(NamedTuple):
    """The steps of whole episodes as rows.

    Attributes:
        obs, actions: what was seen, and done there.
        returns: the discounted return from each step on.
        discounts: gamma^t of the t-th step of its episode.
    """

    obs: Tensor
    actions: Tensor
    returns: Tensor
    discounts: Tensor


class REINFORCE:
    """Gradient ascent on the return of whole episodes: E[sum_t grad log pi(a_t | s_t) (G_t - b(s_t))].

    Any baseline b that does not depend on a_t leaves the expectation as it is; V(s), fitted to the returns of earlier
    episodes, takes much of its variance.

    Args:
        env: a gymnasium id, or a callable that makes an environment whose episodes end; observations are vectors,
            actions Discrete or a Box of shape (d,).
        seed: of the weights, the actions and the environments.
        device: of the networks.
        hyper: the fields of `REINFORCEHyperparameters`.

    Attributes:
        hyper: the settings.
        policy: the `ActorCritic`, whose critic is the baseline.
        num_timesteps: environment steps taken so far, over all episodes.

    Raises:
        ValueError: for a setting out of range, or spaces other than those above.
        TypeError: for a setting that does not exist.

    Cost: as many batched policy calls as the longest of n_episodes has steps, and one update of all their rows.
    Deviations: from the paper: one step of Adam on the mean over n_episodes, where the paper steps after each;
        weights start orthogonal; the factor gamma^t is left out unless discount_states is set; an episode cut off by
        a time limit is continued by the baseline's value, if there is one.
    References: Williams 1992, Machine Learning 8, theorem 1 and section 5; Sutton & Barto 2018, section 13.4
        (REINFORCE with baseline, with gamma^t).
    Peer: the gradient of the exact return of a small process, by dynamic programming, against the mean over every path
        of three steps, float64, 1e-10 (B).
    In production: use it to learn how policy gradients work; `PPO` takes far fewer steps.
    """

    def __init__(self, env: MakeEnv, *, seed: int = 0, device: str | torch.device = "cpu", **hyper: Any) -> None:
        h = self.hyper = hyperparameters.build(REINFORCEHyperparameters, hyper)
        self.seed, self.num_timesteps = seed, 0
        self._device = torch.device(device)
        self._envs = [make(env) for _ in range(h.n_episodes)]
        self._rng = np.random.default_rng(seed)
        # of the actions: another stream than that of the weights
        self._generator = torch.Generator(self._device).manual_seed(int(self._rng.integers(2**63)))
        self.policy = ActorCritic(
            self._envs[0].observation_space,
            self._envs[0].action_space,
            net_arch=h.net_arch,
            activation=h.activation,
            generator=torch.Generator().manual_seed(seed),
            agent="REINFORCE",
        ).to(self._device)
        named = list(self.policy.named_parameters())
        actor = [p for name, p in named if not name.startswith("critic.")]
        critic = [p for name, p in named if name.startswith("critic.")]
        groups = [{"params": actor}, {"params": critic, "lr": h.baseline_learning_rate}]
        self._optimizer = torch.optim.Adam(groups, lr=h.learning_rate, fused=True)

    def learn(self, total_timesteps: int, callback: Callback | None = None) -> LearningCurve:
        """Learn until the agent has taken total_timesteps in its whole life, or the callback returns True.

        Args:
            total_timesteps: environment steps, over all episodes and earlier calls; whole episodes are played, so it
                may be passed.
            callback: called with the agent after each step of the episodes that run side by side.

        Returns:
            The episodes that ended during this call.
        """
        returns: list[float] = []
        lengths: list[int] = []
        recorder = Recorder(self, returns, lengths, callback, self.seed)
        first = int(self._rng.integers(2**31))
        for i, env in enumerate(self._envs):
            env.reset(seed=first + i)
        while self.num_timesteps < total_timesteps:
            episodes = self._play(recorder, returns, lengths)
            if episodes is None:
                break
            self._optimizer.zero_grad()
            self.loss(episodes).backward()
            if not all(p.grad is None or p.grad.isfinite().all() for p in self.policy.parameters()):
                raise FloatingPointError(
                    f"the gradient is not finite after {self.num_timesteps} steps; lower learning_rate, or look for "
                    "rewards and observations that are not finite"
                )
            self._optimizer.step()
        return recorder.curve()

    def loss(self, episodes: Episodes) -> Tensor:
        """The loss to minimise: minus the mean over episodes of sum_t log pi(a | s) (G - b), plus the baseline's."""
        h = self.hyper
        weights, loss = episodes.returns, torch.zeros((), device=self._device)
        if h.baseline == "value":
            values = self.policy.value(episodes.obs)
            weights, loss = weights - values.detach(), F.mse_loss(values, episodes.returns)
        if h.discount_states:
            weights = weights * episodes.discounts
        log_prob = self.policy.distribution(episodes.obs).log_prob(episodes.actions)
        return loss - (log_prob * weights).sum() / h.n_episodes

    @torch.no_grad()
    def _play(self, recorder: Recorder, returns: list[float], lengths: list[int]) -> Episodes | None:
        """One episode of each copy; those that have ended wait for the longest. None if the callback asked to stop."""
        obs = np.stack([env.reset()[0] for env in self._envs]).astype(np.float32)
        running = np.arange(len(obs))
        totals = np.zeros(len(obs))
        rows: list[tuple[NDArray, Tensor]] = []  # (obs, actions) of those that ran
        steps: list[NDArray] = []  # (5, n_episodes): ran, reward, terminated, truncated, value of the successor
        while running.size:
            seen = obs[running]
            action = self.policy.distribution(self._tensor(seen)).sample(self._generator)
            given = self.policy.within_bounds(action).cpu().numpy()
            step = np.zeros((5, len(obs)))
            for j, i in enumerate(running):
                obs[i], reward, terminated, truncated, _ = self._envs[i].step(given[j])
                step[:4, i] = 1, reward, terminated, truncated and not terminated
            totals += step[1]
            rows.append((seen, action))
            steps.append(step)
            self.num_timesteps += running.size
            cut, ended = step[3].nonzero()[0], (step[2] + step[3]).nonzero()[0]
            if cut.size and self.hyper.baseline == "value":
                step[4, cut] = self.policy.value(self._tensor(obs[cut])).cpu().numpy()
            returns += totals[ended].tolist()
            lengths += [len(steps)] * ended.size
            running = np.setdiff1d(running, ended, assume_unique=True)
            if recorder.stops():
                return None
        return self._episodes(rows, np.stack(steps, 1))

    def _episodes(self, rows: list[tuple[NDArray, Tensor]], steps: NDArray) -> Episodes:
        ran, reward, terminated, truncated, successor = torch.from_numpy(steps)  # each (T, n_episodes), float64
        earned = discounted_returns(
            reward,
            gamma=self.hyper.gamma,
            terminated=terminated.bool(),
            truncated=truncated.bool(),
            next_values=successor,
        )
        discounts = self.hyper.gamma ** torch.arange(len(reward), dtype=torch.float64)[:, None].expand_as(reward)
        alive = ran.bool()
        return Episodes(
            self._tensor(np.concatenate([seen for seen, _ in rows])),
            torch.cat([action for _, action in rows]),
            self._tensor(earned[alive]),
            self._tensor(discounts[alive]),
        )

    def _tensor(self, array: NDArray | Tensor) -> Tensor:
        return torch.as_tensor(array, dtype=torch.float32, device=self._device)

    def predict(self, obs: NDArray, *, deterministic: bool = True) -> NDArray:
        """Actions at observations, one (n_inputs,) or a batch (n, n_inputs): the mode, or a draw."""
        x = self._tensor(obs)
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
