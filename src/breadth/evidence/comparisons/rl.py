"""Reinforcement learning methods with one budget of steps, by the return of greedy episodes from unseen starts."""

from breadth.evidence import contenders_control as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.measures import MEASURES
from breadth.evidence.sources import read_control

CONTENDERS = (c.PPO, c.A2C, c.REINFORCE, c.DQN, c.SAC, c.Q_LEARNING, c.SB3_PPO, c.SB3_DQN, c.RANDOM)
# steps that solve nothing, and few updates: they show what a run prints, and which methods beat chance
QUICK = {entry.name: {"steps": 1_500} for entry in CONTENDERS}
QUICK |= {entry.name: {"steps": 1_500, "learning_starts": 250, "gradient_steps": 32} for entry in (c.DQN, c.SB3_DQN)}
QUICK[c.SAC.name] = {"steps": 1_500, "train_freq": 16}

COMPARISON = Comparison(
    name="rl",
    contenders=CONTENDERS,
    baseline="breadth PPO",
    data=("CartPole-v1",),
    quick_data=("CartPole-v1:25",),
    quick=QUICK,
    quick_repeats={"seeds": 1, "rounds": 1},
    measures={"control": MEASURES["control"]},
    families=("control",),
    read=read_control,
)
