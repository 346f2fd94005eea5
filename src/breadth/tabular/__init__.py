"""scikit-learn estimators for tables."""

from breadth.tabular.active import ActiveLearner
from breadth.tabular.adaboost import AdaBoostClassifier
from breadth.tabular.bagging import BaggingClassifier, BaggingRegressor
from breadth.tabular.cascade import CascadeClassifier
from breadth.tabular.cluster import KMeans
from breadth.tabular.cluster_report import cluster_report
from breadth.tabular.confident_learning import ConfidentLearningClassifier
from breadth.tabular.diagnostics import diagnose
from breadth.tabular.discriminant import LinearDiscriminantAnalysis
from breadth.tabular.dp_means import DPMeans
from breadth.tabular.drift import ADWIN, DDM, EDDM, PageHinkley, WindowTest
from breadth.tabular.gaussian_process import GaussianProcessRegressor
from breadth.tabular.gaussian_process_classifier import GaussianProcessClassifier
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
from breadth.tabular.label_propagation import LabelPropagation, LabelSpreading
from breadth.tabular.lasso import ElasticNet, Lasso
from breadth.tabular.lasso_cv import ElasticNetCV, LassoCV
from breadth.tabular.lasso_path import enet_path, lasso_path
from breadth.tabular.linear import LinearRegression
from breadth.tabular.linear_svm import LinearSVC
from breadth.tabular.logistic import LogisticRegression
from breadth.tabular.minibatch import MiniBatchKMeans
from breadth.tabular.mixture import GaussianMixture
from breadth.tabular.naive_bayes import GaussianNB
from breadth.tabular.naive_bayes_bernoulli import BernoulliNB
from breadth.tabular.naive_bayes_categories import CategoricalNB
from breadth.tabular.naive_bayes_counts import ComplementNB, MultinomialNB
from breadth.tabular.neighbors import KNeighborsClassifier
from breadth.tabular.neighbors_regressor import KNeighborsRegressor
from breadth.tabular.quadratic_discriminant import QuadraticDiscriminantAnalysis
from breadth.tabular.ridge import Ridge
from breadth.tabular.selection import SelectKBest
from breadth.tabular.selection_embedded import SelectFromModel
from breadth.tabular.selection_scores import (
    chi2,
    f_classif,
    f_regression,
    mutual_info_classif,
    mutual_info_regression,
    r_regression,
)
from breadth.tabular.selection_stability import StabilitySelection
from breadth.tabular.selection_wrappers import RFE, SequentialFeatureSelector
from breadth.tabular.self_training import SelfTrainingClassifier
from breadth.tabular.stacking import StackingClassifier, StackingRegressor
from breadth.tabular.svm import SVC
from breadth.tabular.svr import SVR
from breadth.tabular.trees.boosting import GradientBoostingClassifier, GradientBoostingRegressor
from breadth.tabular.trees.forest import RandomForestClassifier, RandomForestRegressor
from breadth.tabular.trees.tree import DecisionTreeClassifier, DecisionTreeRegressor
from breadth.tabular.voting import VotingClassifier, VotingRegressor

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
