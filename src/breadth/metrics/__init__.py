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
    from breadth.metrics.calibration import Reliability, brier_score_loss, expected_calibration_error, reliability_table
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
    from breadth.metrics.clustering import (
        adjusted_rand_score,
        normalized_mutual_info_score,
        silhouette_samples,
        silhouette_score,
    )
    from breadth.metrics.delong import DeLong, delong_test, roc_auc_interval
    from breadth.metrics.operating import OperatingPoint, operating_point
    from breadth.metrics.ranking import dcg_score, ndcg_score
    from breadth.metrics.rates import ABTest, ab_test, click_through_rate, conversion_rate, proportion
    from breadth.metrics.regression import (
        adjusted_r2_score,
        mean_absolute_error,
        mean_pinball_loss,
        mean_squared_error,
        r2_score,
        root_mean_squared_error,
    )
    from breadth.metrics.roc import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve
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
    "calibration": (
        "Reliability",
        "brier_score_loss",
        "expected_calibration_error",
        "reliability_table",
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
    "clustering": (
        "adjusted_rand_score",
        "normalized_mutual_info_score",
        "silhouette_samples",
        "silhouette_score",
    ),
    "delong": (
        "DeLong",
        "delong_test",
        "roc_auc_interval",
    ),
    "operating": (
        "OperatingPoint",
        "operating_point",
    ),
    "ranking": (
        "dcg_score",
        "ndcg_score",
    ),
    "rates": (
        "ABTest",
        "ab_test",
        "click_through_rate",
        "conversion_rate",
        "proportion",
    ),
    "regression": (
        "adjusted_r2_score",
        "mean_absolute_error",
        "mean_pinball_loss",
        "mean_squared_error",
        "r2_score",
        "root_mean_squared_error",
    ),
    "roc": (
        "average_precision_score",
        "precision_recall_curve",
        "roc_auc_score",
        "roc_curve",
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
    "ABTest",
    "DeLong",
    "McNemar",
    "OperatingPoint",
    "Paired",
    "Reliability",
    "Score",
    "ab_test",
    "accuracy_score",
    "adjusted_r2_score",
    "adjusted_rand_score",
    "average_precision_score",
    "balanced_accuracy_score",
    "brier_score_loss",
    "click_through_rate",
    "confusion_matrix",
    "conversion_rate",
    "dcg_score",
    "delong_test",
    "expected_calibration_error",
    "f1_score",
    "false_positive_rate",
    "fbeta_score",
    "log_loss",
    "matthews_corrcoef",
    "mcnemar",
    "mean_absolute_error",
    "mean_pinball_loss",
    "mean_squared_error",
    "measure",
    "ndcg_score",
    "normalized_mutual_info_score",
    "operating_point",
    "paired",
    "precision_recall_curve",
    "precision_recall_fscore_support",
    "precision_score",
    "proportion",
    "r2_score",
    "recall_score",
    "reliability_table",
    "roc_auc_interval",
    "roc_auc_score",
    "roc_curve",
    "root_mean_squared_error",
    "signature",
    "silhouette_samples",
    "silhouette_score",
    "specificity_score",
]
__getattr__, __dir__ = lazy_names(__name__, _MODULES, needs=("regex",))
