"""Metrics of texts on sentences with planted edits: is the same in other words put above what says something else?"""

from breadth.evidence import contenders_edits as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.measures_trials import TRIALS

COMPARISON = Comparison(
    name="text-metrics",
    contenders=(*c.OURS, *c.PEERS, c.DUMMY),
    baseline=c.BLEU.name,
    data=("negation", "opposite", "shuffling", "cut"),
    quick_data=("negation", "shuffling"),
    repeats={"seeds": 1, "rounds": 3},  # nothing is drawn anew but which sentences are held out together
    quick_repeats={"seeds": 1, "rounds": 1},
    measures={"judging": TRIALS["judging"][:2]},
    families=("judging",),
    read=c.read_edits,
)
