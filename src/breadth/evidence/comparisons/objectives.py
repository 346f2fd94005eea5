"""The next token or masked ones as the objective of pretraining: hidden tokens found, and what states say of texts."""

from breadth.evidence import contenders_objectives as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.contenders import DUMMY
from breadth.evidence.measures import MEASURES

TRAINED = (c.LEFT, c.BOTH, *c.MASKED)
_LOSS, _AUC, _ACCURACY = MEASURES["classification"]

COMPARISON = Comparison(
    name="objectives",
    contenders=(*TRAINED, c.UNTRAINED, DUMMY),
    baseline=c.LEFT.name,
    data=("cloze", "next", "topic"),
    quick_data=("cloze", "topic"),
    quick={entry.name: {"steps": 150} for entry in TRAINED},
    repeats={"seeds": 1, "rounds": 0},
    quick_repeats={"seeds": 1, "rounds": 0},
    measures={"classification": (_LOSS, _ACCURACY, _AUC)},
    families=("classification",),
    read=c.read_rows,
)
