"""Linear layers whose weights stay in 8 or 4 bits while they are multiplied, by torch's packed kernels for CPUs.

Writing one token reads every weight once, so its time is that of reading: a quarter or an eighth of the bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal, Self, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from breadth.quant import int4_layout, int8_kernel

Format = Literal["int8", "int4"]
GROUPS = (32, 64)  # the kernel also takes 128 and 256, whose error is larger and which are no faster
MANY = 256  # rows of activations from which int4's weights are dequantised and multiplied in float32; measured


class Int8Linear(nn.Module):
    """Linear map with 8-bit weights: y = x W^T + b, W_ij = s_i c_ij, c in -127..127.

    On x86 each activation is rounded to 14 bits of its row's largest and y is in float32; elsewhere x is rounded to
    bfloat16. y comes back in the dtype of x. Gradients flow to x, through the dequantised weights.

    Args:
        codes: int8 in -127..127, shape (out_features, in_features).
        scales: shape (out_features,); kept in float32.
        bias: shape (out_features,), or None.

    Attributes:
        packed: codes in the kernel's order; None where there is no such kernel, and `codes` is kept instead.
        weight: `dequantize()`, for code that reads a linear layer's weight.

    Raises:
        TypeError: if codes are not integers.
        ValueError: if a shape does not fit, a code is out of range, or scales are not finite.

    Cost: 8 bits a weight; all are read once for up to eight rows of x. The kernel for other processors reads them for
        every four, and takes no in_features that are no multiple of 16: those are dequantised at each call.
    Deviations: `state_dict` holds `codes`, `scales` and `bias`, not the kernel's order.
    Peer: the dequantised weights in float64, 1e-3 of the output's norm on x86, else 1e-2 (B).
    In production: `pack(model, "int8")`; on a GPU take its own kernels (torchao, bitsandbytes, vLLM).
    """

    scales: Tensor
    codes: Tensor | None
    bias: Tensor | None

    def __init__(self, codes: Tensor, scales: Tensor, bias: Tensor | None = None):
        super().__init__()
        _check_codes(codes, -127, 127)
        self.out_features, self.in_features = codes.shape
        self.register_buffer("scales", None)
        self.register_buffer("codes", None, persistent=False)
        self.register_buffer("bias", None if bias is None else _check_shape("bias", bias, (self.out_features,)))
        self._take(codes, scales)

    @classmethod
    def from_linear(cls, linear: nn.Linear) -> Self:
        """The nearest codes, with the scale that puts each row's largest weight at 127.

        Raises:
            ValueError: if a weight is not finite.
        """
        weight = _finite(linear.weight)
        scales = weight.abs().amax(1) / 127
        codes = (weight / torch.where(scales > 0, scales, 1)[:, None]).round().clamp(-127, 127)
        return cls(codes.to(torch.int8), scales, linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        if _unpacked(self, x):
            return _exact(self, x)
        rows = x.reshape(-1, x.shape[-1])
        if self.packed is not None:
            return _shaped(self, int8_kernel.multiply(rows.float(), self.packed), x)
        if self.in_features % int8_kernel.COLUMNS:
            return _exact(self, x)
        y = int8_kernel.multiply_bfloat16(rows.to(torch.bfloat16), self._plain(), self.scales.to(torch.bfloat16))
        return _shaped(self, y, x)

    def dequantize(self) -> Tensor:
        """The weights that are multiplied, float32, shape (out_features, in_features)."""
        return self._plain().to(self.scales.device).float() * self.scales[:, None]

    @property
    def weight(self) -> Tensor:
        return self.dequantize()

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"

    def _take(self, codes: Tensor, scales: Tensor) -> None:
        self.scales = _check_shape("scales", scales, (self.out_features,)).float()
        codes = codes.detach().to(torch.int8)
        if int8_kernel.available() and codes.is_cpu:
            self.packed, self.codes = int8_kernel.pack(codes, self.scales), None
        else:
            self.scales = self.scales.bfloat16().float()  # what that kernel multiplies by
            self.packed, self.codes = None, codes.contiguous()

    def _plain(self) -> Tensor:
        return int8_kernel.unpack(self.packed) if self.codes is None else self.codes

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}codes"] = self._plain()

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: Any, strict: bool, missing_keys: list[str],
        unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:  # fmt: skip
        codes = state_dict.pop(f"{prefix}codes", None)
        scales = state_dict.get(f"{prefix}scales")
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        if codes is None:
            missing_keys.append(f"{prefix}codes")
        elif codes.dtype != torch.int8 or codes.shape != (self.out_features, self.in_features):
            error_msgs.append(
                f"{prefix}codes must be int8 of shape {(self.out_features, self.in_features)}, got {codes.dtype} of "
                f"shape {tuple(codes.shape)}"
            )
        elif scales is not None:
            try:
                self._take(codes, scales)
            except ValueError as error:
                error_msgs.append(f"{prefix}{error}")

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        return _apply_but_keep(self, "scales", fn, recurse)


class Int4Linear(nn.Module):
    """Linear map with 4-bit weights: y = x W^T + b, W_ij = s_ig (c_ij - 8) + z_ig, c in 0..15, g = j // group_size.

    The kernel takes activations in bfloat16 and is 5 to 27 times slower for others, so x is rounded to bfloat16, and y
    comes back in the dtype of x. Gradients flow to x, through the dequantised weights.

    Args:
        codes: integers in 0..15, shape (out_features, in_features).
        scales, zeros: shape (out_features, ceil(in_features / group_size)); kept in bfloat16.
        bias: shape (out_features,), or None.
        group_size: neighbouring weights of a row that share scale and zero, 32 or 64.

    Attributes:
        packed: codes in the order of the processor's kernel, two in a byte; rows and columns are filled up.
        scales_and_zeros: shape (groups, filled rows, 2), bfloat16.
        weight: `dequantize()`, for code that reads a linear layer's weight.

    Raises:
        TypeError: if codes are not integers.
        ValueError: if a shape does not fit, a code is out of range, scales or zeros are not finite, or group_size is
            neither 32 nor 64.
        RuntimeError: if this torch has no such kernel, or orders its weights in an unknown way.

    Cost: 4 + 32 / group_size bits a weight; all are read for every four rows of x. From `MANY` rows on they are
        dequantised once a call, 4 bytes each, and multiplied in float32.
    Deviations: `state_dict` holds `codes` (two in a byte, the even column low), `scales`, `zeros` and `bias` rather
        than the kernel's order, which is that of one kind of processor.
    Peer: the dequantised weights in float64, within the rounding of bfloat16 (B).
    In production: `pack(model, "int4")`; on a GPU take its own kernels (torchao, bitsandbytes, vLLM).
    """

    packed: Tensor
    scales_and_zeros: Tensor
    bias: Tensor | None

    def __init__(
        self, codes: Tensor, scales: Tensor, zeros: Tensor, bias: Tensor | None = None, *, group_size: int = 32
    ):
        super().__init__()
        _check_codes(codes, 0, 15)
        _check_group(group_size)
        self.out_features, self.in_features = codes.shape
        self.group_size = group_size
        self.register_buffer("packed", None, persistent=False)
        self.register_buffer("scales_and_zeros", None, persistent=False)
        self.register_buffer("bias", None if bias is None else _check_shape("bias", bias, (self.out_features,)))
        self._take(codes, scales, zeros)

    @classmethod
    def from_linear(cls, linear: nn.Linear, *, group_size: int = 32) -> Self:
        """The nearest codes between the least and the largest weight of each group.

        Raises:
            ValueError: if a weight is not finite, or group_size is neither 32 nor 64.
        """
        weight = _finite(linear.weight)
        _check_group(group_size)
        missing = -weight.shape[1] % group_size
        groups = torch.cat((weight, weight[:, -1:].expand(-1, missing)), 1).view(len(weight), -1, group_size)
        least, most = groups.amin(-1), groups.amax(-1)
        scales = ((most - least) / 15).bfloat16().float()
        zeros = (least + 8 * scales).bfloat16().float()
        steps = (groups - zeros[..., None]) / torch.where(scales > 0, scales, 1)[..., None]
        codes = (steps.round() + 8).clamp(0, 15).flatten(1)[:, : weight.shape[1]]
        return cls(codes.to(torch.uint8), scales, zeros, linear.bias, group_size=group_size)

    def forward(self, x: Tensor) -> Tensor:
        if _unpacked(self, x) or x.numel() >= MANY * self.in_features:
            return _exact(self, x)
        rows = x.reshape(-1, x.shape[-1]).to(torch.bfloat16)
        if self.in_features % self.group_size:
            rows = F.pad(rows, (0, -self.in_features % self.group_size))
        y = int4_layout.multiply(rows, self.packed, self.group_size, self.scales_and_zeros)
        return _shaped(self, y, x)

    def dequantize(self) -> Tensor:
        """The weights that are multiplied, float32, shape (out_features, in_features), exactly."""
        codes, scales, zeros = self._plain()
        scales, zeros = (
            t.float().repeat_interleave(self.group_size, 1)[:, : self.in_features] for t in (scales, zeros)
        )
        return torch.addcmul(zeros, scales, codes.float() - 8)

    @property
    def weight(self) -> Tensor:
        return self.dequantize()

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}, "
            f"group_size={self.group_size}"
        )

    def _take(self, codes: Tensor, scales: Tensor, zeros: Tensor) -> None:
        n_groups = -(-self.in_features // self.group_size)
        for name, t in (("scales", scales), ("zeros", zeros)):
            _check_shape(name, t, (self.out_features, n_groups))
        rows = -self.out_features % int4_layout.TILE
        both = torch.stack((scales, zeros), -1).detach().bfloat16()  # (out, groups, 2)
        self.scales_and_zeros = F.pad(both, (0, 0, 0, 0, 0, rows)).transpose(0, 1).contiguous()
        columns = n_groups * self.group_size - self.in_features
        self.packed = int4_layout.to_kernel(F.pad(codes, (0, columns, 0, rows)))

    def _plain(self) -> tuple[Tensor, Tensor, Tensor]:
        """Codes (out, in), scales and zeros (out, groups)."""
        codes = int4_layout.from_kernel(self.packed)[: self.out_features, : self.in_features]
        scales, zeros = self.scales_and_zeros[:, : self.out_features].transpose(0, 1).unbind(-1)
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

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        return _apply_but_keep(self, "scales_and_zeros", fn, recurse)


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
    Peer: the same model with the dequantised weights in float32, logits within 1e-2 of their norm (B).
    In production: use it to decode on a CPU. int4 loses accuracy unless its codes were chosen with data (GPTQ, AWQ).
    """
    if format not in get_args(Format):
        raise ValueError(f"format must be one of {', '.join(map(repr, get_args(Format)))}, got {format!r}")
    _check_group(group_size)
    linears = [name for name, module in model.named_modules(remove_duplicate=False) if type(module) is nn.Linear]
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
        if type(linear) is not nn.Linear:  # its parent is in two places, and was met before
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


def _unpacked(layer: Int8Linear | Int4Linear, x: Tensor) -> bool:
    """Whether to multiply dequantised weights: the kernels have no gradient, and serve CPUs."""
    if x.shape[-1] != layer.in_features:
        raise ValueError(f"x must have shape (..., {layer.in_features}), got {tuple(x.shape)}")
    return (x.requires_grad and torch.is_grad_enabled()) or not x.is_cpu


def _exact(layer: Int8Linear | Int4Linear, x: Tensor) -> Tensor:
    bias = None if layer.bias is None else layer.bias.float()
    return F.linear(x.float(), layer.dequantize(), bias).to(x.dtype)


def _shaped(layer: Int8Linear | Int4Linear, y: Tensor, x: Tensor) -> Tensor:
    """What the kernel made of the rows of x, (rows, filled up out_features), as the layer's output."""
    if y.shape[1] != layer.out_features:
        y = y[:, : layer.out_features]
    y = y.to(x.dtype)
    if layer.bias is not None:
        y = y + layer.bias.to(x.dtype)
    return y.view(*x.shape[:-1], layer.out_features)


def _apply_but_keep(layer: Any, name: str, fn: Callable[[Tensor], Tensor], recurse: bool) -> Any:
    """Move a layer, but leave its scales in the dtype that the kernel wants when `fn` changes dtypes."""
    kept = getattr(layer, name)
    nn.Module._apply(layer, fn, recurse)
    moved = getattr(layer, name)
    if moved.dtype != kept.dtype:
        setattr(layer, name, kept.to(moved.device))
    return layer


def _finite(weight: Tensor) -> Tensor:
    weight = weight.detach().float()
    if not weight.isfinite().all():
        raise ValueError("the weight holds NaN or infinite values, which have no nearest code")
    return weight


def _check_codes(codes: Tensor, least: int, most: int) -> None:
    if codes.dtype.is_floating_point or codes.dtype.is_complex or codes.dtype == torch.bool:
        raise TypeError(f"codes must be integers, got {codes.dtype}")
    if codes.dim() != 2 or 0 in codes.shape:
        raise ValueError(f"codes must have shape (out_features, in_features), neither 0, got {tuple(codes.shape)}")
    if codes.min() < least or codes.max() > most:
        raise ValueError(f"codes must lie in {least}..{most}, got {int(codes.min())}..{int(codes.max())}")


def _check_shape(name: str, t: Tensor, shape: tuple[int, ...]) -> Tensor:
    if t.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {tuple(t.shape)}")
    if not t.isfinite().all():
        raise ValueError(f"{name} must be finite")
    return t.detach().clone()


def _check_group(group_size: int) -> None:
    if group_size not in GROUPS:
        raise ValueError(f"group_size must be 32 or 64, got {group_size}")
