"""One of each kind of classifier, ours beside scikit-learn's, with the linear model to beat."""

from breadth.evidence import contenders as c
from breadth.evidence.comparison import Comparison

COMPARISON = Comparison(
    name="classifiers",
    contenders=(
        c.LOGISTIC,
        c.SKLEARN_LOGISTIC,
        c.NAIVE_BAYES,
        c.SKLEARN_NAIVE_BAYES,
        c.NEIGHBOURS,
        c.SKLEARN_NEIGHBOURS,
        c.TREE,
        c.FOREST,
        c.ADABOOST,
        c.LEAF_WISE,
        c.LIGHTGBM,
        c.DUMMY,
    ),
    baseline="breadth logistic",
    data=("breast_cancer", "digits", "anes96", "fair"),
    quick_data=("breast_cancer", "anes96"),
    suite="eight",
    families=("classification",),
)
