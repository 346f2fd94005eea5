"""First weights of a network of twelve layers: too small, too large, scaled, orthogonal; and two ways round them."""

from typing import Any

from breadth.evidence import contenders_networks as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.contenders import DUMMY
from breadth.evidence.entry import Entry

SIZES = (48,) * 12


def _deep(name: str, **settings: Any) -> Entry:
    return c.network(name, hidden_sizes=SIZES, **settings)


COMPARISON = Comparison(
    name="initialisation",
    contenders=(
        _deep("N(0, 0.01²), ReLU", init="small"),
        _deep("N(0, 1), ReLU", init="large"),
        _deep("torch's default, ReLU", init="default"),
        _deep("Xavier, ReLU", init="xavier_normal"),
        _deep("Kaiming, ReLU", init="kaiming_normal"),
        _deep("orthogonal, ReLU", init="orthogonal"),
        _deep("N(0, 1), tanh", init="large", activation="tanh"),
        _deep("Xavier, tanh", init="xavier_normal", activation="tanh"),
        _deep("Kaiming, ReLU, residual", init="kaiming_normal", residual=True),
        _deep("N(0, 0.01²), ReLU, layer norm", init="small", norm="layer"),
        c.sklearn_network(hidden_layer_sizes=SIZES),
        DUMMY,
    ),
    baseline="Kaiming, ReLU",
    data=("digits", "breast_cancer", "anes96"),
    quick_data=("digits", "breast_cancer"),
    suite="eight",
)
