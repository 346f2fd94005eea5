"""Recommenders on what users took, a fifth of it hidden: does anyone do better than what all take anyway?"""

from breadth.evidence import contenders_recommend as c
from breadth.evidence.comparison import Comparison

COMPARISON = Comparison(
    name="recommenders",
    contenders=(c.POPULARITY, *c.OURS, *c.PEERS, c.DUMMY),
    baseline=c.POPULARITY.name,
    data=("tastes", "genres", "popular"),
    quick_data=("tastes", "popular"),
    families=("recommendation",),
    read=c.read_interactions,
)
