"""Ways to select columns beside none, where 50 columns of noise are among them."""

from breadth.evidence import contenders_selection as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.contenders import DUMMY
from breadth.evidence.measures import MEASURES
from breadth.evidence.study import Measure

_KEPT = (Measure("noise kept", "lower", margin=0.02), Measure("columns kept", "lower", margin=1))

COMPARISON = Comparison(
    name="selection",
    contenders=(*c.SELECTORS, DUMMY),
    baseline="all columns",
    data=("breast_cancer", "anes96", "diabetes"),
    quick_data=("breast_cancer",),
    suite="eight",
    quick={"forward": {"kept": 4}},
    measures={family: (*MEASURES[family], *_KEPT) for family in ("classification", "regression")},
    probes=(c.kept_columns,),
)
