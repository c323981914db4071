"""Distances, exact search and vector indexes, on compiled kernels.

metrics     what a metric is, and the registry of them
distances   the full matrix
search      the k nearest, without the matrix
within      all pairs within a radius
index/      rows kept between searches, by id
cached      results kept between searches
"""

from raudo.similarity.cached import SimilarityCache
from raudo.similarity.distances import pairwise_distances
from raudo.similarity.index.flat import FlatIndex
from raudo.similarity.index.ivf import IVFIndex
from raudo.similarity.metrics import Metric, metric_names, register_metric
from raudo.similarity.search import nearest
from raudo.similarity.within import pairs_within
from raudo.types import Matches, RangeMatches

__all__ = [
    "pairwise_distances",
    "nearest",
    "pairs_within",
    "Matches",
    "RangeMatches",
    "FlatIndex",
    "IVFIndex",
    "SimilarityCache",
    "Metric",
    "register_metric",
    "metric_names",
]
