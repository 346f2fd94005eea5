"""8-bit weights times float32 activations at the speed of 8-bit products, by torch's quantised kernel for x86.

The kernel multiplies bytes. An activation becomes two of 7 bits, which is all that its sums of 16 bits take without
overflow: x = a / 63 (hi + lo / 127), a = max |x| of the row, hi and lo in -64..64, off by a / 16,002 at most. Reading
the weights is what costs, so that two rows take no longer than one.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

_MULTIPLY = "linear_with_input_q_dq_qweight_dq_output_fp32"
_ENGINES = ("x86", "fbgemm")
_HI, _LO, _ZERO = 63, 127, 64
COLUMNS = 16  # of which the other kernel wants a multiple: it reads whole vectors, and beyond the end if not


def available() -> bool:
    """Whether this torch, on this processor, has the kernel; it is to leave in some later version."""
    quantized = torch.ops.quantized
    names = (_MULTIPLY, "linear_prepack", "linear_unpack")
    return torch.backends.quantized.engine in _ENGINES and all(hasattr(quantized, name) for name in names)


def pack(codes: Tensor, scales: Tensor) -> Any:
    """Codes in -127..127, int8 (out, in), and scales (out,) in the kernel's order."""
    zeros = torch.zeros(len(codes), dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*quantized tensor creation", category=UserWarning)
        made = torch._make_per_channel_quantized_tensor(codes.contiguous(), scales.double(), zeros, 0)
        return torch.ops.quantized.linear_prepack(made, None)


def unpack(packed: Any) -> Tensor:
    """The codes that `pack` was given."""
    return torch.ops.quantized.linear_unpack(packed)[0].int_repr()


def multiply(x: Tensor, packed: Any) -> Tensor:
    """x W^T in float32 for x, float32 (rows, in), and packed W: within a / 16,002 of each activation."""
    n = len(x)
    largest = torch.linalg.vector_norm(x, torch.inf, -1, keepdim=True).clamp_min_(1e-30)
    both = (x * (_HI / largest)).repeat(2, 1)
    hi, lo = both[:n], both[n:]
    lo.mul_(_LO)
    both.round_()
    lo.sub_(hi, alpha=_LO)
    y = getattr(torch.ops.quantized, _MULTIPLY)(both, 1.0, _ZERO, packed)
    return torch.add(y[:n], y[n:], alpha=1 / _LO).mul_(largest / _HI)


def multiply_bfloat16(x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
    """x W^T for bfloat16 x (rows, in), int8 codes and bfloat16 scales, where the other kernel is not to be had."""
    return torch.ops.aten._weight_int8pack_mm(x, codes, scales)
