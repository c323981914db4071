"""The metrics of `scipy.spatial.distance.cdist` that have no kernels here, computed by SciPy.

Also its other names for those that have. `seuclidean` and `mahalanobis` are left out: what they are
depends on all rows at once, and a block does not see them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ALIASES", "BY_SCIPY", "WHOLE_SET", "cdist"]

ALIASES = {
    alias: name
    for name, aliases in {
        "sqeuclidean": "sqe sqeuclid",
        "euclidean": "euclid eu e",
        "cosine": "cos",
        "cityblock": "cblock cb c",
        "hamming": "hamm ha h matching",
        "jaccard": "jacc ja j",
        "chebyshev": "chebychev cheby cheb ch",
        "correlation": "co",
        "jensenshannon": "js",
        "minkowski": "mi m pnorm",
        "seuclidean": "se s",
        "mahalanobis": "mahal mah",
    }.items()
    for alias in aliases.split()
}
BY_SCIPY = (
    "braycurtis canberra chebyshev correlation dice jensenshannon minkowski rogerstanimoto "
    "russellrao sokalsneath yule"
).split()
WHOLE_SET = ("seuclidean", "mahalanobis")


def cdist(name: str, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    """Return the (q, n) distances by SciPy, which is imported only now."""
    from scipy.spatial import distance

    compute: Any = distance.cdist
    result: NDArray[np.float64] = compute(x, y, name)
    return result
