"""Measures of similarity by the neighbours they find: how many of the ten nearest by cosine the others find too."""

from breadth.evidence import contenders_search as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.measures import MEASURES
from breadth.evidence.sources import read_vectors

COMPARISON = Comparison(
    name="similarity",
    contenders=(c.COSINE, c.DOT, c.EUCLIDEAN),
    baseline="cosine",
    data=("lsa", "lsa_unit", "clustered"),
    quick_data=("lsa:3000", "lsa_unit:3000"),
    measures={"search": MEASURES["search"]},
    families=("search",),
    read=read_vectors,
)
