"""Metrics of classifiers as positives get rare, from one row in two to one in 100: do they find the better scorer?"""

from breadth.evidence import contenders_scores as c
from breadth.evidence.comparison import Comparison

COMPARISON = Comparison(
    name="imbalance-metrics",
    contenders=(*c.OURS, *c.PEERS, c.DUMMY),
    baseline="AUROC",
    data=("everywhere:2", "everywhere:10", "everywhere:100", "top:2", "top:10", "top:100"),
    quick_data=("everywhere:2", "everywhere:100", "top:100"),
    repeats={"seeds": 1, "rounds": 3},  # nothing is drawn anew but which trials are held out together
    quick_repeats={"seeds": 1, "rounds": 1},
    families=("judging",),
    read=c.read_scores,
)
