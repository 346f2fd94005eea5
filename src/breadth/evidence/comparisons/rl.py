"""Reinforcement learning methods with one budget of steps, by the return of greedy episodes from unseen starts."""

from breadth.evidence import contenders_control as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.measures import MEASURES
from breadth.evidence.sources import read_control

CONTENDERS = (c.PPO, c.A2C, c.REINFORCE, c.DQN, c.SAC, c.Q_LEARNING, c.SB3_PPO, c.SB3_DQN, c.RANDOM)

COMPARISON = Comparison(
    name="rl",
    contenders=CONTENDERS,
    baseline="breadth PPO",
    data=("CartPole-v1",),
    quick={entry.name: {"steps": 4_000} for entry in CONTENDERS},
    measures={"control": MEASURES["control"]},
    families=("control",),
    read=read_control,
)
