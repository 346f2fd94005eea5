"""Strategies of decoding on one small decoder: repetition, diversity and likelihood beside those of the text itself."""

from functools import partial

from breadth.evidence import contenders_decoding as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.measures import MEASURES
from breadth.evidence.sources import read_tokens

CONTENDERS = (c.SAMPLING, *c.STRATEGIES, c.PEER, c.TEXT)

COMPARISON = Comparison(
    name="decoding",
    contenders=CONTENDERS,
    baseline="sampling",
    data=("english:128", "code:128"),
    quick_data=("english:64",),
    quick={entry.name: {"steps": 200} for entry in CONTENDERS},
    repeats={"seeds": 1, "rounds": 3},
    quick_repeats={"seeds": 1, "rounds": 1},
    measures={"generation": MEASURES["generation"]},
    families=("generation",),
    read=partial(read_tokens, task="generation", length=128),
)
