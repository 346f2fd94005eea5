"""Detectors of drift on streams of errors: is the first alarm a right one, how late, and at what cost an item?"""

from breadth.evidence import contenders_drift as c
from breadth.evidence.comparison import Comparison

COMPARISON = Comparison(
    name="drift",
    contenders=(*c.OURS, *c.PEERS, c.DUMMY),
    baseline=c.DDM.name,
    data=("sudden", "gradual", "falling", "still"),
    quick_data=("sudden", "still"),
    repeats={"seeds": 1, "rounds": 3},  # nothing is drawn anew but which streams are held out together
    quick_repeats={"seeds": 1, "rounds": 1},
    families=("drift",),
    read=c.read_streams,
)
