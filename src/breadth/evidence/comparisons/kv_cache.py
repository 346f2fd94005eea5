"""What is kept of the past, by kinds of attention and of caches: bytes, time token by token, and what it loses."""

from functools import partial

from breadth.evidence import contenders_cache as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.contenders_language import BIGRAMS
from breadth.evidence.measures import MEASURES
from breadth.evidence.sources import read_tokens
from breadth.evidence.study import Measure

TRAINED = (c.MHA, c.GQA, c.MQA, c.LATENT, c.WINDOW, c.START_WINDOW, c.LAST)
BYTES = tuple(Measure(name, "lower", margin=0.5, unit="bytes") for name in ("KV bytes per token", "KV bytes of a text"))

COMPARISON = Comparison(
    name="kv-cache",
    contenders=(*TRAINED, BIGRAMS),
    baseline="MHA",
    data=("far-copies:128", "english:256"),
    quick_data=("far-copies:96",),
    quick={entry.name: {"steps": 150} for entry in TRAINED},
    repeats={"seeds": 1},
    quick_repeats={"seeds": 1},
    measures={"modelling": (*MEASURES["modelling"], *BYTES)},
    probes=(c.kv_sizes,),
    families=("modelling",),
    read=partial(read_tokens, task="modelling", length=256),
)
