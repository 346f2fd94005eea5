"""Frequentist intervals beside Bayesian ones on samples with a known truth: how often they hold it, and their width.

By default proportions; `--data normal:10 skewed:20 heavy:50` asks the same of means.
"""

from breadth.evidence import contenders_intervals as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.problem import Family

KINDS: dict[str, Family] = {entry.name: "mean" for entry in c.MEAN}
for entry in c.PROPORTION:
    KINDS[entry.name] = "proportion"

COMPARISON = Comparison(
    name="intervals",
    contenders=(*c.PROPORTION, c.T, *c.MEAN, c.BCA, c.DUMMY),
    baseline=c.WILSON.name,
    data=("half:50", "rare:50", "drawn:50"),
    quick_data=("rare:50", "drawn:50"),
    only=KINDS,
    families=("proportion", "mean"),
    read=c.read_samples,
)
