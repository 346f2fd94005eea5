"""Strategies that choose which labels to ask for, with so many to spend, beside labels of rows drawn at random."""

from breadth.evidence import contenders_labels as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.contenders import DUMMY

COMPARISON = Comparison(
    name="active-learning",
    contenders=(c.RANDOM, *c.STRATEGIES, c.ALL_LABELS, DUMMY),
    baseline=c.RANDOM.name,
    data=("digits", "breast_cancer", "wine"),
    quick_data=("breast_cancer", "wine"),
    suite="eight",
    measures=c.BY_ACCURACY,
    families=("classification",),
)
