"""What a result is worth: scores of classifiers, rankings, clusterings, spans, ratings, texts and people's judgements.

Names and arguments are scikit-learn's wherever it has them. Names are imported on first use.
"""

from typing import TYPE_CHECKING

from breadth.lazy_names import lazy_names

if TYPE_CHECKING:
    from breadth.metrics.accuracy import (
        McNemar,
        accuracy_score,
        balanced_accuracy_score,
        log_loss,
        matthews_corrcoef,
        mcnemar,
    )
    from breadth.metrics.classification import (
        confusion_matrix,
        f1_score,
        false_positive_rate,
        fbeta_score,
        precision_recall_fscore_support,
        precision_score,
        recall_score,
        specificity_score,
    )
    from breadth.metrics.score import Paired, Score, measure, paired, signature

_MODULES = {
    "accuracy": (
        "McNemar",
        "accuracy_score",
        "balanced_accuracy_score",
        "log_loss",
        "matthews_corrcoef",
        "mcnemar",
    ),
    "classification": (
        "confusion_matrix",
        "f1_score",
        "false_positive_rate",
        "fbeta_score",
        "precision_recall_fscore_support",
        "precision_score",
        "recall_score",
        "specificity_score",
    ),
    "score": (
        "Paired",
        "Score",
        "measure",
        "paired",
        "signature",
    ),
}
__all__ = [
    "McNemar",
    "Paired",
    "Score",
    "accuracy_score",
    "balanced_accuracy_score",
    "confusion_matrix",
    "f1_score",
    "false_positive_rate",
    "fbeta_score",
    "log_loss",
    "matthews_corrcoef",
    "mcnemar",
    "measure",
    "paired",
    "precision_recall_fscore_support",
    "precision_score",
    "recall_score",
    "signature",
    "specificity_score",
]
__getattr__, __dir__ = lazy_names(__name__, _MODULES, needs=("regex",))
