"""Losses where two in five training rows have a wrong class, and held-out rows the right one."""

from breadth.evidence import contenders_networks as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.contenders import DUMMY

WRONG = 0.4
LOSSES = {
    "cross-entropy": "cross_entropy",
    "label smoothing": "label_smoothing",
    "mean absolute error": "mae",
    "generalised CE": "generalized_cross_entropy",
    "symmetric CE": "symmetric_cross_entropy",
    "soft bootstrapping": "soft_bootstrapping",
    "hard bootstrapping": "hard_bootstrapping",
    "Brier": "brier",
}

COMPARISON = Comparison(
    name="noisy-labels",
    contenders=(
        *(c.network(name, loss=loss, mislabelled=WRONG) for name, loss in LOSSES.items()),
        c.network("cross-entropy, right labels"),
        c.sklearn_network(mislabelled=WRONG),
        DUMMY,
    ),
    baseline="cross-entropy",
    data=("digits", "breast_cancer"),
    suite="eight",
    families=("classification",),
)
