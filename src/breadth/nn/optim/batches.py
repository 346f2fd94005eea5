"""What every elementwise update rule shares: which tensors it takes, and in which order it goes over them.

A rule such as Adam's makes six passes over five tensors. Done tensor by tensor, each pass of a large one reads it from
memory anew; done piece by piece, the passes after the first find it in the core's cache.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

# float32: 512 KiB a tensor, so that a rule's four or five stay in a third-level cache; a quarter of it, which would fit
# the second level, loses more by the number of calls: measured up to a quarter slower
ELEMENTS_PER_THREAD = 131_072
# where a launch costs more than a pass; bounds what a rule's temporaries take there
ELEMENTS_PER_LAUNCH = 1 << 24


def with_gradients(group: Mapping[str, Any], optimizer: str) -> list[Tensor]:
    """The parameters of a group that have a gradient.

    Raises:
        TypeError: if a gradient is sparse.
    """
    found = [p for p in group["params"] if p.grad is not None]
    for p in found:
        if p.grad.layout != torch.strided:
            raise TypeError(
                f"{optimizer} takes dense gradients, got one of layout {p.grad.layout} for a parameter of shape "
                f"{tuple(p.shape)}; use torch.optim.SparseAdam, or an embedding with sparse=False"
            )
    return found


def gradients(params: Iterable[Tensor]) -> list[Tensor]:
    """Gradients of the parameters that have one, conjugation carried out."""
    return [p.grad.resolve_conj() for p in params if p.grad is not None]


def begun(state: Any, params: Iterable[Tensor], names: Sequence[str]) -> list[float]:
    """Zeros under each name where a parameter's state has nothing yet, and its step counted up: the steps."""
    steps = []
    for p in params:
        own = state[p]
        if "step" not in own:
            own["step"] = torch.tensor(0.0)
        own["step"] += 1
        steps.append(own["step"].item())
        for name in names:
            if name not in own:
                own[name] = torch.zeros_like(p)
    return steps


def grouped(params: Iterable[Tensor], keys: Iterable[Hashable] | None = None) -> Iterator[tuple[Any, list[Tensor]]]:
    """(key, parameters with that key), those of another device or dtype apart, since fused kernels take one of each."""
    params = list(params)
    groups: dict[tuple[Any, Any, Hashable], list[Tensor]] = defaultdict(list)
    for p, key in zip(params, [None] * len(params) if keys is None else keys, strict=True):
        groups[p.device, p.dtype, key].append(p)
    for (_, _, key), members in groups.items():
        yield key, members


def batches(params: list[Tensor], grads: list[Tensor], *states: list[Tensor]) -> Iterator[list[list[Tensor]]]:
    """Parameters, gradients and states, cut and grouped so that a batch of them fits the cache.

    Complex tensors come as real ones with an axis more. Half precision comes as float32 copies; what the rule leaves in
    those of parameters and states is rounded and stored when the next batch is asked for: one rounding a step.

    Args:
        params: all of one device and dtype.
        grads: one a parameter, of its shape. The rule must not change them.
        states: likewise, each.

    Yields:
        [params, grads, *states] of some parameters, or of one flat piece of one.
    """
    columns = [params, grads, *states]
    if not params:
        return
    if params[0].is_complex():
        columns = [[torch.view_as_real(t) for t in column] for column in columns]
    halved = params[0].dtype in (torch.float16, torch.bfloat16)
    for batch in _cut(columns):
        if not halved:
            yield batch
            continue
        wide = [[t.float() for t in column] for column in batch]
        yield wide
        for i, column in enumerate(batch):
            if i != 1:
                torch._foreach_copy_(column, wide[i])


def _cut(columns: list[list[Tensor]]) -> Iterator[list[list[Tensor]]]:
    on_cpu = columns[0][0].device.type == "cpu"
    most = ELEMENTS_PER_THREAD * torch.get_num_threads() if on_cpu else ELEMENTS_PER_LAUNCH
    batch: list[list[Tensor]] = [[] for _ in columns]
    elements = 0
    for row in zip(*columns, strict=True):
        size = row[0].numel()
        if size >= 2 * most:  # into equal pieces: a small one at the end costs as many calls as the others
            if all(t.is_contiguous() for t in row):
                for pieces in zip(*(t.view(-1).tensor_split(size // most) for t in row), strict=True):
                    yield [[piece] for piece in pieces]
            else:
                yield [[t] for t in row]
            continue
        if batch[0] and elements + size > most:
            yield batch
            batch, elements = [[] for _ in columns], 0
        for column, t in zip(batch, row, strict=True):
            column.append(t)
        elements += size
    if batch[0]:
        yield batch


def objective(grads: list[Tensor], params: list[Tensor], *, maximize: bool, l2: float) -> list[Tensor]:
    """Gradients of what is minimised: the sign turned for a maximum, and with the penalty l2 / 2 |params|^2."""
    if maximize:
        grads = list(torch._foreach_neg(grads))
    if l2:
        grads = list(torch._foreach_add(grads, params, alpha=l2))
    return grads


def evaluated(closure: Callable[[], Any] | None) -> Any:
    """The closure's loss, with gradients on; None without a closure."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def require(*, lr: float, **non_negative: float) -> None:
    """Refuse a learning rate that is no number, and anything negative or not finite."""
    if isinstance(lr, Tensor):
        raise TypeError("lr must be a float, got a tensor; pass lr.item()")
    for name, value in {"lr": lr, **non_negative}.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must be >= 0 and finite, got {value}")


def require_fraction(**values: float) -> None:
    """Refuse a rate of forgetting outside [0, 1)."""
    for name, value in values.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name} must be in [0, 1), got {value}")
