"""scikit-learn estimators for tables."""

from breadth.tabular.bayes.bernoulli import BernoulliNB
from breadth.tabular.bayes.categories import CategoricalNB
from breadth.tabular.bayes.counts import ComplementNB, MultinomialNB
from breadth.tabular.bayes.discriminant import LinearDiscriminantAnalysis
from breadth.tabular.bayes.gaussian import GaussianNB
from breadth.tabular.bayes.quadratic_discriminant import QuadraticDiscriminantAnalysis
from breadth.tabular.clusters.dp_means import DPMeans
from breadth.tabular.clusters.kmeans import KMeans
from breadth.tabular.clusters.minibatch import MiniBatchKMeans
from breadth.tabular.clusters.mixture import GaussianMixture
from breadth.tabular.clusters.report import cluster_report
from breadth.tabular.diagnostics.checks import diagnose
from breadth.tabular.drift.detectors import ADWIN, DDM, EDDM, PageHinkley, WindowTest
from breadth.tabular.ensembles.adaboost import AdaBoostClassifier
from breadth.tabular.ensembles.bagging import BaggingClassifier, BaggingRegressor
from breadth.tabular.ensembles.cascade import CascadeClassifier
from breadth.tabular.ensembles.stacking import StackingClassifier, StackingRegressor
from breadth.tabular.ensembles.voting import VotingClassifier, VotingRegressor
from breadth.tabular.kernels.gaussian_process import GaussianProcessRegressor
from breadth.tabular.kernels.gaussian_process_classifier import GaussianProcessClassifier
from breadth.tabular.kernels.gram import (
    IndefiniteKernelWarning,
    check_psd,
    linear_kernel,
    polynomial_kernel,
    rbf_kernel,
    sigmoid_kernel,
)
from breadth.tabular.kernels.linear_svm import LinearSVC
from breadth.tabular.kernels.pca import KernelPCA
from breadth.tabular.kernels.ridge import KernelRidge
from breadth.tabular.kernels.svm import SVC
from breadth.tabular.kernels.svr import SVR
from breadth.tabular.linear.lasso import ElasticNet, Lasso
from breadth.tabular.linear.lasso_cv import ElasticNetCV, LassoCV
from breadth.tabular.linear.lasso_paths import enet_path, lasso_path
from breadth.tabular.linear.least_squares import LinearRegression
from breadth.tabular.linear.logistic import LogisticRegression
from breadth.tabular.linear.ridge import Ridge
from breadth.tabular.neighbors.classifier import KNeighborsClassifier
from breadth.tabular.neighbors.regressor import KNeighborsRegressor
from breadth.tabular.selection.embedded import SelectFromModel
from breadth.tabular.selection.filters import SelectKBest
from breadth.tabular.selection.scores import (
    chi2,
    f_classif,
    f_regression,
    mutual_info_classif,
    mutual_info_regression,
    r_regression,
)
from breadth.tabular.selection.stability import StabilitySelection
from breadth.tabular.selection.wrappers import RFE, SequentialFeatureSelector
from breadth.tabular.trees.boosting import GradientBoostingClassifier, GradientBoostingRegressor
from breadth.tabular.trees.forest import RandomForestClassifier, RandomForestRegressor
from breadth.tabular.trees.tree import DecisionTreeClassifier, DecisionTreeRegressor
from breadth.tabular.weak_supervision.active import ActiveLearner
from breadth.tabular.weak_supervision.confident_learning import ConfidentLearningClassifier
from breadth.tabular.weak_supervision.label_propagation import LabelPropagation, LabelSpreading
from breadth.tabular.weak_supervision.self_training import SelfTrainingClassifier

__all__ = [
    "ADWIN",
    "DDM",
    "EDDM",
    "RFE",
    "SVC",
    "SVR",
    "ActiveLearner",
    "AdaBoostClassifier",
    "BaggingClassifier",
    "BaggingRegressor",
    "BernoulliNB",
    "CascadeClassifier",
    "CategoricalNB",
    "ComplementNB",
    "ConfidentLearningClassifier",
    "DPMeans",
    "DecisionTreeClassifier",
    "DecisionTreeRegressor",
    "ElasticNet",
    "ElasticNetCV",
    "GaussianMixture",
    "GaussianNB",
    "GaussianProcessClassifier",
    "GaussianProcessRegressor",
    "GradientBoostingClassifier",
    "GradientBoostingRegressor",
    "IndefiniteKernelWarning",
    "KMeans",
    "KNeighborsClassifier",
    "KNeighborsRegressor",
    "KernelPCA",
    "KernelRidge",
    "LabelPropagation",
    "LabelSpreading",
    "Lasso",
    "LassoCV",
    "LinearDiscriminantAnalysis",
    "LinearRegression",
    "LinearSVC",
    "LogisticRegression",
    "MiniBatchKMeans",
    "MultinomialNB",
    "PageHinkley",
    "QuadraticDiscriminantAnalysis",
    "RandomForestClassifier",
    "RandomForestRegressor",
    "Ridge",
    "SelectFromModel",
    "SelectKBest",
    "SelfTrainingClassifier",
    "SequentialFeatureSelector",
    "StabilitySelection",
    "StackingClassifier",
    "StackingRegressor",
    "VotingClassifier",
    "VotingRegressor",
    "WindowTest",
    "check_psd",
    "chi2",
    "cluster_report",
    "diagnose",
    "enet_path",
    "f_classif",
    "f_regression",
    "lasso_path",
    "linear_kernel",
    "mutual_info_classif",
    "mutual_info_regression",
    "polynomial_kernel",
    "r_regression",
    "rbf_kernel",
    "sigmoid_kernel",
]
