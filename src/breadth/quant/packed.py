"""Linear layers whose weights stay in 8 or 4 bits while they are multiplied, on a CPU.

Writing one token reads every weight once, so its time is that of reading: a quarter or an eighth of the bytes. Codes
become float32 in the processor's registers, so that activations keep all their digits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal, Self, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from breadth.nn.linear import Array, Product, multiply_into, share
from breadth.nn.linear import Linear as FewRowsLinear
from breadth.quant import packed_kernels
from breadth.quant.packed_checks import check_codes, check_group, check_shape, finite

Format = Literal["int8", "int4"]
_KINDS = (nn.Linear, FewRowsLinear)
FEW = {"int8": 16, "int4": 8}  # rows of activations; for more the weights are dequantised and multiplied in float32


class Int8Linear(nn.Module):
    """Linear map with 8-bit weights: y = x W^T + b, W_ij = s_i c_ij, c in -127..127.

    x is multiplied in float32, and y comes back in the dtype of x. Gradients flow to x, through the dequantised
    weights.

    Args:
        codes: int8 in -127..127, shape (out_features, in_features).
        scales: shape (out_features,); kept in float32.
        bias: shape (out_features,), or None.

    Attributes:
        weight: `dequantize()`, for code that reads a linear layer's weight.

    Raises:
        TypeError: if codes are not integers.
        ValueError: if a shape does not fit, a code is out of range, or scales are not finite.

    Cost: 8 bits a weight, read once for up to `FEW` rows of x; for more the weights are dequantised at each call, 4
        bytes each, as they are on a GPU.
    Peer: the dequantised weights in float64, 1e-6 of the output's norm (B).
    In production: `pack(model, "int8")`; on a GPU take its own kernels (torchao, bitsandbytes, vLLM).
    """

    scales: Tensor
    codes: Tensor
    bias: Tensor | None

    def __init__(self, codes: Tensor, scales: Tensor, bias: Tensor | None = None):
        super().__init__()
        check_codes(codes, -127, 127)
        self.out_features, self.in_features = codes.shape
        self.register_buffer("codes", codes.detach().to(torch.int8).contiguous())
        self.register_buffer("scales", check_shape("scales", scales, (self.out_features,)).float())
        self.register_buffer("bias", None if bias is None else check_shape("bias", bias, (self.out_features,)))

    @classmethod
    def from_linear(cls, linear: nn.Linear) -> Self:
        """The nearest codes, with the scale that puts each row's largest weight at 127.

        Raises:
            ValueError: if a weight is not finite.
        """
        weight = finite(linear.weight)
        scales = weight.abs().amax(1) / 127
        codes = (weight / torch.where(scales > 0, scales, 1)[:, None]).round().clamp(-127, 127)
        return cls(codes.to(torch.int8), scales, linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        if _dequantised(self, x, FEW["int8"]):
            return _exact(self, x)
        return _by_kernel(self, x)

    def quick(self) -> bool:
        """Whether `product` serves these weights: on a CPU."""
        return self.scales.is_cpu

    def product(self) -> Product:
        """A function that writes x W^T + b of float32 rows x into y, on a CPU."""
        codes, scales = self.codes.numpy(), self.scales.numpy()
        bias = None if self.bias is None else self.bias.float().numpy()

        def into(x: Array, y: Array) -> None:
            multiply_into(codes, x, y)
            y *= scales
            if bias is not None:
                y += bias

        return into

    def dequantize(self) -> Tensor:
        """The weights that are multiplied, float32, shape (out_features, in_features)."""
        return self.codes.float() * self.scales[:, None]

    @property
    def weight(self) -> Tensor:
        return self.dequantize()

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: Any, strict: bool, missing_keys: list[str],
        unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:  # fmt: skip
        codes, scales = (state_dict.get(prefix + name) for name in ("codes", "scales"))
        wanted = (self.out_features, self.in_features)
        if codes is not None and (codes.dtype != torch.int8 or codes.shape != wanted):
            error_msgs.append(
                f"{prefix}codes must be int8 of shape {wanted}, got {codes.dtype} of shape {tuple(codes.shape)}"
            )
            return
        try:
            if codes is not None:
                check_codes(codes, -127, 127)
            if scales is not None:
                check_shape("scales", scales, (self.out_features,))
        except ValueError as error:
            error_msgs.append(f"{prefix}{error}")
            return
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        return _apply_but_keep(self, "scales", fn, recurse)


class Int4Linear(nn.Module):
    """Linear map with 4-bit weights: y = x W^T + b, W_ij = s_ig (c_ij - 8) + z_ig, c in 0..15, g = j // group_size.

    x is multiplied in float32, and y comes back in the dtype of x. Gradients flow to x, through the dequantised
    weights.

    Args:
        codes: integers in 0..15, shape (out_features, in_features).
        scales, zeros: shape (out_features, ceil(in_features / group_size)); kept in bfloat16.
        bias: shape (out_features,), or None.
        group_size: neighbouring weights of a row that share scale and zero, 32 or 64.

    Attributes:
        words: codes in the order of `packed_kernels`, eight in an int32, shape (4, filled columns / 32, out_features).
        scales_and_zeros: both in an int32, shape (groups, out_features).
        weight: `dequantize()`, for code that reads a linear layer's weight.

    Raises:
        TypeError: if codes are not integers.
        ValueError: if a shape does not fit, a code is out of range, scales or zeros are not finite, or group_size is
            neither 32 nor 64.

    Cost: 4 + 32 / group_size bits a weight, all read for each row of x; for more than `FEW` rows the weights are
        dequantised once a call, 4 bytes each, as they are on a GPU.
    Deviations: `state_dict` holds `codes` (two in a byte, the even column low), `scales`, `zeros` and `bias` rather
        than the kernel's order.
    Peer: the dequantised weights in float64, 1e-6 of the output's norm (B).
    In production: `pack(model, "int4")`; on a GPU take its own kernels (torchao, bitsandbytes, vLLM).
    """

    words: Tensor
    scales_and_zeros: Tensor
    bias: Tensor | None

    def __init__(
        self, codes: Tensor, scales: Tensor, zeros: Tensor, bias: Tensor | None = None, *, group_size: int = 32
    ):
        super().__init__()
        check_codes(codes, 0, 15)
        check_group(group_size)
        self.out_features, self.in_features = codes.shape
        self.group_size = group_size
        self.register_buffer("words", None, persistent=False)
        self.register_buffer("scales_and_zeros", None, persistent=False)
        self.register_buffer("bias", None if bias is None else check_shape("bias", bias, (self.out_features,)))
        self._take(codes, scales, zeros)

    @classmethod
    def from_linear(cls, linear: nn.Linear, *, group_size: int = 32) -> Self:
        """The nearest codes between the least and the largest weight of each group.

        Raises:
            ValueError: if a weight is not finite, or group_size is neither 32 nor 64.
        """
        weight = finite(linear.weight)
        check_group(group_size)
        missing = -weight.shape[1] % group_size
        groups = torch.cat((weight, weight[:, -1:].expand(-1, missing)), 1).view(len(weight), -1, group_size)
        least, most = groups.amin(-1), groups.amax(-1)
        scales = ((most - least) / 15).bfloat16().float()
        zeros = (least + 8 * scales).bfloat16().float()
        steps = (groups - zeros[..., None]) / torch.where(scales > 0, scales, 1)[..., None]
        codes = (steps.round() + 8).clamp(0, 15).flatten(1)[:, : weight.shape[1]]
        return cls(codes.to(torch.uint8), scales, zeros, linear.bias, group_size=group_size)

    def forward(self, x: Tensor) -> Tensor:
        if _dequantised(self, x, FEW["int4"]):
            return _exact(self, x)
        return _by_kernel(self, x)

    def quick(self) -> bool:
        """Whether `product` serves these weights: on a CPU."""
        return self.words.is_cpu

    def product(self) -> Product:
        """A function that writes x W^T + b of float32 rows x into y, on a CPU."""
        words, pairs = self._arrays()
        bias, per, groups = (
            None if self.bias is None else self.bias.float().numpy(),
            self.group_size // 32,
            words.shape[1],
        )
        missing = 32 * groups - self.in_features

        def into(x: Array, y: Array) -> None:
            if missing:
                x = np.pad(x, ((0, 0), (0, missing)))
            rows = x.reshape(len(x), groups, 32)
            multiply = packed_kernels.multiply
            share(lambda first, last: multiply(words, pairs, per, rows, y, first, last), y.shape[1], 8 * words.size)
            if bias is not None:
                np.add(y, bias, y)

        return into

    def dequantize(self) -> Tensor:
        """The weights that are multiplied, float32, shape (out_features, in_features), exactly."""
        words, pairs = self._arrays()
        weight = torch.empty(self.out_features, 32 * words.shape[1])
        packed_kernels.unpack(words, pairs, self.group_size // 32, 0, self.out_features, weight.numpy())
        return weight[:, : self.in_features].to(self.words.device)

    @property
    def weight(self) -> Tensor:
        return self.dequantize()

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}, "
            f"group_size={self.group_size}"
        )

    def _arrays(self) -> tuple[Array, Array]:
        """Words and pairs of scale and zero, as the kernels take them."""
        words, pairs = (t.cpu().numpy().view(np.uint32) for t in (self.words, self.scales_and_zeros))
        return words, pairs

    def _take(self, codes: Tensor, scales: Tensor, zeros: Tensor) -> None:
        n_groups = -(-self.in_features // self.group_size)
        for name, t in (("scales", scales), ("zeros", zeros)):
            check_shape(name, t, (self.out_features, n_groups))
        s, z = (t.detach().bfloat16().view(torch.int16).int() for t in (scales, zeros))
        self.scales_and_zeros = (s << 16 | z & 0xFFFF).t().contiguous()
        filled = F.pad(codes.detach().int(), (0, n_groups * self.group_size - self.in_features))
        words = filled.view(self.out_features, -1, 4, 8)  # (out, groups of 32, word, place)
        words = functools.reduce(torch.bitwise_or, (words[..., i] << 4 * i for i in range(8)))
        self.words = words.permute(2, 1, 0).contiguous()

    def _plain(self) -> tuple[Tensor, Tensor, Tensor]:
        """Codes (out, in), scales and zeros (out, groups)."""
        places = 4 * torch.arange(8, dtype=torch.int32, device=self.words.device)
        words = self.words.permute(2, 1, 0)[..., None] >> places
        codes = (words & 15).to(torch.uint8).flatten(1)[:, : self.in_features]
        pairs = self.scales_and_zeros.t().contiguous()
        zeros, scales = pairs.view(torch.bfloat16).unflatten(-1, (-1, 2)).unbind(-1)  # the low half comes first
        return codes, scales, zeros

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        codes, scales, zeros = self._plain()
        codes = F.pad(codes, (0, codes.shape[1] % 2))
        plain = {"codes": codes[:, ::2] | codes[:, 1::2] << 4, "scales": scales, "zeros": zeros}
        destination.update({prefix + name: t.contiguous() for name, t in plain.items()})

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: Any, strict: bool, missing_keys: list[str],
        unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:  # fmt: skip
        names = [prefix + name for name in ("codes", "scales", "zeros")]
        given = [state_dict.pop(name, None) for name in names]
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        missing_keys += [name for name, t in zip(names, given, strict=True) if t is None]
        if any(t is None for t in given):
            return
        two, scales, zeros = given
        shape = (self.out_features, -(-self.in_features // 2))
        if two.dtype != torch.uint8 or two.shape != shape:
            error_msgs.append(f"{names[0]} must be uint8 of shape {shape}, got {two.dtype} of shape {tuple(two.shape)}")
            return
        try:
            self._take(torch.stack((two & 15, two >> 4), -1).flatten(1)[:, : self.in_features], scales, zeros)
        except ValueError as error:
            error_msgs.append(f"{prefix}{error}")


def pack(model: nn.Module, format: Format, *, leave: Sequence[str] = (), group_size: int = 32) -> nn.Module:
    """Put an `Int8Linear` or `Int4Linear` in the place of every `nn.Linear`, under the same name.

    Args:
        model: changed in place. A layer that it holds in two places stays one layer; an embedding that shares its
            weight with a packed output layer keeps it.
        format: "int8", with a scale for each row, or "int4", with a scale and a zero for each group.
        leave: patterns of names that stay as they are, with * and ? ("head", "*.router").
        group_size: of int4, 32 or 64.

    Returns:
        model; or the packed layer, if model is itself an `nn.Linear`.

    Raises:
        ValueError: if format or group_size is unknown, a pattern fits no linear layer, there is nothing to pack, or a
            weight is not finite; the message names the layer.

    Cost: one pass over the weights; memory of one layer in float32 beside the model.
    Deviations: parameters that are not in an `nn.Linear` (the experts of a mixture, embeddings, convolutions) and
        subclasses of it, which may compute something else, stay as they are.
    Peer: the same model with the dequantised weights in float32, logits within 1e-5 of their norm (B).
    In production: use it to decode on a CPU. int4 loses accuracy unless its codes were chosen with data (GPTQ, AWQ).
    """
    if format not in get_args(Format):
        raise ValueError(f"format must be one of {', '.join(map(repr, get_args(Format)))}, got {format!r}")
    check_group(group_size)
    linears = [name for name, module in model.named_modules(remove_duplicate=False) if type(module) in _KINDS]
    for pattern in leave:
        if not any(fnmatchcase(name, pattern) for name in linears):
            raise ValueError(f"leave holds {pattern!r}, which fits none of the linear layers {', '.join(linears)}")
    chosen = [name for name in linears if not any(fnmatchcase(name, pattern) for pattern in leave)]
    if not chosen:
        raise ValueError(f"there is nothing to pack: {type(model).__name__} has {len(linears)} nn.Linear layers"
                         + (" and leave fits all of them" if linears else ""))  # fmt: skip
    made: dict[int, nn.Module] = {}
    for name in chosen:
        linear: Any = model.get_submodule(name)
        if type(linear) not in _KINDS:  # its parent is in two places, and was met before
            continue
        if id(linear) not in made:
            try:
                made[id(linear)] = (
                    Int8Linear.from_linear(linear)
                    if format == "int8"
                    else Int4Linear.from_linear(linear, group_size=group_size)
                )
            except ValueError as error:
                raise ValueError(f"{name or 'model'}: {error}") from error
            made[id(linear)].train(linear.training)
        if not name:
            return made[id(linear)]
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, made[id(linear)])
    return model


def _dequantised(layer: Int8Linear | Int4Linear, x: Tensor, few: int) -> bool:
    """Whether to multiply dequantised weights: the kernels have no gradient, and serve few rows on CPUs."""
    if x.shape[-1] != layer.in_features:
        raise ValueError(f"x must have shape (..., {layer.in_features}), got {tuple(x.shape)}")
    if x.requires_grad and torch.is_grad_enabled():
        return True
    return not (x.is_cpu and 0 < x.numel() <= few * layer.in_features)


def _exact(layer: Int8Linear | Int4Linear, x: Tensor) -> Tensor:
    bias = None if layer.bias is None else layer.bias.float()
    return F.linear(x.float(), layer.dequantize(), bias).to(x.dtype)


def _by_kernel(layer: Int8Linear | Int4Linear, x: Tensor) -> Tensor:
    y = torch.empty(*x.shape[:-1], layer.out_features)
    rows = x.detach().reshape(-1, layer.in_features).float().contiguous()
    layer.product()(rows.numpy(), y.view(-1, layer.out_features).numpy())
    return y.to(x.dtype)


def _apply_but_keep(layer: Any, name: str, fn: Callable[[Tensor], Tensor], recurse: bool) -> Any:
    """Move a layer, but leave its scales in the dtype that the kernel wants when `fn` changes dtypes."""
    kept = getattr(layer, name)
    nn.Module._apply(layer, fn, recurse)
    moved = getattr(layer, name)
    if moved.dtype != kept.dtype:
        setattr(layer, name, kept.to(moved.device))
    return layer
