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
    from breadth.metrics.agreement import cohen_kappa_score, fleiss_kappa, krippendorff_alpha
    from breadth.metrics.bert_score import BertScore, bertscore, cosine_relevance
    from breadth.metrics.bleu_score import bleu
    from breadth.metrics.calibration import Reliability, brier_score_loss, expected_calibration_error, reliability_table
    from breadth.metrics.chrf_score import chrf
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
    from breadth.metrics.language import bits_per_byte, perplexity
    from breadth.metrics.latency import Latency, latency_summary, percentile, price
    from breadth.metrics.meteor_score import align_words, meteor
    from breadth.metrics.operating import OperatingPoint, operating_point
    from breadth.metrics.preference import Likert, WinRate, likert_summary, win_rate, win_rate_matrix
    from breadth.metrics.qa import exact_match, normalize_answer, token_f1
    from breadth.metrics.ranking import dcg_score, ndcg_score
    from breadth.metrics.rates import ABTest, ab_test, click_through_rate, conversion_rate, proportion
    from breadth.metrics.ratings import Ratings, bradley_terry, elo
    from breadth.metrics.recommend import (
        hit_rate_at_k,
        mean_average_precision,
        mean_reciprocal_rank,
        precision_at_k,
        recall_at_k,
        top_k,
    )
    from breadth.metrics.regression import (
        adjusted_r2_score,
        mean_absolute_error,
        mean_pinball_loss,
        mean_squared_error,
        r2_score,
        root_mean_squared_error,
    )
    from breadth.metrics.roc import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve
    from breadth.metrics.rouge_score import Rouge, rouge
    from breadth.metrics.score import Paired, Score, measure, paired, signature
    from breadth.metrics.spans import Span, read_spans, span_f1_score, span_precision_score, span_recall_score
    from breadth.metrics.text_score import TextScore, paired_test
    from breadth.metrics.wordnet import WordNet, load_wordnet
    from breadth.metrics.words import tokenized

_MODULES = {
    "accuracy": (
        "McNemar",
        "accuracy_score",
        "balanced_accuracy_score",
        "log_loss",
        "matthews_corrcoef",
        "mcnemar",
    ),
    "agreement": (
        "cohen_kappa_score",
        "fleiss_kappa",
        "krippendorff_alpha",
    ),
    "bert_score": (
        "BertScore",
        "bertscore",
        "cosine_relevance",
    ),
    "bleu_score": ("bleu",),
    "calibration": (
        "Reliability",
        "brier_score_loss",
        "expected_calibration_error",
        "reliability_table",
    ),
    "chrf_score": ("chrf",),
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
    "language": (
        "bits_per_byte",
        "perplexity",
    ),
    "latency": (
        "Latency",
        "latency_summary",
        "percentile",
        "price",
    ),
    "meteor_score": (
        "align_words",
        "meteor",
    ),
    "operating": (
        "OperatingPoint",
        "operating_point",
    ),
    "preference": (
        "Likert",
        "WinRate",
        "likert_summary",
        "win_rate",
        "win_rate_matrix",
    ),
    "qa": (
        "exact_match",
        "normalize_answer",
        "token_f1",
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
    "ratings": (
        "Ratings",
        "bradley_terry",
        "elo",
    ),
    "recommend": (
        "hit_rate_at_k",
        "mean_average_precision",
        "mean_reciprocal_rank",
        "precision_at_k",
        "recall_at_k",
        "top_k",
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
    "rouge_score": (
        "Rouge",
        "rouge",
    ),
    "score": (
        "Paired",
        "Score",
        "measure",
        "paired",
        "signature",
    ),
    "spans": (
        "Span",
        "read_spans",
        "span_f1_score",
        "span_precision_score",
        "span_recall_score",
    ),
    "text_score": (
        "TextScore",
        "paired_test",
    ),
    "wordnet": (
        "WordNet",
        "load_wordnet",
    ),
    "words": ("tokenized",),
}
__all__ = [
    "ABTest",
    "BertScore",
    "DeLong",
    "Latency",
    "Likert",
    "McNemar",
    "OperatingPoint",
    "Paired",
    "Ratings",
    "Reliability",
    "Rouge",
    "Score",
    "Span",
    "TextScore",
    "WinRate",
    "WordNet",
    "ab_test",
    "accuracy_score",
    "adjusted_r2_score",
    "adjusted_rand_score",
    "align_words",
    "average_precision_score",
    "balanced_accuracy_score",
    "bertscore",
    "bits_per_byte",
    "bleu",
    "bradley_terry",
    "brier_score_loss",
    "chrf",
    "click_through_rate",
    "cohen_kappa_score",
    "confusion_matrix",
    "conversion_rate",
    "cosine_relevance",
    "dcg_score",
    "delong_test",
    "elo",
    "exact_match",
    "expected_calibration_error",
    "f1_score",
    "false_positive_rate",
    "fbeta_score",
    "fleiss_kappa",
    "hit_rate_at_k",
    "krippendorff_alpha",
    "latency_summary",
    "likert_summary",
    "load_wordnet",
    "log_loss",
    "matthews_corrcoef",
    "mcnemar",
    "mean_absolute_error",
    "mean_average_precision",
    "mean_pinball_loss",
    "mean_reciprocal_rank",
    "mean_squared_error",
    "measure",
    "meteor",
    "ndcg_score",
    "normalize_answer",
    "normalized_mutual_info_score",
    "operating_point",
    "paired",
    "paired_test",
    "percentile",
    "perplexity",
    "precision_at_k",
    "precision_recall_curve",
    "precision_recall_fscore_support",
    "precision_score",
    "price",
    "proportion",
    "r2_score",
    "read_spans",
    "recall_at_k",
    "recall_score",
    "reliability_table",
    "roc_auc_interval",
    "roc_auc_score",
    "roc_curve",
    "root_mean_squared_error",
    "rouge",
    "signature",
    "silhouette_samples",
    "silhouette_score",
    "span_f1_score",
    "span_precision_score",
    "span_recall_score",
    "specificity_score",
    "token_f1",
    "tokenized",
    "top_k",
    "win_rate",
    "win_rate_matrix",
]
__getattr__, __dir__ = lazy_names(__name__, _MODULES)
