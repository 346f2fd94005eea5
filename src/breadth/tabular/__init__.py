"""scikit-learn estimators for tables."""

from breadth.tabular.adaboost import AdaBoostClassifier
from breadth.tabular.bagging import BaggingClassifier, BaggingRegressor
from breadth.tabular.cluster import KMeans
from breadth.tabular.diagnostics import diagnose
from breadth.tabular.discriminant import LinearDiscriminantAnalysis
from breadth.tabular.drift import ADWIN, DDM, EDDM, PageHinkley, WindowTest
from breadth.tabular.kernel import (
    IndefiniteKernelWarning,
    check_psd,
    linear_kernel,
    polynomial_kernel,
    rbf_kernel,
    sigmoid_kernel,
)
from breadth.tabular.kernel_pca import KernelPCA
from breadth.tabular.kernel_ridge import KernelRidge
from breadth.tabular.linear import LinearRegression
from breadth.tabular.linear_svm import LinearSVC
from breadth.tabular.logistic import LogisticRegression
from breadth.tabular.naive_bayes import GaussianNB
from breadth.tabular.naive_bayes_bernoulli import BernoulliNB
from breadth.tabular.naive_bayes_categories import CategoricalNB
from breadth.tabular.naive_bayes_counts import ComplementNB, MultinomialNB
from breadth.tabular.neighbors import KNeighborsClassifier
from breadth.tabular.quadratic_discriminant import QuadraticDiscriminantAnalysis
from breadth.tabular.svm import SVC
from breadth.tabular.trees.boosting import GradientBoostingClassifier, GradientBoostingRegressor
from breadth.tabular.trees.forest import RandomForestClassifier, RandomForestRegressor
from breadth.tabular.trees.tree import DecisionTreeClassifier, DecisionTreeRegressor

__all__ = [
    "ADWIN",
    "DDM",
    "EDDM",
    "SVC",
    "AdaBoostClassifier",
    "BaggingClassifier",
    "BaggingRegressor",
    "BernoulliNB",
    "CategoricalNB",
    "ComplementNB",
    "DecisionTreeClassifier",
    "DecisionTreeRegressor",
    "GaussianNB",
    "GradientBoostingClassifier",
    "GradientBoostingRegressor",
    "IndefiniteKernelWarning",
    "KMeans",
    "KNeighborsClassifier",
    "KernelPCA",
    "KernelRidge",
    "LinearDiscriminantAnalysis",
    "LinearRegression",
    "LinearSVC",
    "LogisticRegression",
    "MultinomialNB",
    "PageHinkley",
    "QuadraticDiscriminantAnalysis",
    "RandomForestClassifier",
    "RandomForestRegressor",
    "WindowTest",
    "check_psd",
    "diagnose",
    "linear_kernel",
    "polynomial_kernel",
    "rbf_kernel",
    "sigmoid_kernel",
]
