"""What the network estimators share: rows to tensors, validation rows, training, outputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from torch import nn

from breadth.nn.estimators.training import make_optimizer, make_schedule, number, seeded, threads
from breadth.nn.fit import Epoch, fit
from breadth.nn.stopping import EarlyStopping
from breadth.nn.update import Loss

ROWS = 8192  # of a batch without gradients
WORK_FOR_THREADS = 100_000_000  # multiplications of a pass over a batch below which a second thread costs time
_DTYPES = {"float32": torch.float32, "float64": torch.float64}
Rows = tuple[NDArray, NDArray, NDArray | None]  # inputs (rows, ...), targets, weights
MakeNetwork = Callable[[tuple[int, ...], int], nn.Module]  # (shape of a row, outputs)


class NetworkEstimator(BaseEstimator):
    """A network trained by `breadth.nn.fit.fit`, behind scikit-learn's protocol."""

    network_: nn.Module
    history_: list[Epoch]

    def _computes_in_any_dtype(self) -> bool:
        """Whether every layer is ours, and follows its parameters; another's may hold float32 tensors of its own."""
        return False

    def _rows(self, X: ArrayLike, *, reset: bool) -> NDArray:
        """X as finite floats, shape (rows, features)."""
        return validate_data(self, X, reset=reset, dtype=[np.float64, np.float32])

    def _weights(self, sample_weight: Any, X: NDArray) -> NDArray | None:
        if sample_weight is None:
            return None
        return _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)

    def _train(
        self,
        make_network: MakeNetwork,
        training: Rows,
        validation: Rows | None,
        loss: Loss,
        n_outputs: int,
        classes: NDArray | None = None,
    ) -> None:
        """Make and train the network; `classes` are what validation rows are drawn evenly by."""
        number("max_epochs", self.max_epochs, 1, whole=True)
        number("batch_size", self.batch_size, 1, whole=True)
        number("learning_rate", self.learning_rate, 0.0)
        number("weight_decay", self.weight_decay, 0.0)
        number("patience", self.patience, 1, whole=True)
        number("validation_fraction", self.validation_fraction, 0.0, 1.0)
        if self.dtype not in _DTYPES:
            raise ValueError(f"dtype must be 'float32' or 'float64', got {self.dtype!r}")
        if self.n_threads is not None:
            number("n_threads", self.n_threads, 1, whole=True)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        if self.early_stopping and validation is None:
            training, validation = _held_out(training, self.validation_fraction, seed, classes)
        self._set_scale(training[0], training[2])
        n_batches = math.ceil(len(training[0]) / self.batch_size)
        shape = training[0].shape[1:]
        with seeded(seed):
            network = make_network(shape, n_outputs)
        network.to(self.device, _DTYPES[self.dtype])
        weights = sum(p.numel() for p in network.parameters())
        # a weight of an image's or a sequence's network is used at about each of its places
        work = min(self.batch_size, len(training[0])) * weights * math.prod(shape[:-1])
        with threads(self.n_threads if work >= WORK_FOR_THREADS else 1):
            optimizer = make_optimizer(self.optimizer, network.parameters(), self.learning_rate, self.weight_decay)
            run = fit(
                network,
                self._tensors(training),
                loss,
                optimizer,
                epochs=self.max_epochs,
                batch_size=self.batch_size,
                validation=None if validation is None else self._tensors(validation),
                early_stopping=EarlyStopping(self.patience) if self.early_stopping else None,
                schedule=make_schedule(self.schedule, self.max_epochs * n_batches),
                max_norm=math.inf if self.max_norm is None else number("max_norm", self.max_norm, 1e-12),
                generator=torch.Generator().manual_seed(seed),
                progress=bool(self.verbose),
            )
        self.network_, self.history_ = network, run.history
        self.n_iter_, self.best_epoch_ = len(run.history), run.best_epoch

    def _set_scale(self, X: NDArray, weight: NDArray | None) -> None:
        """Weighted mean and deviation of the training rows, in float64: of each entry, or of all of them together."""
        if self.standardize not in ("column", "all", None):
            raise ValueError(f"standardize must be 'column', 'all' or None, got {self.standardize!r}")
        if self.standardize is None:
            self._shift, self._scale = np.zeros(()), np.ones(())
            return
        rows = X.astype(np.float64)

        def mean(values: NDArray) -> NDArray:
            of_entries = np.average(values, axis=0, weights=weight)
            return of_entries if self.standardize == "column" else of_entries.mean()

        self._shift = mean(rows)
        spread = np.sqrt(mean((rows - self._shift) ** 2))
        # a column that is constant up to rounding has no scale
        noise = 10 * np.finfo(X.dtype).eps * np.abs(self._shift)
        self._scale = np.where(spread > noise, spread, 1.0)

    def _input(self, X: NDArray, dtype: torch.dtype | None = None) -> torch.Tensor:
        scaled = np.subtract(X, self._shift, dtype=np.float64)
        scaled /= self._scale
        return torch.from_numpy(scaled).to(self.device, dtype or _DTYPES[self.dtype])

    def _tensors(self, rows: Rows) -> tuple[torch.Tensor, ...]:
        X, y, weight = rows
        target = torch.from_numpy(y)
        if target.is_floating_point():
            target = target.to(_DTYPES[self.dtype])
        tensors = [self._input(X), target.to(self.device)]
        if weight is not None:
            tensors.append(torch.from_numpy(weight).to(self.device, _DTYPES[self.dtype]))
        return tuple(tensors)

    def _outputs(self, X: ArrayLike) -> NDArray[np.float64]:
        """The network's outputs, shape (rows, outputs)."""
        check_is_fitted(self)
        rows = self._rows(X, reset=False)
        network: Callable[[torch.Tensor], torch.Tensor] = self.network_.eval()
        dtype = _DTYPES[self.dtype]
        if self._computes_in_any_dtype() and torch.device(self.device).type == "cpu":
            # float32 products of one row and of many differ in their last digits: a row must not depend on its batch
            dtype = torch.float64
            network = deepcopy(self.network_).to(dtype)  # the fitted one stays as it is, for other threads too
        with threads(self.n_threads), torch.inference_mode():
            parts = [
                network(self._input(rows[start : start + ROWS], dtype)).cpu() for start in range(0, len(rows), ROWS)
            ]
        return torch.cat(parts).double().numpy()


def _held_out(rows: Rows, fraction: float, seed: int, classes: NDArray | None) -> tuple[Rows, Rows]:
    """Rows to train on and rows to validate on; by class where each class and each part has enough rows for it."""
    n = len(rows[0])
    n_held = max(1, round(fraction * n))
    if not 0 < fraction < 1 or n - n_held < 1:
        raise ValueError(
            f"early_stopping holds validation_fraction={fraction!r} of {n} rows back, which leaves none on one side; "
            "pass X_val and y_val, or early_stopping=False"
        )
    by_class = None
    if classes is not None:
        counts = np.unique_counts(classes).counts
        if counts.min() > 1 and len(counts) <= min(n_held, n - n_held):
            by_class = classes
    train, held = train_test_split(np.arange(n), test_size=n_held, random_state=seed, stratify=by_class)
    return _take(rows, train), _take(rows, held)


def _take(rows: Rows, index: NDArray) -> Rows:
    X, y, weight = rows
    return X[index], y[index], None if weight is None else weight[index]
