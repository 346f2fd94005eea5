"""A convolutional, a recurrent and a Transformer network beside a perceptron: on few rows, on all, without order."""

from typing import Any

from breadth.evidence import contenders_networks as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.contenders import DUMMY
from breadth.evidence.entry import Entry

ROWS = 200
KINDS = {
    "CNN": {"kind": "convolutional", "channels": (16, 32)},
    "LSTM": {"kind": "recurrent", "hidden_size": 48},
    "Transformer": {"kind": "transformer", "d_model": 32},
}


def _network(name: str, **settings: Any) -> Entry:
    return c.network(name, c.shaped, learning_rate=3e-3, **settings)


COMPARISON = Comparison(
    name="architectures",
    contenders=(
        *(_network(f"{name}, {ROWS} rows", **kind, rows=ROWS) for name, kind in KINDS.items()),
        c.network(f"MLP, {ROWS} rows", learning_rate=3e-3, rows=ROWS),
        _network(f"CNN, {ROWS} rows, shuffled pixels", **KINDS["CNN"], rows=ROWS, shuffled=True),
        *(_network(f"{name}, all rows", **kind) for name, kind in KINDS.items()),
        c.network("MLP, all rows", learning_rate=3e-3),
        c.sklearn_network("scikit-learn MLP, all rows", learning_rate_init=3e-3),
        DUMMY,
    ),
    baseline=f"MLP, {ROWS} rows",
    data=("digits",),
    families=("classification",),
)
