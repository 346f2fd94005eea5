"""Full prefill beside LazyLLM's schedules, random tokens and the end of a prompt, on a decoder known to the letter."""

from breadth.evidence import contenders_pruning as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.contenders import DUMMY
from breadth.evidence.measures import MEASURES

_LOSS, _AUC, _ACCURACY = MEASURES["classification"]

COMPARISON = Comparison(
    name="token-pruning",
    contenders=(c.WHOLE, *c.LAYER_WISE, *c.EARLY, c.LATE, c.DYNAMIC, c.RANDOM, c.LAST, DUMMY),
    baseline="all tokens",
    data=("retrieval:2048",),
    quick_data=("retrieval:512",),
    repeats={"seeds": 1, "rounds": 3},  # nothing is drawn anew but which prompts are held out together
    quick_repeats={"seeds": 1, "rounds": 1},
    measures={"classification": (_ACCURACY, _LOSS, _AUC)},
    families=("classification",),
    read=c.read_prompts,
)
