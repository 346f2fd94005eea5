"""One machine with several kernels, for classes and for numbers: when does which kernel win?

Where rows are few for their columns a straight boundary has the least to go wrong; one that closes around a class needs
RBF or powers; products of two features are the quadratic kernel's; the sigmoid is no kernel, and near RBF at best.
"""

from breadth.evidence import contenders_kernels as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.contenders import DUMMY, LINEAR, LOGISTIC
from breadth.evidence.measures import MEASURES
from breadth.evidence.problem import Family

CLASSES = (*c.SVMS.values(), LOGISTIC)
NUMBERS = (*c.RIDGES.values(), LINEAR)
ONLY: dict[str, Family] = {e.name: "classification" if e in CLASSES else "regression" for e in (*CLASSES, *NUMBERS)}

COMPARISON = Comparison(
    name="kernels",
    contenders=(*CLASSES, *NUMBERS, *c.PROCESSES.values(), DUMMY),
    baseline="breadth RBF SVM",
    data=("breast_cancer", "wine", "anes96"),
    quick_data=("breast_cancer",),
    measures={
        # what a margin is for; Platt's sigmoids make the log loss
        "classification": tuple(sorted(MEASURES["classification"], key=lambda m: m.name != "accuracy")),
        "regression": MEASURES["regression"],
    },
    quick={e.name: {"fitted": False} for e in c.PROCESSES.values()},
    suite="eight",
    only=ONLY,
)
