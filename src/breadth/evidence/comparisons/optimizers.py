"""Optimizers on one small network, each at a rate that is usual for it; `--tune` searches the rates."""

from breadth.evidence import contenders_networks as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.contenders import DUMMY

COMPARISON = Comparison(
    name="optimizers",
    contenders=(
        c.network("breadth SGD", optimizer="sgd", learning_rate=0.1),
        c.network("breadth momentum", optimizer="momentum", learning_rate=0.02),
        c.network("breadth Nesterov", optimizer="nesterov", learning_rate=0.02),
        c.network("breadth Adagrad", optimizer="adagrad", learning_rate=0.02),
        c.network("breadth RMSprop", optimizer="rmsprop"),
        c.network("breadth Adam", optimizer="adam"),
        c.network("breadth AdamW", optimizer="adamw", weight_decay=0.01),
        c.network("torch AdamW", c.torch_rule, origin="torch", rule="AdamW", weight_decay=0.01),
        c.sklearn_network("scikit-learn Adam"),
        DUMMY,
    ),
    baseline="breadth AdamW",
    data=("digits", "breast_cancer", "anes96"),
    quick_data=("digits", "breast_cancer"),
    suite="eight",
)
