"""A regressor with scikit-learn's protocol around a multilayer perceptron."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_array, check_consistent_length
from torch import Tensor, nn

from breadth.nn.estimators.base import NetworkEstimator, Rows
from breadth.nn.estimators.classifiers import perceptron
from breadth.nn.estimators.training import MakeOptimizer, OptimizerName, Schedule, ValueLoss, value_loss
from breadth.nn.networks import Activation, Init, Norm


class MLPRegressor(RegressorMixin, NetworkEstimator):
    """A multilayer perceptron as a regressor of tables, of one target or of several together.

    Targets are trained on with mean 0 and deviation 1, each by itself, and predicted in their own units.

    Args:
        hidden_sizes: width of each hidden layer; empty is linear regression.
        activation, norm, dropout, residual, init: of `MLP`.
        loss: "squared", "absolute", "huber" (delta 1 in units of the target's deviation), or a function of
            (output, target, reduction="none").
        dtype: of training, "float32" or "float64". Where the activation is given by name, predictions on a CPU are
            computed in float64, as scikit-learn's are: those a row is predicted with change its own by 1e-15 or so.
        the others: of `NetworkClassifier`.

    Attributes:
        n_features_in_, network_, history_ (one `Epoch` each, losses of standardised targets), n_iter_, best_epoch_.

    Raises:
        ValueError: for a parameter out of its range, an unknown name, NaN, or rows too few to hold some back.

    Cost: O(max_epochs x rows x products of neighbouring widths).
    Deviations: scikit-learn's MLPRegressor standardises neither inputs nor targets, nor decouples its decay.
    References: Rumelhart, Hinton & Williams 1986, Nature 323; Huber 1964, Annals of Mathematical Statistics 35(1).
    Peer: least squares, which it reaches without hidden layers, float64, 1e-6 (B).
    In production: use gradient boosting on tables first; an MLP where inputs are dense and the target is smooth.
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
        loss: ValueLoss | Callable[..., Tensor] = "squared",
        optimizer: OptimizerName | MakeOptimizer = "adamw",
        learning_rate: float = 1e-3,
        weight_decay: float = 0.01,
        schedule: Schedule = "constant",
        batch_size: int = 64,
        max_epochs: int = 100,
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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _make_network(self, shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        return perceptron(self, shape, n_outputs)

    def _computes_in_any_dtype(self) -> bool:
        return isinstance(self.activation, str)

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
    ) -> Self:
        """Train from the start on X (rows, features) and targets y (rows,) or (rows, targets).

        Args:
            X: finite numbers.
            y: finite numbers.
            sample_weight: >= 0, shape (rows,), of each row's loss.
            X_val, y_val: rows whose mean loss after each epoch is `history_`'s validation and early_stopping's measure.

        Returns:
            self

        Raises:
            ValueError: see the class.
        """
        rows = self._rows(X, reset=True)
        targets = _targets(y, len(rows))
        weight = self._weights(sample_weight, rows)
        self._flat = targets.ndim == 1
        targets = targets.reshape(len(rows), -1)
        self._center = np.average(targets, axis=0, weights=weight)
        spread = np.sqrt(np.average((targets - self._center) ** 2, axis=0, weights=weight))
        noise = 10 * np.finfo(np.float64).eps * np.abs(self._center)
        self._spread = np.where(spread > noise, spread, 1.0)
        validation: Rows | None = None
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val belong together; pass both, or neither")
        if X_val is not None:
            held = self._rows(X_val, reset=False)
            wanted = _targets(y_val, len(held)).reshape(len(held), -1)
            if wanted.shape[1] != targets.shape[1]:
                raise ValueError(f"y_val has {wanted.shape[1]} targets a row and y has {targets.shape[1]}")
            validation = held, (wanted - self._center) / self._spread, None
        scaled = (targets - self._center) / self._spread
        self._train(self._make_network, (rows, scaled, weight), validation, value_loss(self.loss), targets.shape[1])
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Predicted targets in the units of y, shape (rows,) or (rows, targets) as y was."""
        values = self._outputs(X) * self._spread + self._center
        return values[:, 0] if self._flat else values


def _targets(y: Any, n_rows: int) -> NDArray[np.float64]:
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None: numbers, one or more a row")
    targets = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    if targets.ndim > 2:
        raise ValueError(f"y must have shape (rows,) or (rows, targets), got {targets.shape}")
    check_consistent_length(np.empty(n_rows), targets)
    return targets
