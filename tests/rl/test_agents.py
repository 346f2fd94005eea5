"""What all agents keep: seeds reproduce, a saved agent learns on to the same bits, and nothing is hidden."""

from __future__ import annotations

import builtins
import math
import sys

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

import breadth.rl
from breadth.rl import A2C, DQN, PPO, REINFORCE, SAC, QLearning, SimulatedMDP, gridworld
from tests.rl.tiny import Script, Target

MAZE = gridworld(["S..", ".#G"], slip=0.2)
SMALL = {"net_arch": (8,)}
OFF_POLICY = {"learning_starts": 20, "batch_size": 8, "buffer_size": 150, "train_freq": 3, **SMALL}
MAKERS = {
    "A2C": (A2C, "CartPole-v1", {"n_envs": 3, "normalize_advantage": True, "anneal": True, **SMALL}),
    "A2C continuous": (A2C, "Pendulum-v1", SMALL),
    "DQN": (DQN, "CartPole-v1", {"gradient_steps": 2, "target_update_interval": 7, **OFF_POLICY}),
    "DQN double": (DQN, "CartPole-v1", {"n_envs": 2, "double": True, "tau": 0.1, **OFF_POLICY}),
    "PPO": (PPO, "CartPole-v1", {"n_envs": 2, "n_steps": 32, "n_epochs": 2, "batch_size": 24, **SMALL}),
    "PPO continuous": (PPO, "Pendulum-v1", {"n_steps": 64, "batch_size": 32, "clip_range_vf": 0.2, **SMALL}),
    "REINFORCE": (REINFORCE, "CartPole-v1", {"n_episodes": 2, **SMALL}),
    "SAC": (SAC, "Pendulum-v1", OFF_POLICY),
    "SAC discrete": (SAC, "CartPole-v1", {"n_envs": 2, "gradient_steps": 2, **OFF_POLICY}),
    "Q-learning": (QLearning, lambda: SimulatedMDP(MAZE, max_steps=20), {"learning_rate_power": 0.8}),
}


def made(name, seed=0):
    agent, env, hyper = MAKERS[name]
    return agent(env, seed=seed, **hyper)


def weights(agent):
    """Everything that was learnt, as one vector."""
    if isinstance(agent, QLearning):
        return torch.from_numpy(agent.q.ravel().copy())
    nets = [getattr(agent, name) for name in ("policy", "q_net", "target_net", "actor", "critic", "target_critic")
            if hasattr(agent, name)]  # fmt: skip
    extra = [agent.log_ent_coef] if getattr(agent, "log_ent_coef", None) is not None else []
    return torch.cat([p.detach().flatten() for p in [*(p for net in nets for p in net.parameters()), *extra]])


@pytest.mark.parametrize("name", MAKERS)
def test_a_seed_gives_the_same_bits_another_seed_others_and_global_generators_are_left_alone(name):
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    legacy, common = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    one, again, other = made(name), made(name), made(name, seed=1)
    curves = [agent.learn(200) for agent in (one, again, other)]
    assert torch.equal(weights(one), weights(again))
    np.testing.assert_array_equal(curves[0].returns, curves[1].returns)
    assert not torch.equal(weights(one), weights(other))
    np.testing.assert_array_equal(np.random.get_state()[1], legacy)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), common)
    assert curves[2].seed == 1


@pytest.mark.parametrize("name", MAKERS)
def test_a_saved_agent_learns_on_to_the_same_bits_as_the_one_that_was_not(name, tmp_path):
    cls, env, _ = MAKERS[name]
    agent = made(name)
    agent.learn(200)
    agent.save(tmp_path / "agent.pt")
    loaded = cls.load(tmp_path / "agent.pt", env)
    assert loaded.hyper == agent.hyper
    assert loaded.num_timesteps == agent.num_timesteps
    assert torch.equal(weights(loaded), weights(agent))
    curves = [a.learn(400) for a in (agent, loaded)]
    assert torch.equal(weights(loaded), weights(agent))
    np.testing.assert_array_equal(curves[0].returns, curves[1].returns)
    np.testing.assert_array_equal(curves[0].steps, curves[1].steps)
    assert [p.name for p in tmp_path.iterdir()] == ["agent.pt"]


@pytest.mark.parametrize("name", MAKERS)
def test_a_callback_sees_each_step_and_can_end_the_learning(name):
    agent, seen = made(name), []

    def watch(learner):
        assert learner is agent
        seen.append(learner.num_timesteps)
        return len(seen) == 30

    agent.learn(10_000, watch)
    assert len(seen) == 30
    assert agent.num_timesteps == seen[-1]
    copies = getattr(agent.hyper, "n_envs", None)
    if copies is not None:
        assert seen == list(range(copies, 31 * copies, copies))
    agent.learn(agent.num_timesteps)  # nothing left to do
    assert len(seen) == 30


@pytest.mark.parametrize("name", [n for n in MAKERS if n != "Q-learning"])
def test_one_observation_is_answered_as_a_row_of_a_batch_and_draws_follow_the_policy(name):
    agent = made(name)
    obs = np.random.default_rng(0).normal(size=(5, 4 if "CartPole" in str(MAKERS[name][1]) else 3))
    batch = agent.predict(obs)
    np.testing.assert_allclose(agent.predict(obs[2]), batch[2], rtol=1e-5)
    assert len(agent.predict(obs[:1])) == 1
    space = gymnasium.make(MAKERS[name][1]).action_space
    assert all(space.contains(action) for action in batch)
    if not isinstance(agent, DQN):
        drawn = agent.predict(np.repeat(obs[:1], 50, 0), deterministic=False)
        assert len(np.unique(drawn)) > 1
        assert all(space.contains(action) for action in drawn)


@pytest.mark.parametrize("name", MAKERS)
def test_the_curve_holds_every_episode_that_ended_and_when(name):
    agent = made(name)
    curve = agent.learn(450)
    ended = len(curve)
    assert ended == len(curve.returns) == len(curve.lengths)
    assert (np.diff(curve.steps) >= 0).all()
    assert curve.lengths.sum() <= agent.num_timesteps
    if MAKERS[name][1] == "CartPole-v1":
        np.testing.assert_array_equal(curve.returns, curve.lengths)  # CartPole pays 1 a step
    assert curve.mean_return(3) == pytest.approx(curve.returns[-3:].mean())
    assert math.isnan(agent.learn(agent.num_timesteps).mean_return())


def test_a_file_of_another_agent_or_version_is_refused_and_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "agent.pt"
    made("DQN").save(path)
    with pytest.raises(ValueError, match="holds DQN of version 1, not PPO of version 1"):
        PPO.load(path, "CartPole-v1")
    saved = torch.load(path, weights_only=True)
    torch.save({**saved, "version": 99}, path)
    with pytest.raises(ValueError, match="holds DQN of version 99"):
        DQN.load(path, "CartPole-v1")
    before = path.read_bytes()
    agent = made("DQN")
    agent.target_net.state_dict = lambda: {"x": lambda: None}  # cannot be pickled
    with pytest.raises(Exception, match="pickle"):
        agent.save(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", MAKERS)
def test_a_setting_that_is_not_there_or_out_of_range_is_refused_by_name(name):
    cls, env, hyper = MAKERS[name]
    with pytest.raises(TypeError, match=r"has no learnin_rate; did you mean learning_rate\?"):
        cls(env, learnin_rate=0.1)
    with pytest.raises(TypeError, match="has no zzz; there are "):
        cls(env, zzz=1)
    for value in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="learning_rate must be"):
            cls(env, **{**hyper, "learning_rate": value})
    for value in (-0.1, 1.5, math.nan):
        with pytest.raises(ValueError, match=r"gamma must be in \[0, 1\]"):
            cls(env, **{**hyper, "gamma": value})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PPO("CartPole-v1", n_steps=0), "n_steps must be an integer of at least 1, got 0"),
        (lambda: PPO("CartPole-v1", n_steps=1.5), "n_steps must be an integer"),
        (lambda: PPO("CartPole-v1", n_steps=16), r"batch_size must be in \[2, n_envs n_steps = 16\], got 64"),
        (lambda: PPO("CartPole-v1", clip_range=1.0), r"clip_range must be in \(0, 1\), got 1.0; 0.2 is usual"),
        (lambda: PPO("CartPole-v1", clip_range_vf=0.0), "clip_range_vf must be > 0, or None"),
        (lambda: PPO("CartPole-v1", gae_lambda=2.0), "gae_lambda must be in"),
        (lambda: A2C("CartPole-v1", n_envs=0), "n_envs must be an integer of at least 1"),
        (lambda: A2C("CartPole-v1", n_steps=1, normalize_advantage=True), "at least two rows"),
        (lambda: DQN("CartPole-v1", n_envs=4, buffer_size=3), "buffer_size must be at least n_envs = 4, got 3"),
        (lambda: DQN("CartPole-v1", tau=0.0), "tau must be > 0"),
        (lambda: SAC("Pendulum-v1", tau=2.0), r"tau must be in \[0, 1\]"),
        (lambda: DQN("Pendulum-v1"), "DQN picks one of several actions"),
        (lambda: DQN("FrozenLake-v1"), "observations must be a Box.*FlattenObservation"),
        (lambda: PPO(lambda: Odd((2, 3))), "observations must be vectors.*FlattenObservation"),
        (lambda: REINFORCE(lambda: Odd((2, 3))), "observations must be vectors"),
        (lambda: A2C(lambda: Odd((2,), spaces.MultiBinary(3))), "A2C picks one of several actions"),
        (lambda: PPO(lambda: Odd((2,), spaces.Discrete(3, start=1))), "0 to n - 1"),
        (lambda: PPO(lambda: Odd((2,), spaces.Box(0, 1, (2, 2)))), r"actions of shape \(d,\)"),
    ],
)
def test_what_an_agent_cannot_take_is_refused_before_it_learns(make, message):
    with pytest.raises(ValueError, match=message):
        make()


class Odd(Script):
    def __init__(self, shape, actions=None):
        super().__init__()
        self.observation_space = spaces.Box(-1, 1, shape, np.float32)
        self.action_space = actions or self.action_space


@pytest.mark.parametrize(
    "make",
    [
        lambda env: A2C(env, **SMALL),
        lambda env: PPO(env, n_steps=8, batch_size=8, **SMALL),
        lambda env: REINFORCE(env, **SMALL),
        lambda env: DQN(env, **OFF_POLICY),
        lambda env: SAC(env, **OFF_POLICY),
    ],
)
@pytest.mark.parametrize("reward", [math.nan, math.inf])
def test_rewards_that_are_no_numbers_end_the_learning_with_an_error(make, reward):
    with pytest.raises((RuntimeError, FloatingPointError), match=r"(?i)non-?finite|not finite"):
        make(lambda: Script(reward=reward)).learn(200)


def test_environments_are_seeded_apart_and_actions_of_a_box_stay_within_it():
    starts = []

    class Watched(Target):
        def reset(self, *, seed=None, options=None):
            starts.append(seed)
            return super().reset(seed=seed)

    for cls in (PPO, A2C):
        starts.clear()
        cls(Watched, n_envs=3, n_steps=64, **SMALL).learn(200)
        given = [s for s in starts if s is not None]
        assert np.diff(given).tolist() == [1, 1]


def test_names_are_imported_when_they_are_asked_for():
    listed = {name for names in breadth.rl._MODULES.values() for name in names}
    assert set(breadth.rl.__all__) == listed == set(dir(breadth.rl))
    for name in breadth.rl.__all__:
        assert getattr(breadth.rl, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'TRPO'"):
        breadth.rl.TRPO  # noqa: B018


@pytest.mark.parametrize("missing", ["gymnasium", "torch"])
def test_without_its_packages_it_says_what_to_install(missing, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=missing)
        return real(name, *args, **kwargs)

    for name in [n for n in sys.modules if n.startswith("breadth.rl.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=rf"needs the package {missing}: pip install 'breadth\[rl\]'"):
        breadth.rl.PPO  # noqa: B018
    assert breadth.rl.play.__module__ == "breadth.rl.bandits"
    if missing == "gymnasium":
        assert breadth.rl.gae.__module__ == "breadth.rl.returns"
