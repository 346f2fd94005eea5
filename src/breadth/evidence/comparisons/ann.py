"""Approximate nearest neighbours beside the exact ones: graphs of equal links, inverted files of equal probes."""

from breadth.evidence import contenders_search as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.measures import MEASURES
from breadth.evidence.sources import read_vectors

COMPARISON = Comparison(
    name="ann",
    contenders=(c.FLAT, c.HNSW, c.IVF, c.FAISS_FLAT, c.FAISS_HNSW, c.FAISS_IVF, c.HNSWLIB),
    baseline="hnswlib",
    data=("lsa_unit", "clustered"),
    quick_data=("lsa_unit:3000",),
    measures={"search": MEASURES["search"]},
    families=("search",),
    read=read_vectors,
)
