"""Losses where training has twenty times fewer rows of the last class than of the first, and held-out rows have not."""

from breadth.evidence import contenders_networks as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.contenders import DUMMY

RAREST = 0.05  # share of its rows that the last class keeps
LOSSES = {
    "cross-entropy": "cross_entropy",
    "by inverse count": "inverse_count",
    "by effective number": "class_balanced",
    "balanced softmax": "balanced_softmax",
    "focal": "focal",
}

COMPARISON = Comparison(
    name="imbalance-losses",
    contenders=(
        *(c.network(name, loss=loss, rarest=RAREST) for name, loss in LOSSES.items()),
        c.network("cross-entropy, all rows"),
        c.sklearn_network(rarest=RAREST),
        DUMMY,
    ),
    baseline="cross-entropy",
    data=("digits", "breast_cancer", "anes96"),
    quick_data=("digits", "breast_cancer"),
    suite="eight",
    families=("classification",),
)
