"""Reinforcement learning: steps until an environment is solved, beside stable-baselines3, and returns of the rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from benchmarks.harness import OURS, Row, Section, Setup, Times, interleave, ratio_rows
from breadth.rl import (
    A2C,
    DQN,
    PPO,
    REINFORCE,
    SAC,
    UCB1,
    BernoulliArms,
    EpsilonGreedy,
    GreedyEvaluation,
    QLearning,
    SimulatedMDP,
    Softmax,
    ThompsonBernoulli,
    evaluate,
    from_gymnasium,
    lai_robbins_rate,
    play,
    policy_evaluation,
    ucb1_regret_bound,
    value_iteration,
)
from breadth.rl.envs import make

SB3 = "stable-baselines3"
SEEDS = range(5, 10)  # settings were tried on others, PPO's perhaps on some of these too
WHICH = f"seeds {SEEDS[0]} to {SEEDS[-1]}, run after the settings were fixed"
AGENTS: Mapping[str, Any] = {"PPO": PPO, "DQN": DQN, "SAC": SAC, "A2C": A2C, "REINFORCE": REINFORCE}


@dataclass(frozen=True, slots=True)
class Trial:
    """An environment to learn: equal settings for both, under the names that both have."""

    agent: str
    env: str
    goal: float  # mean return of a greedy evaluation
    budget: int  # environment steps
    settings: Mapping[str, Any] = field(default_factory=dict)

    def printed(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.settings.items())

    def scaled(self, setup: Setup) -> Trial:
        """Itself, or where nothing but running is to be shown a few steps, with updates among them."""
        if not setup.smoke:
            return self
        fewer = {"learning_starts": 100, "n_steps": 16, "n_epochs": 1}
        settings = {name: fewer.get(name, value) for name, value in self.settings.items()}
        return replace(self, budget=260, settings=settings)


PPO_CARTPOLE = Trial("PPO", "CartPole-v1", 475.0, 100_000, {
    "n_envs": 8, "n_steps": 256, "batch_size": 64, "n_epochs": 10, "gae_lambda": 0.95, "gamma": 0.99, "ent_coef": 0.0,
    "learning_rate": 3e-4, "clip_range": 0.2,
})  # fmt: skip
DQN_CARTPOLE = Trial("DQN", "CartPole-v1", 475.0, 100_000, {
    "learning_rate": 2.3e-3, "batch_size": 64, "buffer_size": 100_000, "learning_starts": 1000, "gamma": 0.99,
    "target_update_interval": 10, "train_freq": 256, "gradient_steps": 128, "exploration_fraction": 0.08,
    "exploration_final_eps": 0.04, "net_arch": (256, 256),
})  # fmt: skip
SAC_PENDULUM = Trial("SAC", "Pendulum-v1", -200.0, 20_000, {
    "learning_rate": 2e-3, "batch_size": 128, "learning_starts": 100, "gamma": 0.95, "tau": 0.01, "net_arch": (64, 64),
})  # fmt: skip


@contextmanager
def one_thread():
    """Networks of this size are slower on two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def ours(trial: Trial, seed: int) -> Callable[[int, GreedyEvaluation | None], None]:
    return AGENTS[trial.agent](trial.env, seed=seed, **trial.settings).learn


def theirs(trial: Trial, seed: int) -> Callable[[int, GreedyEvaluation | None], None]:
    import stable_baselines3
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env

    class Callback(BaseCallback):
        def __init__(self, evaluation: GreedyEvaluation) -> None:
            super().__init__()
            self.evaluation = evaluation

        def _on_step(self) -> bool:
            return not self.evaluation(_Seen(self.model))

    settings = dict(trial.settings)
    if settings.pop("anneal", False):
        settings["learning_rate"] = lambda remaining, first=settings["learning_rate"]: remaining * first
    if "net_arch" in settings:
        settings["policy_kwargs"] = {"net_arch": list(settings.pop("net_arch"))}
    envs = make_vec_env(trial.env, n_envs=settings.pop("n_envs", 1), seed=seed)
    model = getattr(stable_baselines3, trial.agent)("MlpPolicy", envs, seed=seed, device="cpu", **settings)
    return lambda steps, evaluation=None: model.learn(steps, callback=evaluation and Callback(evaluation))


class _Seen:
    """A model of stable-baselines3 as `GreedyEvaluation` asks it."""

    def __init__(self, model: Any) -> None:
        self.model, self.num_timesteps, self.seed = model, model.num_timesteps, model.seed

    def predict(self, obs: np.ndarray) -> np.ndarray:
        return self.model.predict(obs, deterministic=True)[0]


MAKERS: Mapping[str, Callable[..., Any]] = {OURS: ours, SB3: theirs}


def seeds(setup: Setup) -> range:
    return SEEDS[: setup.size(len(SEEDS), 1)]


def steps_to_solve(make_learner: Callable[..., Any], trial: Trial, seed: int, setup: Setup) -> float:
    """Environment steps at the first greedy evaluation that reaches the goal; infinite if none in the budget does."""
    evaluation = GreedyEvaluation(
        trial.env, every=setup.size(5000, 130), n_episodes=setup.size(100, 2), goal=trial.goal
    )
    make_learner(trial, seed)(trial.budget, evaluation)
    return math.inf if evaluation.solved_at is None else float(evaluation.solved_at)


def solving_rows(trial: Trial, setup: Setup, raw: Times) -> list[Row]:
    trial = trial.scaled(setup)
    with one_thread():
        steps = {
            name: [steps_to_solve(maker, trial, seed, setup) for seed in seeds(setup)] for name, maker in MAKERS.items()
        }
    medians = {name: float(np.median(values)) for name, values in steps.items()}
    solved = {name: sum(map(math.isfinite, values)) for name, values in steps.items()}
    what, n = f"{trial.agent}, {trial.env}", len(seeds(setup))
    return [
        Row(
            f"{what}: median environment steps until solved", _ratio(medians[OURS], medians[SB3]), "ratio", 1.2, SB3,
            *(f"{medians[name]:,.0f} ({min(steps[name]):,.0f} to {max(steps[name]):,.0f})" for name in MAKERS),
            n=n,
        ),
        Row(
            f"{what}: seeds of {n} not solved within {trial.budget:,} steps", n - solved[OURS], "count", 0, SB3,
            *(f"{count} solved" for count in solved.values()), n=n,
        ),
        *time_rows(trial, setup, raw),
    ]  # fmt: skip


def time_rows(trial: Trial, setup: Setup, raw: Times) -> list[Row]:
    """Seconds of learning, without evaluations."""
    length = setup.size(2000 if trial.agent == "SAC" else 10_000, trial.budget)
    with one_thread():
        times = interleave(
            {n: lambda seed, maker=maker: maker(trial, seed)(length, None) for n, maker in MAKERS.items()},
            lambda r: r,
            reps=setup.repetitions(3),
        )
    return ratio_rows(f"{trial.agent}, {trial.env}: wall time of {length:,} steps", times, {SB3: None}, raw)


def _ratio(a: float, b: float) -> float:
    return a / b if math.isfinite(b) else (0.0 if math.isfinite(a) else math.nan)


A2C_CARTPOLE = Trial("A2C", "CartPole-v1", 400.0, 150_000, {
    "n_envs": 8, "n_steps": 32, "learning_rate": 3e-3, "anneal": True, "gae_lambda": 0.95, "normalize_advantage": True,
})  # fmt: skip
REINFORCE_CARTPOLE = Trial("REINFORCE", "CartPole-v1", 400.0, 100_000, {"learning_rate": 5e-3})


def agent_rows(setup: Setup, raw: Times) -> list[Row]:
    """What the greedy policy earns once the budget is spent."""
    rows = []
    for trial in (A2C_CARTPOLE.scaled(setup), REINFORCE_CARTPOLE.scaled(setup)):
        means = []
        with one_thread():
            for seed in seeds(setup):
                agent = AGENTS[trial.agent](trial.env, seed=seed, **trial.settings)
                agent.learn(trial.budget)
                returns = evaluate(agent.predict, trial.env, n_episodes=setup.size(100, 2), seed=10_000)
                means.append(float(returns.mean()))
        what = f"{trial.agent}, {trial.env}, {trial.budget:,} steps"
        rows.append(_below(what, means, trial.goal, "no policy earns more than 500"))
    return rows


def _below(what: str, means: list[float], bar: float, beside: str, digits: int = 1) -> Row:
    """How many seeds earn less than was promised."""
    figure = sum(mean < bar for mean in means)
    earned = f"{min(means):.{digits}f} to {max(means):.{digits}f}"
    return Row(f"{what}: seeds with a return below {bar:g}", figure, "count", 0, "", earned, beside, n=len(means))


Q_SETTINGS = {"learning_rate": 0.5, "exploration_final_eps": 0.1, "gamma": 0.99}


def q_learning_rows(setup: Setup, raw: Times) -> list[Row]:
    """The exact discounted value of the greedy policy, as a share of the optimum's, from the known dynamics."""
    rows = []
    for name, steps, share in (("Taxi-v4", 200_000, 0.98), ("CliffWalking-v1", 50_000, 0.98)):
        mdp = from_gymnasium(make(name), gamma=0.99)
        best = float(mdp.start @ value_iteration(mdp).values)
        worst = float(mdp.start @ policy_evaluation(mdp, np.full(mdp.rewards.shape, 1 / mdp.n_actions)))
        shares = []
        for seed in seeds(setup):
            agent = QLearning(lambda mdp=mdp: SimulatedMDP(mdp, max_steps=200), seed=seed, **Q_SETTINGS)
            agent.learn(setup.size(steps, 1000))
            earned = float(mdp.start @ policy_evaluation(mdp, agent.q.argmax(1)))
            shares.append((earned - worst) / (best - worst))
        beside = f"value iteration earns {best:.2f} (1), random actions {worst:.2f} (0)"
        rows.append(_below(f"Q-learning, {name}, {steps:,} steps", shares, share, beside, digits=4))
    return rows


MEANS = np.array([0.1, *[0.05] * 3, *[0.02] * 3, *[0.01] * 3]) * 5  # ten arms, the best pays half the time
PULLS = 10_000


def bandit_rows(setup: Setup, raw: Times) -> list[Row]:
    pulls, runs = setup.size(PULLS, 200), setup.size(200, 20)
    gaps = MEANS.max() - MEANS
    rate = lai_robbins_rate(MEANS) * math.log(pulls)
    at_random = float(gaps.mean() * pulls)
    anneal = 5 * len(MEANS) / gaps[gaps > 0].min() ** 2 / 10
    promises = {  # largest regret as a share of random play's, whose regret is known in closed form
        "epsilon-greedy, epsilon 0.1": (EpsilonGreedy(), 0.2),
        f"epsilon-greedy, epsilon {anneal:.0f} / t": (EpsilonGreedy(epsilon=1.0, anneal=anneal), 0.3),
        "softmax, temperature 0.05": (Softmax(temperature=0.05), 0.2),
        "UCB1": (UCB1(), 0.3),
        "Thompson": (ThompsonBernoulli(), 0.05),
    }
    rows = []
    for name, (policy, share) in promises.items():
        regrets = [
            float(play(policy, BernoulliArms(MEANS), steps=pulls, runs=runs, seed=seed).mean_regret()[-1])
            for seed in seeds(setup)
        ]
        beside = f"random play {at_random:,.0f}; Lai and Robbins's lower bound's rate {rate:,.0f}"
        if name == "UCB1":
            beside += f"; UCB1's upper bound {float(ucb1_regret_bound(MEANS, pulls)):,.0f}"
        rows.append(Row(
            f"{name}, ten arms, {pulls:,} pulls: seeds with a regret above {share:.0%} of random play's",
            sum(regret > share * at_random for regret in regrets), "count", 0, "",
            f"regret {min(regrets):,.0f} to {max(regrets):,.0f}", beside, n=len(regrets),
        ))  # fmt: skip
    return rows


def promised_rows(setup: Setup, raw: Times) -> list[Row]:
    return [
        *agent_rows(setup, raw),
        *time_rows(A2C_CARTPOLE.scaled(setup), setup, raw),
        *q_learning_rows(setup, raw),
        *bandit_rows(setup, raw),
    ]


def _section(trial: Trial, title: str) -> Section:
    return Section(
        f"control-{trial.agent.lower()}",
        title,
        f"Solved is the first greedy evaluation (100 episodes, every 5,000 environment steps, the same episodes for "
        f"both) with a mean return of at least {trial.goal:g}; {WHICH}; at most {trial.budget:,} "
        "steps. "
        f"Both: {trial.printed()}, otherwise stable-baselines3's defaults. One thread each. The "
        "time is of learning alone, without evaluations.",
        lambda setup, raw: solving_rows(trial, setup, raw),
    )


SECTIONS = (
    _section(PPO_CARTPOLE, "PPO on CartPole"),
    _section(DQN_CARTPOLE, "DQN on CartPole"),
    _section(SAC_PENDULUM, "SAC on Pendulum"),
    Section(
        "control-returns",
        "Learners whose optimum is known",
        f"{WHICH.capitalize()}. A2C ({A2C_CARTPOLE.printed()}) and REINFORCE ({REINFORCE_CARTPOLE.printed()}): "
        "mean return of 100 greedy episodes, defaults otherwise; stable-baselines3 beside A2C at the same settings. "
        "Q-learning: the value of the greedy policy from the first state, exactly, from 0 (random actions) to 1 "
        "(the optimum of value iteration); "
        f"{', '.join(f'{name} {value}' for name, value in Q_SETTINGS.items())}. Bandits: pseudo-regret, a mean over "
        "200 runs a seed.",
        promised_rows,
    ),
)
