"""Finite Markov decision processes as arrays, solved exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MDP:
    """S states and A actions, with known dynamics.

    What a row of transitions lacks of 1 is the probability that the task ends with that step, so that there is no
    state in which nothing happens any more.

    Args:
        transitions: P(s' | s, a), shape (S, A, S), rows of sum <= 1.
        rewards: E[r | s, a], shape (S, A).
        gamma: discount, in [0, 1).
        start: P(first state), shape (S,); None is uniform.

    Raises:
        ValueError: if shapes differ, probabilities are negative or sum to more than 1, or gamma is outside [0, 1).

    References: Puterman 1994, Markov Decision Processes, section 2.1; Sutton & Barto 2018, section 3.1.
    Peer: what `SimulatedMDP` does with it, by chi-square (B).
    """

    transitions: Array
    rewards: Array
    gamma: float
    start: Array

    def __init__(
        self, transitions: ArrayLike, rewards: ArrayLike, gamma: float, start: ArrayLike | None = None
    ) -> None:
        p = np.asarray(transitions, np.float64)
        if p.ndim != 3 or p.shape[0] != p.shape[2] or 0 in p.shape:
            raise ValueError(f"transitions must have shape (S, A, S), got {p.shape}")
        r = np.asarray(rewards, np.float64)
        if r.shape != p.shape[:2] or not np.isfinite(r).all():
            raise ValueError(f"rewards must be finite, of shape (S, A) = {p.shape[:2]}, got shape {r.shape}")
        n, total = len(p), p.sum(-1)
        if not ((p >= 0).all() and (total <= 1 + 1e-12 * n).all()):
            raise ValueError(
                f"transitions must be >= 0 with rows of sum at most 1, got a least entry of {p.min()} and a largest "
                f"sum of {total.max()}"
            )
        if not 0 <= gamma < 1:
            raise ValueError(f"gamma must be in [0, 1), got {gamma}; at 1 values may have no bound")
        first = np.full(n, 1 / n) if start is None else np.asarray(start, np.float64)
        if first.shape != (n,) or not (first >= 0).all() or not np.isclose(first.sum(), 1, rtol=0, atol=1e-8):
            raise ValueError(f"start must be {n} probabilities of sum 1, got {start}")
        for name, value in (("transitions", p), ("rewards", r), ("gamma", float(gamma)), ("start", first)):
            object.__setattr__(self, name, value)

    @property
    def n_states(self) -> int:
        return self.transitions.shape[0]

    @property
    def n_actions(self) -> int:
        return self.transitions.shape[1]

    def q_values(self, values: Array) -> Array:
        """Bellman's one-step look-ahead r(s, a) + gamma sum_s' P(s' | s, a) V(s'), shape (S, A)."""
        return self.rewards + self.gamma * self.transitions @ values


@dataclass(frozen=True)
class Solution:
    """An optimal policy, and what it earns.

    Attributes:
        values: V(s), shape (S,).
        q_values: Q(s, a), shape (S, A).
        policy: the action of each state, shape (S,).
        n_iterations: sweeps or policies until it was found.
    """

    values: Array
    q_values: Array
    policy: NDArray[np.intp]
    n_iterations: int


def policy_evaluation(mdp: MDP, policy: NDArray) -> Array:
    """The values of a policy, exactly: the solution of (I - gamma P_pi) V = r_pi.

    Args:
        mdp: the process.
        policy: an action for each state, int (S,), or probabilities, shape (S, A).

    Returns:
        V(s), shape (S,).

    Raises:
        ValueError: if the policy has another shape, names an action that is not there, or rows of sum other than 1.

    Cost: O(S^3).
    References: Puterman 1994, theorem 6.1.1; Sutton & Barto 2018, eq. 4.4.
    Peer: the sum of gamma^t P^t r until it no longer moves, 1e-13 (B).
    """
    policy, n = np.asarray(policy), mdp.n_states
    if policy.shape == (n,) and np.issubdtype(policy.dtype, np.integer):
        if not ((policy >= 0) & (policy < mdp.n_actions)).all():
            raise ValueError(f"policy must hold actions in [0, {mdp.n_actions}), got {policy.min()} to {policy.max()}")
        policy = np.eye(mdp.n_actions)[policy]
    if policy.shape != mdp.rewards.shape or (policy < 0).any() or not np.allclose(policy.sum(1), 1, rtol=0, atol=1e-8):
        raise ValueError(f"policy must be ints of shape ({n},) or probabilities of shape {mdp.rewards.shape}")
    p = np.einsum("sa,sat->st", policy, mdp.transitions)
    return np.linalg.solve(np.eye(n) - mdp.gamma * p, (policy * mdp.rewards).sum(1))


def value_iteration(mdp: MDP, *, tol: float = 1e-10, max_iter: int = 1_000_000) -> Solution:
    """The optimal values, by repeating V(s) <- max_a [r(s, a) + gamma sum_s' P(s' | s, a) V(s')].

    Args:
        mdp: the process.
        tol: no value is further than this from the optimum, > 0.
        max_iter: sweeps before giving up.

    Returns:
        Values within tol, and the policy that is greedy for them, which earns within 2 gamma tol / (1 - gamma).

    Raises:
        ValueError: if tol <= 0.
        RuntimeError: if max_iter sweeps do not reach tol.

    Cost: O(S^2 A) a sweep, log(1 / tol) / log(1 / gamma) sweeps.
    Deviations: none.
    References: Bellman 1957; Puterman 1994, section 6.3, theorem 6.3.1 (the stopping rule).
    Peer: scipy.optimize.linprog on Puterman's linear programme, 1e-6 of its scale (A); `policy_iteration`, tol.
    In production: use it for large S with few successors a state; `policy_iteration` for S up to some thousands.
    """
    if not tol > 0:
        raise ValueError(f"tol must be > 0, got {tol}")
    values, moved = np.zeros(mdp.n_states), np.inf
    for sweep in range(1, max_iter + 1):
        q = mdp.q_values(values)
        new = q.max(1)
        moved = np.abs(new - values).max()
        values = new
        if mdp.gamma * moved <= tol * (1 - mdp.gamma):  # |V_new - V*| <= gamma / (1 - gamma) |V_new - V|
            q = mdp.q_values(values)
            return Solution(values, q, q.argmax(1), sweep)
    raise RuntimeError(f"values still move by {moved:.3g} after {max_iter} sweeps; raise max_iter or tol")


def policy_iteration(mdp: MDP) -> Solution:
    """An optimal policy, by evaluating a policy exactly and making it greedy until nothing improves.

    An action is exchanged only for one that is better by more than rounding, so that ties do not make it go round.

    Args:
        mdp: the process.

    Returns:
        The optimum, exact but for the rounding of a linear solve.

    Cost: O(S^3 + S^2 A) a policy; the policies tried are few in practice.
    References: Howard 1960; Puterman 1994, section 6.4.
    Peer: scipy.optimize.linprog on Puterman's linear programme, 1e-6 of its scale (A); the best of all A^S policies
        where they are few, 1e-12.
    In production: use it for S up to some thousands and gamma near 1.
    """
    policy, n = np.zeros(mdp.n_states, np.intp), 0
    each = np.arange(mdp.n_states)
    while True:
        n += 1
        values = policy_evaluation(mdp, policy)
        q = mdp.q_values(values)
        gain = q.max(1) - q[each, policy]
        improves = gain > 1e-12 * max(1.0, np.abs(q).max())
        if not improves.any():
            return Solution(values, q, policy, n)
        policy = np.where(improves, q.argmax(1), policy)
