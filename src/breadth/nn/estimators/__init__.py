"""Networks behind scikit-learn's protocol."""

from breadth.nn.estimators.classifiers import MLPClassifier, NetworkClassifier
from breadth.nn.estimators.networks import convolutional, recurrent, transformer
from breadth.nn.estimators.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "NetworkClassifier", "convolutional", "recurrent", "transformer"]
