"""One update of a model's parameters: batches, a loss that returns its sum and count, exact accumulation."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from breadth.nn.clip import GuardedStep, get_total_norm, guarded_step
from breadth.nn.losses.contract import aligned_weight

Batch = Any  # a tensor, or tuples, lists and dicts of them
Loss = Callable[[nn.Module, Batch], tuple[Tensor, Tensor | float]]


def supervised(loss: Callable[..., Tensor], **options: Any) -> Loss:
    """The loss of `fit` for batches (input, target) or (input, target, sample_weight).

    Args:
        loss: of (model(input), target), with a reduction "none": one of `breadth.nn.losses`, or torch's.
        options: its further arguments, such as label_smoothing. Its mean is taken as the losses take theirs: over the
            sum of sample_weight, times the `weight` of the labelled class, without labels that are `ignore_index`.

    Returns:
        A function from model and batch to the sum of the losses and the count that makes it a mean.
    """
    class_weight, ignore_index = options.get("weight"), options.get("ignore_index", -100)

    def of_batch(model: nn.Module, batch: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        x, target, *sample_weight = batch
        losses = loss(model(x), target, reduction="none", **options)
        count = torch.ones_like(losses, requires_grad=False)
        if not target.is_floating_point():
            kept = target != ignore_index
            count = kept.to(losses.dtype)
            if class_weight is not None:
                count = count * class_weight.to(losses)[target.masked_fill(~kept, 0)]
        if sample_weight:
            w = aligned_weight(sample_weight[0], losses)
            losses, count = losses.masked_fill(w == 0, 0.0) * w, count * w
        return losses.sum(), count.sum()

    return of_batch


def minibatches(
    *tensors: Tensor, batch_size: int, generator: torch.Generator | None = None
) -> Iterator[tuple[Tensor, ...]]:
    """Rows of all tensors in groups of batch_size, the last one smaller: shuffled by the generator, or in order."""
    rows = {len(t) for t in tensors}
    if len(rows) != 1:
        raise ValueError(f"tensors must have one number of rows, got {[tuple(t.shape) for t in tensors]}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be >= 1, got {batch_size}")
    (n,) = rows
    order = None if generator is None else torch.randperm(n, generator=generator).to(tensors[0].device)
    for start in range(0, n, batch_size):
        rows_of_batch = slice(start, start + batch_size)
        yield tuple(t[rows_of_batch] if order is None else t[order[rows_of_batch]] for t in tensors)


def evaluate(model: nn.Module, batches: Iterable[Batch], loss: Loss, *, autocast: torch.dtype | None = None) -> float:
    """Mean loss over all batches together, in evaluation mode and without gradients; the mode is put back."""
    total, count, device, was_training = 0.0, 0.0, device_of(model), model.training
    model.eval()
    try:
        with torch.no_grad(), _autocast(device, autocast):
            for batch in batches:
                batch_sum, batch_count = loss(model, _moved(batch, device))
                total, count = total + float(batch_sum), count + float(batch_count)
    finally:
        model.train(was_training)
    return total / count if count else math.nan


class Update(NamedTuple):
    """What `update` did: sum and count of its loss, and what became of the step."""

    loss: float
    count: float
    step: GuardedStep


def update(
    model: nn.Module,
    batches: Sequence[Batch],
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    *,
    max_norm: float = math.inf,
    autocast: torch.dtype | None = None,
    closure: bool = False,
) -> Update:
    """One step down the mean loss of all batches together, whatever their sizes and weights.

    Gradients of the sums add up and are divided by the count of all, so that 1 x 32, 4 x 8 and 32 x 1 examples make
    one step. Under half precision the sum also does what a loss scale would. Arguments are those of `fit`.
    """
    device, seen = device_of(model), (0.0, 0.0)

    def mean_with_gradients() -> float:
        nonlocal seen
        optimizer.zero_grad()
        total, count = 0.0, 0.0
        for batch in batches:
            with _autocast(device, autocast):
                batch_sum, batch_count = loss(model, _moved(batch, device))
            batch_sum.backward()
            total, count = total + batch_sum.item(), count + float(batch_count)
        torch._foreach_div_(gradients(), count)  # by 0, where nothing counts, they become NaN, and the step is skipped
        seen = (total, count)
        return total / count if count else math.nan

    def gradients() -> list[Tensor]:
        return [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]

    if closure:
        optimizer.step(mean_with_gradients)
        return Update(*seen, GuardedStep(True, get_total_norm(gradients()).item(), ()))
    mean_with_gradients()
    return Update(*seen, guarded_step(optimizer, max_norm=max_norm))


def device_of(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def _moved(batch: Batch, device: torch.device) -> Batch:
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {key: _moved(value, device) for key, value in batch.items()}
    return tuple(_moved(value, device) for value in batch) if isinstance(batch, tuple | list) else batch


def _autocast(device: torch.device, dtype: torch.dtype | None) -> contextlib.AbstractContextManager:
    return contextlib.nullcontext() if dtype is None else torch.autocast(device.type, dtype)
