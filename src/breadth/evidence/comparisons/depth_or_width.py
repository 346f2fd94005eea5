"""Networks of one size, 20,000 parameters, in one to sixteen layers; deep ones with skips and layer norm as well."""

from typing import Any

from breadth.evidence import contenders_networks as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.contenders import DUMMY
from breadth.evidence.entry import Entry

PARAMETERS = 20_000


def _of(name: str, layers: int, **settings: Any) -> Entry:
    return c.network(name, layers=layers, parameters=PARAMETERS, init="kaiming_normal", **settings)


COMPARISON = Comparison(
    name="depth-or-width",
    contenders=(
        _of("1 layer", 1),
        _of("2 layers", 2),
        _of("4 layers", 4),
        _of("8 layers", 8),
        _of("16 layers", 16),
        _of("8 layers, residual", 8, residual=True, norm="layer"),
        _of("16 layers, residual", 16, residual=True, norm="layer"),
        c.sklearn_network("scikit-learn, 1 layer of 100", hidden_layer_sizes=(100,)),
        DUMMY,
    ),
    baseline="2 layers",
    data=("digits", "breast_cancer", "anes96"),
    quick_data=("digits", "breast_cancer"),
    suite="eight",
)
