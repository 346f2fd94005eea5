"""Naive Bayes and discriminant analysis beside logistic regression, on 32 training rows and on all.

The verdicts are against logistic regression on few rows; `--contenders logistic naive-bayes linear-discriminant` asks
the same of all rows, for the first contender named is then the baseline.
"""

from breadth.evidence import contenders_generative as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.contenders import DUMMY
from breadth.evidence.measures import MEASURES

_LOG_LOSS, _AUC, _ACCURACY = MEASURES["classification"]

COMPARISON = Comparison(
    name="generative-vs-discriminative",
    contenders=(*(few for few, _ in c.PAIRS), *(whole for _, whole in c.PAIRS), *c.PEERS, DUMMY),
    baseline=f"logistic, {c.FEW} rows",
    data=("breast_cancer", "digits", "wine", "anes96"),
    quick_data=("breast_cancer", "wine"),
    suite="eight",
    # Errors are what the question is about: naive Bayes is far too sure of itself, and its log loss says only that.
    measures={"classification": (_ACCURACY, _AUC, _LOG_LOSS)},
    families=("classification",),
)
