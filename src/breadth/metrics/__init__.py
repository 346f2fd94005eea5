"""What a result is worth: scores of classifiers, rankings, clusterings, spans, ratings, texts and people's judgements.

Names and arguments are scikit-learn's wherever it has them. Names are imported on first use.
"""

from typing import TYPE_CHECKING

from breadth.lazy_names import lazy_names

if TYPE_CHECKING:
    from breadth.metrics.score import Paired, Score, measure, paired, signature

_MODULES = {
    "score": (
        "Paired",
        "Score",
        "measure",
        "paired",
        "signature",
    ),
}
__all__ = [
    "Paired",
    "Score",
    "measure",
    "paired",
    "signature",
]
__getattr__, __dir__ = lazy_names(__name__, _MODULES, needs=("regex",))
