"""Activations in a network of three layers; the identity makes it a linear model."""

from breadth.evidence import contenders_networks as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.contenders import DUMMY

SIZES = (64, 64, 64)
NAMES = {"ReLU": "relu", "GELU": "gelu", "SiLU": "silu", "tanh": "tanh", "sigmoid": "sigmoid", "identity": "identity"}

COMPARISON = Comparison(
    name="activations",
    contenders=(
        *(c.network(f"breadth {name}", hidden_sizes=SIZES, activation=key) for name, key in NAMES.items()),
        c.sklearn_network("scikit-learn ReLU", hidden_layer_sizes=SIZES),
        c.sklearn_network("scikit-learn tanh", hidden_layer_sizes=SIZES, activation="tanh"),
        DUMMY,
    ),
    baseline="breadth ReLU",
    data=("digits", "breast_cancer", "anes96"),
    quick_data=("digits", "breast_cancer"),
    suite="eight",
)
