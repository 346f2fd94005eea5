"""Classifiers with scikit-learn's protocol around a multilayer perceptron, and around any network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_consistent_length, column_or_1d, validate_data
from torch import Tensor, nn

from breadth.nn.estimators.base import MakeNetwork, NetworkEstimator, Rows
from breadth.nn.estimators.training import ClassLoss, MakeOptimizer, OptimizerName, Schedule, class_loss
from breadth.nn.networks import MLP, Activation, Init, Norm
from breadth.tabular.labels import class_codes


class NetworkClassifier(ClassifierMixin, NetworkEstimator):
    """Any network as a classifier: p(k | x) = softmax(network(x))_k, trained by minibatches of a loss of the logits.

        NetworkClassifier(partial(convolutional, channels=(16, 32)), input_shape=(1, 8, 8))

    Args:
        network: makes the network: (shape of one row, classes) -> nn.Module from (batch, *shape) to (batch, classes).
        input_shape: of one row, such as (1, 8, 8), where X comes flat; None takes X's own shape.
        standardize: subtract the training rows' mean and divide by their deviation: of each entry ("column"), of all
            together ("all", for images and sequences, whose entries belong together), or not (None).
        loss: by name: "cross_entropy"; with "label_smoothing" 0.1; "inverse_count" and "class_balanced" weigh classes,
            "balanced_softmax" shifts logits by them; "focal", "mae", "generalized_cross_entropy",
            "symmetric_cross_entropy", "soft_bootstrapping", "hard_bootstrapping", "brier". Or a function
            (logits, target, reduction="none").
        optimizer: "sgd", "momentum" (0.9), "nesterov", "adagrad", "rmsprop", "adam", "adamw"; or a function of
            (params, lr=, weight_decay=).
        learning_rate: its step, >= 0.
        weight_decay: >= 0; decoupled for "adamw", a gradient of a penalty for the others.
        schedule: of the learning rate over max_epochs: "constant", "linear" or "cosine", the latter two down to 0.
        batch_size: rows of an update.
        max_epochs: passes over the training rows at most.
        max_norm: bound of the gradients' norm; None has none.
        early_stopping: end after `patience` epochs without a better validation loss, and take the best weights back.
        patience: see early_stopping.
        validation_fraction: of the training rows that early_stopping holds back, by class, where fit is given none.
        random_state: seed of weights, order, dropout and held-back rows.
        device: torch's, such as "cpu" or "cuda".
        dtype: "float32" or "float64".
        n_threads: torch's while fitting and predicting, if a batch is work enough for a second one (some 10^8
            multiplications); None leaves torch's.
        verbose: show a bar.

    Attributes:
        classes_, n_features_in_ (entries of a row), input_shape_, network_, history_ (one `Epoch` each), n_iter_
            (epochs), best_epoch_.

    Raises:
        ValueError: for a parameter out of its range, an unknown name, rows that do not have input_shape, NaN in X, or
            rows too few to hold some back.

    Cost: the network's, max_epochs times over the rows.
    Deviations: scikit-learn's MLPClassifier neither standardises nor decouples its decay.
    References: Bridle 1990, NIPS 2 (softmax); Goodfellow, Bengio & Courville 2016, Deep Learning, sections 6.2 and 8.1.
    Peer: a network of the same start trained by a loop in NumPy float64, outputs 1e-9 (B).
    In production: on tables try gradient boosting first; on images and text start from a pretrained network.
    """

    def __init__(
        self,
        network: MakeNetwork,
        *,
        input_shape: Sequence[int] | None = None,
        standardize: Literal["column", "all"] | None = "all",
        loss: ClassLoss | Callable[..., Tensor] = "cross_entropy",
        optimizer: OptimizerName | MakeOptimizer = "adamw",
        learning_rate: float = 1e-3,
        weight_decay: float = 0.01,
        schedule: Schedule = "constant",
        batch_size: int = 64,
        max_epochs: int = 50,
        max_norm: float | None = None,
        early_stopping: bool = False,
        patience: int = 10,
        validation_fraction: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
        device: str = "cpu",
        dtype: Literal["float32", "float64"] = "float32",
        n_threads: int | None = None,
        verbose: bool = False,
    ):
        self.network = network
        self.input_shape = input_shape
        self.standardize = standardize
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.max_norm = max_norm
        self.early_stopping = early_stopping
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device
        self.dtype = dtype
        self.n_threads = n_threads
        self.verbose = verbose

    def _make_network(self, shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        return self.network(shape, n_outputs)

    def _rows(self, X: ArrayLike, *, reset: bool) -> NDArray:
        shape = np.shape(X)[1:]
        if len(shape) > 1:
            X = np.reshape(X, (-1, prod(shape)))
        rows = validate_data(self, X, reset=reset, dtype=[np.float64, np.float32])
        if reset:
            self.input_shape_ = shape if self.input_shape is None else tuple(self.input_shape)
        wanted = prod(self.input_shape_)
        if rows.shape[1] != wanted:
            raise ValueError(f"X has rows of {rows.shape[1]} entries; input_shape={self.input_shape_} needs {wanted}")
        return rows.reshape(len(rows), *self.input_shape_)

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
    ) -> Self:
        """Train from the start on X (rows, *shape) and labels y (rows,).

        Args:
            X: finite numbers.
            y: labels.
            sample_weight: >= 0, shape (rows,), of each row's loss.
            X_val, y_val: rows whose mean loss after each epoch is `history_`'s validation and early_stopping's measure.

        Returns:
            self

        Raises:
            ValueError: see the class.
        """
        return _fit_classes(self, X, y, sample_weight, X_val, y_val)

    def predict(self, X: ArrayLike) -> NDArray:
        """Most probable class of each row, shape (rows,)."""
        most = self._outputs(X).argmax(1)
        return self.classes_[most]

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probability of each class, shape (rows, classes), columns as in classes_."""
        return softmax(self._outputs(X), axis=1)

    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Logarithm of predict_proba, finite where it would be 0."""
        return log_softmax(self._outputs(X), axis=1)


class MLPClassifier(NetworkClassifier):
    """A multilayer perceptron as a classifier of tables; see `NetworkClassifier` for training, `MLP` for the network.

    Args:
        hidden_sizes: width of each hidden layer; empty is multinomial logistic regression.
        activation, norm, dropout, residual, init: of `MLP`.
        dtype: of training, "float32" or "float64". Where the activation is given by name, predictions on a CPU are
            computed in float64, as scikit-learn's are: those a row is predicted with change its own by 1e-15 or so.
        the others: of `NetworkClassifier`.

    Attributes:
        as of `NetworkClassifier`.

    Raises:
        ValueError: as `NetworkClassifier` and `MLP` say.

    Cost: O(max_epochs x rows x products of neighbouring widths).
    Deviations: as of `NetworkClassifier`.
    References: Rumelhart, Hinton & Williams 1986, Nature 323; Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2.
    Peer: sklearn.neural_network.MLPClassifier, accuracy on held-out digits within two points (A).
    In production: use gradient boosting on tables first; an MLP where inputs are dense and many.
    """

    def __init__(
        self,
        hidden_sizes: Sequence[int] = (100,),
        *,
        activation: Activation | Callable[[], nn.Module] = "relu",
        norm: Norm | None = None,
        dropout: float = 0.0,
        residual: bool = False,
        init: Init = "default",
        standardize: Literal["column", "all"] | None = "column",
        loss: ClassLoss | Callable[..., Tensor] = "cross_entropy",
        optimizer: OptimizerName | MakeOptimizer = "adamw",
        learning_rate: float = 1e-3,
        weight_decay: float = 0.01,
        schedule: Schedule = "constant",
        batch_size: int = 64,
        max_epochs: int = 50,
        max_norm: float | None = None,
        early_stopping: bool = False,
        patience: int = 10,
        validation_fraction: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
        device: str = "cpu",
        dtype: Literal["float32", "float64"] = "float32",
        n_threads: int | None = None,
        verbose: bool = False,
    ):
        self.hidden_sizes = hidden_sizes
        self.activation = activation
        self.norm = norm
        self.dropout = dropout
        self.residual = residual
        self.init = init
        self.standardize = standardize
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.max_norm = max_norm
        self.early_stopping = early_stopping
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device
        self.dtype = dtype
        self.n_threads = n_threads
        self.verbose = verbose

    def _make_network(self, shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        return perceptron(self, shape, n_outputs)

    def _computes_in_any_dtype(self) -> bool:
        return isinstance(self.activation, str)

    def _rows(self, X: ArrayLike, *, reset: bool) -> NDArray:
        return NetworkEstimator._rows(self, X, reset=reset)  # a table: its rows have one axis


def perceptron(options: Any, shape: tuple[int, ...], n_outputs: int) -> MLP:
    """The `MLP` that the estimator's parameters describe."""
    return MLP(
        prod(shape),
        n_outputs,
        options.hidden_sizes,
        activation=options.activation,
        norm=options.norm,
        dropout=options.dropout,
        residual=options.residual,
        init=options.init,
    )


def _fit_classes(
    self: NetworkClassifier, X: ArrayLike, y: ArrayLike, sample_weight: Any, X_val: Any, y_val: Any
) -> Any:
    rows = self._rows(X, reset=True)
    labels = _labels(y, len(rows))
    weight = self._weights(sample_weight, rows)
    self.classes_, codes = class_codes(labels)
    validation: Rows | None = None
    if (X_val is None) != (y_val is None):
        raise ValueError("X_val and y_val belong together; pass both, or neither")
    if X_val is not None:
        held = self._rows(X_val, reset=False)
        wanted = _labels(y_val, len(held))
        unseen = np.setdiff1d(wanted, self.classes_)
        if unseen.size:
            raise ValueError(f"y_val has classes that y has not: {unseen.tolist()}")
        validation = held, np.searchsorted(self.classes_, wanted), None
    counts = torch.from_numpy(np.bincount(codes, weight, len(self.classes_)))
    loss = class_loss(self.loss, counts.clamp_min(1e-12))
    self._train(self._make_network, (rows, codes.astype(np.int64), weight), validation, loss, len(self.classes_), codes)
    return self


def _labels(y: ArrayLike, n_rows: int) -> NDArray:
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None: labels, one a row")
    labels = column_or_1d(y, warn=True)
    check_consistent_length(np.empty(n_rows), labels)
    return labels
