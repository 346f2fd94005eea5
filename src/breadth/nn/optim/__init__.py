"""Optimizers with the interface of `torch.optim`."""

from breadth.nn.optim.adagrad import Adagrad
from breadth.nn.optim.adam import Adam, AdamW
from breadth.nn.optim.decay import decay_groups, weight_decay_
from breadth.nn.optim.lbfgs import LBFGS
from breadth.nn.optim.muon import Muon, MuonClip, newton_schulz
from breadth.nn.optim.newton import DampedNewton
from breadth.nn.optim.qk_clip import LogitReporter, QKHeads, qk_clip_
from breadth.nn.optim.rmsprop import RMSprop
from breadth.nn.optim.sgd import GD, SGD

__all__ = [
    "GD",
    "LBFGS",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "DampedNewton",
    "LogitReporter",
    "Muon",
    "MuonClip",
    "QKHeads",
    "RMSprop",
    "decay_groups",
    "newton_schulz",
    "qk_clip_",
    "weight_decay_",
]
