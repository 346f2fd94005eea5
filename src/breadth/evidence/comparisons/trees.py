"""One tree, many trees beside each other, many trees one after the other: what each step costs in readability."""

from breadth.evidence import contenders as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.measures import MEASURES
from breadth.evidence.probes import overfit_gap, structure
from breadth.evidence.study import Measure

_READABLE = (
    Measure("leaves", "lower", margin=1),
    Measure("depth", "lower", margin=1),
    Measure("used features", "lower", margin=0.5),
)
_LOG_LOSS, _AUC, _ACCURACY = MEASURES["classification"]
_RMSE, _MAE, _R2 = MEASURES["regression"]

COMPARISON = Comparison(
    name="trees",
    contenders=(
        c.TREE,
        c.SKLEARN_TREE,
        c.FOREST,
        c.SKLEARN_FOREST,
        c.LEAF_WISE,
        c.LEVEL_WISE,
        c.XGBOOST,
        c.DUMMY,
    ),
    baseline="breadth tree",
    data=("breast_cancer", "wine", "anes96", "fair"),
    quick_data=("breast_cancer", "anes96"),
    suite="eight",
    measures={
        # Accuracy decides: the pure leaves of a full tree make its log loss a matter of how certainty is clipped.
        "classification": (_ACCURACY, _AUC, _LOG_LOSS, Measure("overfit gap", "lower", margin=0.005), *_READABLE),
        "regression": (_RMSE, _MAE, _R2, Measure("overfit gap", "lower", margin=0.01), *_READABLE),
    },
    probes=(overfit_gap, structure),
)
