"""Compiling the kernels of this room before they are needed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from breadth.compilation import run_each
from breadth.metrics.bleu_score import bleu
from breadth.metrics.chrf_score import chrf
from breadth.metrics.clustering import silhouette_score
from breadth.metrics.delong import delong_test
from breadth.metrics.ranking import ndcg_score
from breadth.metrics.roc import roc_auc_score, roc_curve
from breadth.metrics.rouge_score import rouge


def warmup(progress: Callable[[str], None] = print) -> None:
    """Compile the kernels of ROC curves, DeLong's test, discounted gain, silhouettes, BLEU, chrF and ROUGE.

    Args:
        progress: called with one line for each step.
    """
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    score, other, weight = rng.normal(size=(3, len(y)))
    grade, order = rng.integers(0, 3, (2, 5, 8))
    texts, references = ["the cat sat\non a mat"], ["a cat\nsat on the mat"]
    tasks = {
        "ROC": lambda: (roc_auc_score(y, score), roc_curve(y, score)),
        "ROC, weighted": lambda: roc_curve(y, score, sample_weight=np.abs(weight)),
        "DeLong": lambda: delong_test(y, score, other),
        "discounted gain": lambda: ndcg_score(grade, order),
        "discounted gain, ties ignored": lambda: ndcg_score(grade, order, ignore_ties=True),
        "silhouette": lambda: silhouette_score(score[:, None], y),
        "BLEU": lambda: bleu(texts, references),
        "chrF": lambda: chrf(texts, references),
        "ROUGE": lambda: rouge(texts, references, types=("rouge1", "rougeL", "rougeLsum", "rougeS")),
    }
    run_each(((f"metrics, {name}", task) for name, task in tasks.items()), progress)
