"""A linear map that multiplies a few rows on a CPU as fast as memory gives its weights."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from breadth.nn.linear_kernels import multiply

FEW = 32  # rows; measured up to there
_SHARE = 1 << 20  # products that a thread gets at least: waking it costs as much as some thousands
_THREADS = 2  # above these float32 is left to torch, whose own threads then wait for memory anyway

Array = np.ndarray
Product = Callable[[Array, Array], None]
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}  # by process, since threads do not survive a fork


class Linear(nn.Linear):
    """y = x W^T + b: torch's, with a kernel of its own for up to `FEW` rows in float32 on a CPU without gradients.

    Decoding multiplies one row, and torch's product then waits for memory that it reads in one stream; the kernel reads
    four at once.

    Args:
        in_features, out_features, bias, device, dtype: as of `nn.Linear`.

    Cost: the weights are read once, whatever the number of rows.
    Deviations: sums run in another order than torch's. With more than two threads torch's product serves float32.
    Peer: float64, 1e-6 of the sum of absolute products (B).
    In production: a drop-in for `nn.Linear`; libraries made for it (llama.cpp) decode from packed weights.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not (self.quick() and serves(self.weight, input, FEW)):
            return F.linear(input, self.weight, self.bias)
        y = torch.empty(*input.shape[:-1], self.out_features)
        rows = input.detach().reshape(-1, self.in_features).contiguous().numpy()
        self.product()(rows, y.view(-1, self.out_features).numpy())
        return y

    def quick(self) -> bool:
        """Whether the kernel is made for these weights and this number of threads."""
        w = self.weight
        return w.dtype is torch.float32 and w.is_cpu and w.is_contiguous() and torch.get_num_threads() <= _THREADS

    def product(self) -> Product:
        """A function that writes x W^T + b of float32 rows x into y, where this layer is `quick`."""
        weight, bias = (None if t is None else t.detach().numpy() for t in (self.weight, self.bias))
        assert weight is not None

        def into(x: Array, y: Array) -> None:
            multiply_into(weight, x, y)
            if bias is not None:
                np.add(y, bias, y)

        return into


def serves(weight: Tensor, x: Tensor, rows: int) -> bool:
    """Whether a kernel that knows no gradients may multiply x: float32, on a CPU, and few rows."""
    return (
        x.is_cpu
        and x.dtype is torch.float32
        and 0 < x.numel() <= rows * weight.shape[1]
        and x.shape[-1] == weight.shape[1]
        and not (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad))
        and not torch.is_autocast_enabled("cpu")
        and unwatched(x)
    )


def unwatched(x: Tensor) -> bool:
    """Whether nobody follows what torch's operators make of x, as compilers, counters and other kinds of tensor do."""
    return type(x) is Tensor and not torch.compiler.is_compiling() and not is_in_torch_dispatch_mode()


def multiply_into(weight: Array, x: Array, y: Array) -> None:
    """Write x W^T into y: weight float32 or int8, (out, in), x (n, in) and y (n, out) float32."""
    share(lambda first, last: multiply(weight, x, y, first, last), len(weight), weight.size)


def share(work: Callable[[int, int], None], rows: int, products: int) -> None:
    """work(first, last) for stretches of 0..rows on torch's number of threads; it must release the GIL to gain.

    Args:
        work: called with the ends of a stretch.
        rows: to be shared out.
        products: multiplications in all: fewer than a million a thread are not shared.
    """
    threads = min(torch.get_num_threads(), products // _SHARE)
    if threads < 2:
        work(0, rows)
        return
    pool = _pools.get((os.getpid(), threads))
    if pool is None:
        pool = _pools[os.getpid(), threads] = ThreadPoolExecutor(threads - 1, "breadth-linear")
    cuts = [rows * i // threads for i in range(threads + 1)]
    others = [pool.submit(work, *cut) for cut in pairwise(cuts[1:])]
    work(0, cuts[1])
    wait(others)
    for other in others:
        other.result()
