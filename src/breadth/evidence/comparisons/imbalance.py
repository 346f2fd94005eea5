"""What is done about a class that one row in forty or in twenty is of, beside models that know nothing of it.

Balanced accuracy decides: a model that never says the rare class has 1/2. Average precision tells whether rows are
ranked better too, and log loss what weights and losses take from the probabilities.
"""

from breadth.evidence import contenders_imbalance as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.measures import MEASURES
from breadth.evidence.study import Measure

_RARE = (
    Measure("balanced accuracy", "higher", margin=0.01),
    Measure("average precision", "higher", margin=0.01),
)

COMPARISON = Comparison(
    name="imbalance",
    contenders=(*c.LINEAR, *c.TREES, *c.NETWORKS, c.DUMMY),
    baseline="logistic",
    data=("mammography_like", "breast_cancer"),
    quick_data=("mammography_like:6000", "breast_cancer"),
    suite="eight",
    measures={"classification": (*_RARE, *MEASURES["classification"])},
    quick={entry.name: {"max_epochs": 5, "learning_rate": 5e-3} for entry in c.NETWORKS},
    quick_repeats={"seeds": 1, "rounds": 1},
    families=("classification",),
)
