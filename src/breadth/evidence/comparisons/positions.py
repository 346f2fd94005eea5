"""Kinds of positions in a small decoder, trained on texts of length L and read at L, 2L and 4L."""

from functools import partial

from breadth.evidence import contenders_language as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.sources import read_tokens
from breadth.evidence.study import Measure

CONTENDERS = (
    c.ROPE, c.ROPE_WINDOW, c.ROPE_STRETCHED, c.NOPE, c.ALIBI, c.RELATIVE, c.SINUSOIDAL, c.LEARNED, c.BIGRAMS,
)  # fmt: skip

COMPARISON = Comparison(
    name="positions",
    contenders=CONTENDERS,
    baseline="RoPE, then the last L tokens",
    data=("copies:256", "english:256"),
    quick_data=("copies:128",),
    quick={entry.name: {"steps": 200} for entry in CONTENDERS if entry is not c.BIGRAMS},
    repeats={"seeds": 1, "rounds": 0},
    quick_repeats={"seeds": 1, "rounds": 0},
    measures={
        "modelling": tuple(Measure(f"nats at {n}", "lower", margin=0.02, unit="nats") for n in ("4L", "2L", "L"))
    },
    families=("modelling",),
    read=partial(read_tokens, task="modelling", length=256),
)
