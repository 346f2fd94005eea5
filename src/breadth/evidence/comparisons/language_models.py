"""Published decoders by what a token costs behind texts of up to so many tokens: exact figures, nothing is trained.

At 1,024 tokens every model can take part; `--data contexts:131072` asks those that read so far, and lists the others
as failed.
"""

from breadth.evidence.comparison import Comparison
from breadth.evidence.contenders_presets import PRESETS, accounted
from breadth.evidence.measures import MEASURES
from breadth.evidence.sources import read_lengths

COMPARISON = Comparison(
    name="language-models",
    contenders=tuple(accounted(name) for name in PRESETS),
    baseline="llama-3.2-1b",
    data=("contexts:1024",),
    repeats={"seeds": 1, "rounds": 1},
    quick_repeats={"seeds": 1, "rounds": 1},
    measures={"accounting": MEASURES["accounting"]},
    families=("accounting",),
    read=read_lengths,
)
