"""Reinforcement learning on gymnasium environments.

Names are imported on first use: `rl.returns` works without gymnasium, bandits and known processes without torch.
"""

from typing import TYPE_CHECKING

from breadth.lazy_names import lazy_names

if TYPE_CHECKING:
    from breadth.rl.a2c import A2C
    from breadth.rl.bandits import (
        UCB1,
        BernoulliArms,
        EpsilonGreedy,
        GaussianArms,
        Softmax,
        ThompsonBernoulli,
        ThompsonGaussian,
        lai_robbins_rate,
        play,
        ucb1_regret_bound,
    )
    from breadth.rl.curves import GreedyEvaluation, LearningCurve, evaluate
    from breadth.rl.dqn import DQN
    from breadth.rl.mdp import MDP, policy_evaluation, policy_iteration, value_iteration
    from breadth.rl.ppo import PPO
    from breadth.rl.q_learning import QLearning
    from breadth.rl.reinforce import REINFORCE
    from breadth.rl.returns import clipped_surrogate, discounted_returns, gae
    from breadth.rl.sac import SAC
    from breadth.rl.worlds import SimulatedMDP, from_gymnasium, gridworld, random_mdp

__all__ = [
    "A2C",
    "DQN",
    "MDP",
    "PPO",
    "REINFORCE",
    "SAC",
    "UCB1",
    "BernoulliArms",
    "EpsilonGreedy",
    "GaussianArms",
    "GreedyEvaluation",
    "LearningCurve",
    "QLearning",
    "SimulatedMDP",
    "Softmax",
    "ThompsonBernoulli",
    "ThompsonGaussian",
    "clipped_surrogate",
    "discounted_returns",
    "evaluate",
    "from_gymnasium",
    "gae",
    "gridworld",
    "lai_robbins_rate",
    "play",
    "policy_evaluation",
    "policy_iteration",
    "random_mdp",
    "ucb1_regret_bound",
    "value_iteration",
]

_MODULES = {
    "a2c": ("A2C",),
    "bandits": (
        "BernoulliArms", "EpsilonGreedy", "GaussianArms", "Softmax", "ThompsonBernoulli", "ThompsonGaussian", "UCB1",
        "lai_robbins_rate", "play", "ucb1_regret_bound",
    ),
    "curves": ("GreedyEvaluation", "LearningCurve", "evaluate"),
    "dqn": ("DQN",),
    "mdp": ("MDP", "policy_evaluation", "policy_iteration", "value_iteration"),
    "ppo": ("PPO",),
    "q_learning": ("QLearning",),
    "reinforce": ("REINFORCE",),
    "returns": ("clipped_surrogate", "discounted_returns", "gae"),
    "sac": ("SAC",),
    "worlds": ("SimulatedMDP", "from_gymnasium", "gridworld", "random_mdp"),
}  # fmt: skip
__getattr__, __dir__ = lazy_names(__name__, _MODULES, needs=("gymnasium", "torch"))
