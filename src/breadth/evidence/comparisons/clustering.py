"""Ways to find groups, told how many there are, on planted groups of several shapes and on tables with classes."""

from breadth.evidence import contenders_clustering as c
from breadth.evidence.comparison import Comparison

COMPARISON = Comparison(
    name="clustering",
    contenders=(c.KMEANS, c.TEN_STARTS, c.MIXTURE, *c.PEERS, c.DUMMY),
    baseline=c.KMEANS.name,
    data=("spheres", "cigars", "unequal", "iris", "wine", "digits"),
    quick_data=("spheres", "cigars", "digits"),
    families=("clustering",),
    read=c.read_groups,
)
