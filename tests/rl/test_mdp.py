"""Processes with known dynamics: three ways to the same optimum, and worlds whose values are published."""

from __future__ import annotations

import itertools

import gymnasium
import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from gymnasium import spaces

from breadth.rl.mdp import MDP, policy_evaluation, policy_iteration, value_iteration
from breadth.rl.worlds import SimulatedMDP, from_gymnasium, gridworld, random_mdp


def by_linear_programming(mdp):
    """min sum_s V(s) subject to V(s) >= r(s, a) + gamma sum P(s' | s, a) V(s') (Puterman 1994, section 6.9)."""
    n, m = mdp.n_states, mdp.n_actions
    rows = mdp.gamma * mdp.transitions.reshape(n * m, n) - np.repeat(np.eye(n), m, 0)
    return scipy.optimize.linprog(np.ones(n), rows, -mdp.rewards.ravel(), bounds=(None, None)).x


PROCESSES = {
    "garnet": random_mdp(30, 4, seed=1),
    "it ends": random_mdp(12, 3, branching=2, p_end=0.1, gamma=0.99, seed=2),
    "impatient": random_mdp(8, 3, gamma=0.0, seed=3),
    "one state": MDP([[[1.0], [0.0]]], [[1.0, 5.0]], 0.9),
    "one action": random_mdp(9, 1, seed=4),
    "all alike": MDP(np.full((5, 3, 5), 0.2), np.ones((5, 3)), 0.9),
    "far from zero": MDP(random_mdp(10, 3, seed=5).transitions, 1e4 + random_mdp(10, 3, seed=5).rewards, 0.95),
    "maze": gridworld(["S..#", ".#.G", "..X."], slip=0.2, step_reward=-0.04, gamma=0.97),
}


@pytest.mark.parametrize("name", PROCESSES)
def test_value_iteration_policy_iteration_and_linear_programming_agree(name):
    mdp = PROCESSES[name]
    scale = 1 + np.abs(mdp.rewards).max() / (1 - mdp.gamma)
    exact, iterated = policy_iteration(mdp), value_iteration(mdp, tol=1e-10 * scale)
    np.testing.assert_allclose(iterated.values, exact.values, rtol=0, atol=1e-10 * scale)
    # the programme's constraints hold to 1e-7 of what its solver scales them to
    np.testing.assert_allclose(by_linear_programming(mdp), exact.values, rtol=0, atol=1e-6 * scale)
    np.testing.assert_allclose(policy_evaluation(mdp, iterated.policy), exact.values, rtol=0, atol=1e-9 * scale)
    np.testing.assert_allclose(exact.q_values.max(1), exact.values, rtol=0, atol=1e-12 * scale)


def test_the_optimum_is_the_best_of_all_policies_tried_one_by_one():
    for seed in range(5):
        mdp = random_mdp(5, 3, gamma=0.9, p_end=0.05, seed=seed)
        all_values = [policy_evaluation(mdp, np.array(p)) for p in itertools.product(range(3), repeat=5)]
        np.testing.assert_allclose(policy_iteration(mdp).values, np.max(all_values, 0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("tol", [1e-1, 1e-4, 1e-8])
def test_value_iteration_is_within_its_tolerance_and_no_sweep_too_long(tol):
    mdp = random_mdp(20, 3, gamma=0.98, seed=6)
    truth = policy_iteration(mdp).values
    solution = value_iteration(mdp, tol=tol)
    assert np.abs(solution.values - truth).max() <= tol
    assert np.abs(truth - policy_evaluation(mdp, solution.policy)).max() <= 2 * 0.98 * tol / 0.02
    with pytest.raises(RuntimeError, match="raise max_iter or tol"):
        value_iteration(mdp, tol=tol, max_iter=solution.n_iterations - 1)


def test_a_policy_is_worth_the_discounted_sum_of_what_it_is_paid():
    mdp = random_mdp(7, 3, gamma=0.8, p_end=0.1, seed=7)
    policy = np.random.default_rng(0).dirichlet(np.ones(3), size=7)
    p, r = np.einsum("sa,sat->st", policy, mdp.transitions), (policy * mdp.rewards).sum(1)
    total, reach = np.zeros(7), np.eye(7)
    for t in range(200):  # 0.8^200 is 4e-20
        total += 0.8**t * reach @ r
        reach = reach @ p
    np.testing.assert_allclose(policy_evaluation(mdp, policy), total, rtol=0, atol=1e-13)
    greedy = policy.argmax(1)
    np.testing.assert_allclose(
        policy_evaluation(mdp, greedy), policy_evaluation(mdp, np.eye(3)[greedy]), rtol=0, atol=1e-13
    )


def test_the_textbooks_maze_has_the_utilities_that_the_textbook_prints():
    # Russell & Norvig 2010, figure 17.3, three digits; gamma is 1 there, here as near to it as a contraction can be
    world = gridworld(["...G", ".#.X", "...."], slip=0.2, step_reward=-0.04, gamma=1 - 1e-9)
    printed = [0.812, 0.868, 0.918, 0.762, 0.660, 0.705, 0.655, 0.611, 0.388]
    np.testing.assert_allclose(policy_iteration(world).values, printed, rtol=0, atol=5.1e-4)


def test_known_shortest_paths_of_gymnasiums_worlds():
    cliff = from_gymnasium(gymnasium.make("CliffWalking-v1"), gamma=0.99)
    start = cliff.start @ policy_iteration(cliff).values
    assert start == pytest.approx(-(1 - 0.99**13) / (1 - 0.99), rel=1e-12)  # 13 steps of -1
    lake = from_gymnasium(gymnasium.make("FrozenLake-v1", is_slippery=False), gamma=0.9)
    assert lake.start @ value_iteration(lake).values == pytest.approx(0.9**5, abs=1e-10)  # paid for the sixth step
    with pytest.raises(ValueError, match=r"unwrapped\.P"):
        from_gymnasium(gymnasium.make("CartPole-v1"), gamma=0.9)


def test_a_simulated_process_moves_pays_ends_and_begins_as_its_arrays_say():
    transitions = np.array([[[0.2, 0.5, 0.0]], [[0.0, 0.0, 1.0]], [[0.3, 0.3, 0.4 - 1e-15]]])  # the last: rounding
    mdp = MDP(transitions, [[1.5], [2.5], [3.5]], 0.9, start=[0.25, 0.0, 0.75])
    env = SimulatedMDP(mdp)
    begins, counts = np.zeros(3), np.zeros((3, 4))
    state, _ = env.reset(seed=0)
    for _ in range(30_000):
        successor, reward, terminated, truncated, _ = env.step(0)
        assert reward == state + 1.5
        assert not truncated
        counts[state, 3 if terminated else successor] += 1
        state = successor
        if terminated:
            state, _ = env.reset()
            begins[state] += 1
    assert counts[2, 3] == counts[1, :2].sum() == counts[0, 2] == begins[1] == 0  # what cannot happen does not
    p = np.column_stack([transitions[:, 0], [0.3, 0.0, 0.0]])
    for row, expected in [*zip(counts, p, strict=True), (begins, mdp.start)]:
        if (expected > 0).sum() > 1:
            seen = expected > 0
            chance = expected[seen] / expected[seen].sum()
            assert scipy.stats.chisquare(row[seen], chance * row.sum()).pvalue > 1e-4


def test_an_episode_is_cut_off_after_max_steps_and_seeds_reproduce_it():
    env = SimulatedMDP(random_mdp(10, 2, seed=0), max_steps=3)
    assert isinstance(env.observation_space, spaces.Discrete)
    paths = []
    for _ in range(2):
        path = [env.reset(seed=5)[0]]
        for t in range(3):
            successor, _, terminated, truncated, _ = env.step(1)
            path.append(successor)
            assert (terminated, truncated) == (False, t == 2)
        paths.append(path)
    assert paths[0] == paths[1]


def test_random_processes_are_proper_and_mazes_lead_where_their_signs_say():
    mdp = random_mdp(6, 2, branching=6, p_end=0.25, seed=0)
    np.testing.assert_allclose(mdp.transitions.sum(-1), 0.75)
    assert ((random_mdp(9, 2, branching=2).transitions > 0).sum(-1) == 2).all()
    maze = gridworld(["S#", ".G"])
    assert (maze.n_states, maze.n_actions) == (2, 4)
    np.testing.assert_array_equal(maze.start, [1, 0])
    # up, right (a wall), down, left
    np.testing.assert_array_equal(maze.transitions[0], [[1, 0], [1, 0], [0, 1], [1, 0]])
    np.testing.assert_array_equal(maze.transitions[1].sum(-1), [1, 0, 1, 1])  # right enters the goal
    np.testing.assert_array_equal(maze.rewards, [[0, 0, 0, 0], [0, 1, 0, 0]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MDP(np.ones((2, 1, 3)), np.ones((2, 1)), 0.9), r"transitions must have shape \(S, A, S\)"),
        (lambda: MDP(np.empty((0, 1, 0)), np.empty((0, 1)), 0.9), "transitions must have shape"),
        (lambda: MDP(np.ones((2, 1, 2)), np.ones((2, 1)), 0.9), "rows of sum at most 1"),
        (lambda: MDP([[[np.nan]]], [[1.0]], 0.9), "transitions must be >= 0"),
        (lambda: MDP([[[1.0]]], [[np.inf]], 0.9), "rewards must be finite"),
        (lambda: MDP([[[1.0]]], [[1.0]], 1.0), r"gamma must be in \[0, 1\)"),
        (lambda: MDP([[[1.0]]], [[1.0]], 0.9, start=[0.5]), "start must be 1 probabilities"),
        (lambda: policy_evaluation(PROCESSES["maze"], np.array([0, 1])), "policy must be ints of shape"),
        (lambda: policy_evaluation(PROCESSES["one state"], np.array([2])), r"actions in \[0, 2\)"),
        (lambda: policy_evaluation(PROCESSES["one state"], np.array([[0.5, 0.6]])), "policy must be"),
        (lambda: value_iteration(PROCESSES["maze"], tol=0.0), "tol must be > 0"),
        (lambda: random_mdp(3, 2, branching=4), r"branching must be in \[1, n_states = 3\]"),
        (lambda: random_mdp(3, 2, p_end=2.0), "p_end must be"),
        (lambda: gridworld([".", ".."]), "rows of equal length"),
        (lambda: gridworld(["#"]), "no free square"),
        (lambda: gridworld(["?"]), "of the signs"),
        (lambda: gridworld(["."], slip=-0.1), "slip must be"),
        (lambda: SimulatedMDP(PROCESSES["maze"], max_steps=0), "max_steps must be at least 1"),
    ],
)
def test_what_is_no_process_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()
