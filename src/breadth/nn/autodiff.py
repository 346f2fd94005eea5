"""Reverse-mode automatic differentiation on NumPy arrays: back-propagation in one sitting."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
Vjp = Callable[[Array], Array]  # gradient by a result -> gradient by one of its operands
Axis = int | tuple[int, ...] | None

_numbers = itertools.count()
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


class Tensor:
    """An array that remembers how it was computed, so that `backward` finds the gradient by everything it came from.

    By the chain rule, dL/dx = sum over the results y of x of (dy/dx)^T dL/dy, from the last result back to the leaves.

    Each operator stores, for each operand, the function that multiplies by its transposed Jacobian. Operands are older
    than results, so falling numbers of creation are an order in which every result comes before its operands: no
    recursion, and a graph may be as deep as memory allows.

    Args:
        data: real numbers, any shape. A float array is kept without a copy; integers become float64.
        requires_grad: whether `backward` shall leave the gradient by this tensor in `grad`.

    Attributes:
        data: the values.
        grad: sum of the gradients that `backward` left here since it was last set to None; leaves only.
        requires_grad: given for a leaf; for a result, whether any operand requires it.

    Raises:
        TypeError: if data does not hold real numbers.

    Cost: `backward` takes two to three times the operations of the forward pass, and the graph holds every
        intermediate value until its last reference goes.
    Deviations: the graph outlives `backward`, so that a second call adds the same gradient again (torch frees it);
        there are no second derivatives; `data` must not change between the forward pass and `backward`. A maximum
        among ties shares its gradient equally (torch.amax).
    References: Linnainmaa 1976, BIT 16(2), section 3; Rumelhart, Hinton & Williams 1986, Nature 323, eqs. 4-7;
        Griewank & Walther 2008, Evaluating Derivatives, table 3.4 (the reverse sweep).
    Peer: torch.autograd on an MLP, a convolutional network and an attention head, float64, 1e-10 relative (A); central
        differences (B).
    In production: use torch or jax; this one is for reading, and for gradients where torch is not installed.

    Example:
        >>> x = Tensor([3.0, 4.0], requires_grad=True)
        >>> (x * x).sum().backward()
        >>> x.grad.tolist()
        [6.0, 8.0]
    """

    __slots__ = ("_edges", "_number", "data", "grad", "requires_grad")
    __array_ufunc__ = None  # `array + tensor` is left to Tensor.__radd__

    def __init__(self, data: ArrayLike, requires_grad: bool = False) -> None:
        values = np.asarray(data)
        if values.dtype.kind not in "fiub":
            raise TypeError(f"data must be real numbers, got an array of dtype {values.dtype}")
        self.data: Array = values if values.dtype.kind == "f" else values.astype(np.float64)
        self.grad: Array | None = None
        self.requires_grad = requires_grad
        self._edges: tuple[tuple[Tensor, Vjp], ...] = ()
        self._number = next(_numbers)

    def __repr__(self) -> str:
        return f"Tensor({self.data}, requires_grad={self.requires_grad})"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    def backward(self, gradient: ArrayLike | None = None) -> None:
        """Add to `grad` of every leaf that requires it the gradient of sum(gradient * self).

        Args:
            gradient: of the loss by this tensor, of its shape; None means 1, for a tensor of one element.

        Raises:
            ValueError: if nothing here requires a gradient, or if `gradient` is missing or of another shape.
        """
        if not self.requires_grad:
            raise ValueError(
                "this tensor came from no tensor with requires_grad=True, so there is nothing to derive by"
            )
        if gradient is None:
            if self.data.size != 1:
                raise ValueError(f"gradient must be given for a tensor of shape {self.shape}; only one number has 1")
            gradient = np.ones_like(self.data)
        seed = np.asarray(gradient, dtype=self.data.dtype)
        if seed.shape != self.shape:
            raise ValueError(f"gradient must have the tensor's shape {self.shape}, got {seed.shape}")
        frontier: list[Tensor] = [self]
        reached: dict[int, Tensor] = {self._number: self}
        while frontier:
            for operand, _ in frontier.pop()._edges:
                if operand._number not in reached:
                    reached[operand._number] = operand
                    frontier.append(operand)
        flow = {self._number: seed}
        for number in sorted(reached, reverse=True):  # results before their operands
            node, g = reached[number], flow.pop(number)
            if not node._edges:
                node.grad = np.array(g) if node.grad is None else node.grad + g
            for operand, vjp in node._edges:
                part = vjp(g).astype(operand.data.dtype, copy=False)
                flow[operand._number] = flow[operand._number] + part if operand._number in flow else part

    def __add__(self, other: Tensor | ArrayLike) -> Tensor:
        b = _lift(other, self)
        return _broadcast(self, b, self.data + b.data, lambda g: g, lambda g: g)

    def __mul__(self, other: Tensor | ArrayLike) -> Tensor:
        b = _lift(other, self)
        return _broadcast(self, b, self.data * b.data, lambda g: g * b.data, lambda g: g * self.data)

    def __truediv__(self, other: Tensor | ArrayLike) -> Tensor:
        b = _lift(other, self)
        value = self.data / b.data
        return _broadcast(self, b, value, lambda g: g / b.data, lambda g: -g * value / b.data)

    def __pow__(self, exponent: float) -> Tensor:
        if not isinstance(exponent, int | float):
            raise TypeError(f"exponent must be a number, got {type(exponent).__name__}; write exp(y * log(x)) for x^y")
        if exponent == 0:  # else 0 * 0^-1 at 0
            return _result(np.ones_like(self.data), (self, np.zeros_like))
        return _result(self.data**exponent, (self, lambda g: g * (exponent * self.data ** (exponent - 1))))

    def __neg__(self) -> Tensor:
        return _result(-self.data, (self, lambda g: -g))

    def __sub__(self, other: Tensor | ArrayLike) -> Tensor:
        return self + -_lift(other, self)

    def __rsub__(self, other: ArrayLike) -> Tensor:
        return _lift(other, self) + -self

    def __rtruediv__(self, other: ArrayLike) -> Tensor:
        return _lift(other, self) / self

    __radd__ = __add__
    __rmul__ = __mul__

    def __matmul__(self, other: Tensor | ArrayLike) -> Tensor:
        """Matrix product over the last two axes, the others broadcast; a vector is a row on the left, else a column."""
        a, b = self, _lift(other, self)
        if 0 in (a.data.ndim, b.data.ndim) or a.shape[-1] != b.shape[-2 if b.data.ndim > 1 else 0]:
            raise ValueError(f"matmul needs as many columns left as rows right, got shapes {a.shape} and {b.shape}")
        if b.data.ndim == 1:
            return (a @ b[:, None])[..., 0]
        if a.data.ndim == 1:
            return (a[None, :] @ b)[..., 0, :]
        left, right = a.data.swapaxes(-1, -2), b.data.swapaxes(-1, -2)
        return _broadcast(a, b, a.data @ b.data, lambda g: g @ right, lambda g: left @ g)

    def __rmatmul__(self, other: ArrayLike) -> Tensor:
        return _lift(other, self) @ self

    def __getitem__(self, index: Any) -> Tensor:
        def vjp(g: Array) -> Array:
            out = np.zeros_like(self.data)
            np.add.at(out, index, g)  # an element may be picked more than once
            return out

        return _result(self.data[index], (self, vjp))

    def reshape(self, *shape: int) -> Tensor:
        return _result(self.data.reshape(shape), (self, lambda g: g.reshape(self.shape)))

    def transpose(self, *axes: int) -> Tensor:
        """Axes in the order given; without any, reversed."""
        order = tuple(axis % self.data.ndim for axis in axes) or tuple(reversed(range(self.data.ndim)))
        return _result(self.data.transpose(order), (self, lambda g: g.transpose(np.argsort(order))))

    def sum(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        def vjp(g: Array) -> Array:
            return np.broadcast_to(_with_axes(g, axis, self), self.shape)

        return _result(self.data.sum(axis, keepdims=keepdims), (self, vjp))

    def mean(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        total = self.sum(axis, keepdims=keepdims)
        if self.data.size == 0:
            raise ValueError(f"mean needs at least one element, got shape {self.shape}")
        return total / (self.data.size // total.data.size)

    def max(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        top = self.data.max(axis, keepdims=True)

        def vjp(g: Array) -> Array:
            ties = self.data == top
            return ties * (_with_axes(g, axis, self) / ties.sum(axis, keepdims=True))

        return _result(top if keepdims else self.data.max(axis), (self, vjp))


def _result(data: ArrayLike, *edges: tuple[Tensor, Vjp]) -> Tensor:
    result = Tensor(data)
    result._edges = tuple((operand, vjp) for operand, vjp in edges if operand.requires_grad)
    result.requires_grad = bool(result._edges)
    return result


def _lift(value: Tensor | ArrayLike, like: Tensor) -> Tensor:
    if isinstance(value, Tensor):
        return value
    # a Python number takes the other operand's dtype: 2 * float32 stays float32
    return Tensor(np.asarray(value, dtype=like.data.dtype if isinstance(value, int | float) else None))


def _broadcast(a: Tensor, b: Tensor, value: Array, da: Vjp, db: Vjp) -> Tensor:
    return _result(value, (a, lambda g: _unbroadcast(da(g), a.shape)), (b, lambda g: _unbroadcast(db(g), b.shape)))


def _unbroadcast(g: Array, shape: tuple[int, ...]) -> Array:
    """The transpose of broadcasting: sum over the axes that it repeated."""
    g = g.sum(tuple(range(g.ndim - len(shape))))
    repeated = tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1)
    return g.sum(repeated, keepdims=True)


def _with_axes(g: Array, axis: Axis, operand: Tensor) -> Array:
    """A reduction's gradient with the reduced axes back, of length 1."""
    if g.ndim == operand.data.ndim:
        return g
    return g.reshape((1,) * operand.data.ndim) if axis is None else np.expand_dims(g, axis)


def concatenate(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Tensors one after another along an axis that exists; the gradient is cut at the same places."""
    ends = np.cumsum([tensor.shape[axis] for tensor in tensors])[:-1]
    edges = [(tensor, lambda g, i=i: np.split(g, ends, axis)[i]) for i, tensor in enumerate(tensors)]
    return _result(np.concatenate([tensor.data for tensor in tensors], axis), *edges)


def where(condition: ArrayLike, a: Tensor, b: Tensor) -> Tensor:
    """a where the condition holds, else b; the gradient goes to the one that was taken."""
    taken = np.asarray(condition, dtype=bool)
    return _broadcast(
        a, b, np.where(taken, a.data, b.data), lambda g: np.where(taken, g, 0), lambda g: np.where(taken, 0, g)
    )


def exp(x: Tensor) -> Tensor:
    """e^x; slope e^x."""
    value = np.exp(x.data)
    return _result(value, (x, lambda g: g * value))


def log(x: Tensor) -> Tensor:
    """Natural logarithm; slope 1 / x."""
    return _result(np.log(x.data), (x, lambda g: g / x.data))


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent; slope 1 - tanh(x)^2."""
    value = np.tanh(x.data)
    return _result(value, (x, lambda g: g * (1 - value * value)))


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e^-x), without overflow; slope s (1 - s)."""
    e = np.exp(-np.abs(x.data))
    value = np.where(x.data >= 0, 1, e) / (1 + e)
    return _result(value, (x, lambda g: g * (e / (1 + e) ** 2)))


def relu(x: Tensor) -> Tensor:
    """max(x, 0); slope 1 above 0, else 0."""
    return _result(np.maximum(x.data, 0), (x, lambda g: g * (x.data > 0)))


def gelu(x: Tensor, *, approximate: Literal["none", "tanh"] = "none") -> Tensor:
    """x Phi(x), Phi of the normal distribution, or its tanh form (Hendrycks & Gimpel 2016, arXiv:1606.08415, s. 2)."""
    if approximate == "tanh":
        return 0.5 * x * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    if approximate != "none":
        raise ValueError(f"approximate must be 'none' or 'tanh', got {approximate!r}")
    Phi = 0.5 * _erfc(-x.data / math.sqrt(2)).astype(x.data.dtype)
    slope = Phi + x.data * np.exp(-0.5 * x.data**2) / math.sqrt(2 * math.pi)
    return _result(x.data * Phi, (x, lambda g: g * slope))


def softmax(x: Tensor, axis: int = -1, *, where: ArrayLike = True) -> Tensor:
    """p = e^x / sum e^x along an axis, over the entries where a condition holds; the others, and a row of none, are 0.

    d/dx = p (g - sum p g).
    """
    allowed = np.broadcast_to(np.asarray(where, dtype=bool), x.shape)
    p, _ = _exp_shares(np.where(allowed, x.data, -np.inf), axis)
    return _result(p, (x, lambda g: p * (g - (p * g).sum(axis, keepdims=True))))


def logsumexp(x: Tensor, axis: int = -1, *, keepdims: bool = False) -> Tensor:
    """log sum e^x along an axis, without overflow; a row of -inf gives -inf, with gradient 0."""
    p, value = _exp_shares(x.data, axis)
    return _result(value if keepdims else value.squeeze(axis), (x, lambda g: p * _with_axes(g, axis, x)))


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """x - log sum e^x along an axis."""
    return x - logsumexp(x, axis, keepdims=True)


def _exp_shares(x: Array, axis: int) -> tuple[Array, Array]:
    """Softmax and log-sum-exp (axis kept) of an array; a row of -inf has the shares 0."""
    top = x.max(axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    e = np.exp(x - top)
    total = e.sum(axis, keepdims=True)
    with np.errstate(divide="ignore"):
        return e / np.where(total == 0, 1, total), np.log(total) + top


def conv2d(input: Tensor, weight: Tensor, bias: Tensor | None = None, *, stride: int = 1, padding: int = 0) -> Tensor:
    """Cross-correlation of images with filters: y[o, i, j] = b[o] + sum_c,u,v w[o, c, u, v] x[c, s i + u, s j + v].

    Args:
        input: shape (batch, channels, height, width).
        weight: shape (filters, channels, rows, columns).
        bias: shape (filters,).
        stride: pixels between neighbouring outputs, >= 1.
        padding: zeros put around the image, >= 0.

    Returns:
        Shape (batch, filters, (height + 2 padding - rows) // stride + 1, the same of the width).

    Raises:
        ValueError: if the shapes do not fit, or stride or padding is out of range.
    """
    if input.data.ndim != 4 or weight.data.ndim != 4 or input.shape[1] != weight.shape[1]:
        raise ValueError(f"input and weight must have 4 axes and as many channels, got {input.shape}, {weight.shape}")
    if stride < 1 or padding < 0:
        raise ValueError(f"stride must be >= 1 and padding >= 0, got {stride} and {padding}")
    x = np.pad(input.data, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    rows, columns = weight.shape[2:]
    if x.shape[2] < rows or x.shape[3] < columns:
        raise ValueError(f"weight of {rows} x {columns} is larger than the padded image, {x.shape[2]} x {x.shape[3]}")
    windows = sliding_window_view(x, (rows, columns), (2, 3))[:, :, ::stride, ::stride]  # (N, C, H', W', kh, kw)
    value = np.tensordot(windows, weight.data, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)  # (N, O, H', W')

    def by_input(g: Array) -> Array:
        spread = np.tensordot(g, weight.data, (1, 0))  # (N, H', W', C, kh, kw)
        out = np.zeros_like(x)
        high, wide = stride * g.shape[2], stride * g.shape[3]
        for u, v in np.ndindex(rows, columns):
            out[:, :, u : u + high : stride, v : v + wide : stride] += spread[..., u, v].transpose(0, 3, 1, 2)
        return out[:, :, padding : x.shape[2] - padding, padding : x.shape[3] - padding]

    def by_weight(g: Array) -> Array:
        return np.tensordot(g, windows, ((0, 2, 3), (0, 2, 3)))  # (O, C, kh, kw)

    out = _result(value, (input, by_input), (weight, by_weight))
    return out if bias is None else out + bias.reshape(1, -1, 1, 1)
