"""The one fit loop: a source of batches, a loss that returns its sum and count, an optimizer, a record of it all."""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeGuard

import torch
from torch import Tensor, nn

from breadth.nn.schedules import Schedule
from breadth.nn.stopping import EarlyStopping
from breadth.nn.update import Batch, Loss, device_of, evaluate, minibatches, update

Source = Callable[[torch.Generator], Iterable[Batch]] | Iterable[Batch]
Reason = Literal["running", "epochs", "steps", "patience", "callback"]


class Epoch(NamedTuple):
    """One pass through the source."""

    steps: int  # updates tried, skipped ones with them
    loss: float  # mean of the training loss over the updates that were taken, NaN if none was
    validation: float | None  # what `validation` gave after the epoch
    lr: float  # of the first parameter group, at the last step
    norm: float  # the largest finite norm of a gradient, before clipping
    skipped: int  # updates left out because a gradient was not finite
    seconds: float


@dataclass
class Run:
    """A training, under way or done: what `fit` returns and what its callbacks are given."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    early_stopping: EarlyStopping | None
    history: list[Epoch] = field(default_factory=list)
    stopped: Reason = "running"

    @property
    def steps(self) -> int:
        """Updates tried so far."""
        return sum(epoch.steps for epoch in self.history)

    @property
    def skipped(self) -> int:
        """Updates left out so far because a gradient was not finite."""
        return sum(epoch.skipped for epoch in self.history)

    @property
    def best_epoch(self) -> int | None:
        """Number of the epoch, from 0, with the best validation value; None without one."""
        if self.early_stopping is not None:
            return self.early_stopping.best_check
        seen = [(epoch.validation, i) for i, epoch in enumerate(self.history) if epoch.validation is not None]
        return min((pair for pair in seen if not math.isnan(pair[0])), default=(math.nan, None))[1]

    def state_dict(self) -> dict[str, Any]:
        """All that `fit(..., resume=state)` needs to go on to the same bits; take it in a callback."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "history": [tuple(epoch) for epoch in self.history],
            "early_stopping": self.early_stopping.state_dict() if self.early_stopping else None,
        }
        return copy.deepcopy(state)  # the state dicts are views of what the next step will change

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to where `state_dict` was taken."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self.generator.set_state(state["generator"])
        self.history = [Epoch(*epoch) for epoch in state["history"]]
        if self.early_stopping and state["early_stopping"]:
            self.early_stopping.load_state_dict(state["early_stopping"])


def fit(
    model: nn.Module,
    data: tuple[Tensor, ...] | Source,
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int = 32,
    accumulate: int = 1,
    validation: tuple[Tensor, ...] | Iterable[Batch] | Callable[[nn.Module], float] | None = None,
    early_stopping: EarlyStopping | None = None,
    schedule: Schedule | None = None,
    max_norm: float = math.inf,
    closure: bool = False,
    autocast: torch.dtype | None = None,
    generator: torch.Generator | None = None,
    callbacks: Sequence[Callable[[Run], bool | None]] = (),
    progress: bool = False,
    resume: Mapping[str, Any] | None = None,
) -> Run:
    """Train a model: for each batch of each epoch, theta <- theta - step(grad sum(loss) / count).

        fit(model, (X, y), supervised(cross_entropy), AdamW(model.parameters()), epochs=20)

    Args:
        model: trained in place, on the device that it is on; left in evaluation mode.
        data: tensors with one row an example, shuffled each epoch; or batches that can be gone through once an epoch;
            or a function from a generator to the batches of an epoch.
        loss: from model and batch to the sum of its losses and their count; see `supervised`.
        optimizer: of the model's parameters.
        epochs: passes through the data, in all, those before `resume` too; >= 0.
        steps: updates in all; the epoch in which they run out is cut short. One of epochs and steps is needed.
        batch_size: rows of a batch, for data and validation that are tensors.
        accumulate: batches that make one update, which is that of the large batch; fewer at the end of an epoch.
        validation: data like `data`, for their mean loss after each epoch, or a function from the model to a number.
        early_stopping: is shown the validation value; ends the training, and restores the best weights at its end.
        schedule: factor of the learning rates as a function of the update, counted from 0; see `nn.schedules`.
        max_norm: bound of the gradients' norm; see `clip_grad_norm_`.
        closure: hand the optimizer a function that computes loss and gradients anew, as GD and LBFGS want it; nothing
            is clipped and no step skipped then.
        autocast: dtype of the forward pass, such as torch.bfloat16.
        generator: of shuffling and, through a seed each epoch, of all that the model draws; None takes a seed from
            torch's own. The global generator is left as it was.
        callbacks: called after each epoch with the run so far; one that returns True ends the training.
        progress: show a bar.
        resume: a `Run.state_dict` to go on from, with the same arguments, to the same bits.

    Returns:
        The run: history by epoch, best_epoch, and why it stopped. Updates whose gradients were not finite are skipped,
        counted in history, and warned of.

    Raises:
        ValueError: if there is neither epochs nor steps, a number is out of its range, early_stopping has no
            validation, or an epoch has no batch.

    Cost: the model's; per update one pass over the gradients to divide, one to measure them, one or more to step.
    Deviations:
        1. Batch normalisation under `accumulate` sees each batch by itself, and not the large one.
        2. No loss scaling for float16: use bfloat16.
    References: Robbins & Monro 1951; Bottou 2012, Stochastic Gradient Descent Tricks, section 3 (shuffle each epoch).
    Peer: gradient descent in closed form on least squares, 1e-12 (B).
    In production: use it for one device; Lightning or `torchrun` recipes where a training spans several.
    """
    if epochs is None and steps is None:
        raise ValueError("fit needs an end: pass epochs, steps or both")
    for name, value, least in (("epochs", epochs, 0), ("steps", steps, 0), ("accumulate", accumulate, 1)):
        if value is not None and value < least:
            raise ValueError(f"{name} must be >= {least}, got {value}")
    if early_stopping and validation is None:
        raise ValueError("early_stopping needs validation: data that are not trained on, or a function of the model")
    if early_stopping and early_stopping.checks and resume is None:
        raise ValueError(f"early_stopping has seen {early_stopping.checks} values of another run; pass a new one")
    source = _source(data, batch_size)
    generator = generator or torch.Generator().manual_seed(_draw_seed(None))
    run = Run(model, optimizer, generator, early_stopping)
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    if resume is not None:
        run.load_state_dict(resume)

    def take_epoch(step: int) -> Epoch:
        total = count = norm = 0.0
        first, skipped, started = step, 0, time.perf_counter()
        batches = iter(source(generator))
        while (steps is None or step < steps) and (group := list(itertools.islice(batches, accumulate))):
            if schedule is not None:
                for parameters in optimizer.param_groups:
                    parameters["lr"] = parameters["initial_lr"] * schedule(step)
            done = update(model, group, loss, optimizer, max_norm=max_norm, autocast=autocast, closure=closure)
            step += 1
            if done.step.taken:
                total, count, norm = total + done.loss, count + done.count, max(norm, done.step.norm)
            else:
                skipped += 1
        if step == first:
            raise ValueError("data has no batch for this epoch: it is empty, or an iterator that can be read only once")
        return Epoch(step - first, total / count if count else math.nan, None, optimizer.param_groups[0]["lr"], norm,
                     skipped, time.perf_counter() - started)  # fmt: skip

    with _bar(progress, epochs) as show:
        while run.stopped == "running":
            if early_stopping and early_stopping.stop:
                run.stopped = "patience"
            elif epochs is not None and len(run.history) >= epochs:
                run.stopped = "epochs"
            elif steps is not None and run.steps >= steps:
                run.stopped = "steps"
            else:
                model.train()
                with _seeded(_draw_seed(generator), device_of(model)):
                    epoch = take_epoch(run.steps)
                    model.eval()
                    value = _validate(model, validation, loss, batch_size, autocast)
                run.history.append(epoch._replace(validation=value))
                if early_stopping and value is not None:
                    early_stopping.update(value, model)
                show(run)
                if any([callback(run) is True for callback in callbacks]):  # a list: each of them is called
                    run.stopped = "callback"
    model.eval()
    if early_stopping:
        early_stopping.restore(model)
    return run


def _are_tensors(data: Any) -> TypeGuard[tuple[Tensor, ...]]:
    return isinstance(data, tuple) and all(isinstance(t, Tensor) for t in data)


def _source(data: tuple[Tensor, ...] | Source, batch_size: int) -> Callable[[torch.Generator], Iterable[Batch]]:
    if _are_tensors(data):
        return lambda generator: minibatches(*data, batch_size=batch_size, generator=generator)
    return data if callable(data) else lambda _: data


def _validate(model: nn.Module, validation: Any, loss: Loss, batch_size: int, autocast: Any) -> float | None:
    if validation is None:
        return None
    if callable(validation):
        return float(validation(model))
    batches = minibatches(*validation, batch_size=batch_size) if _are_tensors(validation) else validation
    return evaluate(model, batches, loss, autocast=autocast)


def _draw_seed(generator: torch.Generator | None) -> int:
    return int(torch.randint(2**63 - 1, (), generator=generator))


@contextlib.contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """The global generators under a seed, and afterwards as they were."""
    devices = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(devices, device_type="cuda" if device.type == "cpu" else device.type):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def _bar(shown: bool, epochs: int | None) -> Iterator[Callable[[Run], None]]:
    if not shown:
        yield lambda run: None
        return
    from rich.progress import Progress

    with Progress() as bar:
        task = bar.add_task("training", total=epochs)

        def show(run: Run) -> None:
            last = run.history[-1]
            validation = "" if last.validation is None else f", validation {last.validation:.4g}"
            bar.update(task, completed=len(run.history), description=f"loss {last.loss:.4g}{validation}")

        yield show
