"""Normalisers in a network of four layers, with batches of four rows and of sixty-four."""

from breadth.evidence import contenders_networks as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.contenders import DUMMY

NORMS = {"no norm": None, "batch norm": "batch", "layer norm": "layer", "RMS norm": "rms"}
SIZES = (64, 64, 64, 64)

COMPARISON = Comparison(
    name="normalisation",
    contenders=(
        *(
            c.network(f"{name}, batches of {rows}", hidden_sizes=SIZES, norm=norm, batch_size=rows, max_epochs=10)
            for rows in (64, 4)
            for name, norm in NORMS.items()
        ),
        c.sklearn_network(hidden_layer_sizes=SIZES, max_iter=10),
        DUMMY,
    ),
    baseline="no norm, batches of 64",
    data=("digits", "breast_cancer", "anes96"),
    quick_data=("digits", "breast_cancer"),
    suite="eight",
)
