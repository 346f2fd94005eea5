"""Vector search: flat, IVF and HNSW indexes, their store, and other engines behind the same protocol."""

from breadth.vector.flat import Flat
from breadth.vector.hnsw import HNSW
from breadth.vector.index import Hits, VectorIndex
from breadth.vector.ivf import IVF
from breadth.vector.product_quantization import ProductQuantizer
from breadth.vector.similarity import cosine_similarity, dot_product, euclidean_distance

__all__ = [
    "HNSW",
    "IVF",
    "Flat",
    "Hits",
    "ProductQuantizer",
    "VectorIndex",
    "cosine_similarity",
    "dot_product",
    "euclidean_distance",
]
