"""Learners of few labels: what rows without labels add, beside those labels alone and beside all of them."""

from breadth.evidence import contenders_labels as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.contenders import DUMMY

COMPARISON = Comparison(
    name="semi-supervised",
    contenders=(c.FEW_LABELS, *c.SEMI, *c.SEMI_PEERS, c.ALL_LABELS, DUMMY),
    baseline=c.FEW_LABELS.name,
    data=("digits", "breast_cancer", "wine"),
    quick_data=("digits", "wine"),
    suite="eight",
    measures=c.BY_ACCURACY,
    families=("classification",),
)
