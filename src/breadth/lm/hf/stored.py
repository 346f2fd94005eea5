"""Tensors of a checkpoint under a family's names, whatever spelling and format they have on disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from breadth.lm.config import LMConfig
from breadth.lm.hf.files import Checkpoint, check_finite
from breadth.lm.hf.rules import Names
from breadth.quant.fp8 import decode_fp8
from breadth.quant.mxfp4 import BLOCK, decode_mxfp4

_FORMATS = ("mxfp4", "fp8")


class Stored:
    """A checkpoint's tensors by the names that the family's rules use; four- and eight-bit ones are decoded.

    Args:
        checkpoint: the files.
        names: the family's spellings.
        quantization: `quantization_config` of config.json.

    Raises:
        ValueError: if two tensors that differ have one name after the spellings, or the weights are packed otherwise.
    """

    def __init__(self, checkpoint: Checkpoint, names: Names, quantization: Mapping[str, Any] | None) -> None:
        self.checkpoint, self.names = checkpoint, names
        self.disk: dict[str, str] = {}
        for name in checkpoint.entries:
            canonical = names.canonical(name)
            first = self.disk.setdefault(canonical, name)
            if first != name and not torch.equal(checkpoint.read(first), checkpoint.read(name)):
                raise ValueError(
                    f"{checkpoint.folder}: the tensors {first!r} and {name!r} are both {canonical!r}, and differ"
                )
        told = quantization or {}
        method = told.get("quant_method")
        if method not in (None, *_FORMATS):
            raise ValueError(f"{checkpoint.folder} is quantised by {method!r}; known are {', '.join(_FORMATS)}")
        rows, columns = told.get("weight_block_size") or (128, 128)
        self.block = (int(rows), int(columns))
        self.used: set[str] = set()

    def __contains__(self, name: object) -> bool:
        return name in self.disk or f"{name}_blocks" in self.disk

    def dtype(self, name: str) -> torch.dtype:
        """Type in which the numbers of a tensor come."""
        held = self.disk.get(name)
        kind = torch.uint8 if held is None else self.checkpoint.entries[held].dtype
        return torch.bfloat16 if kind.itemsize == 1 else kind

    def read(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A tensor, decoded to a type if it needs that, and else as it is.

        Args:
            name: as the rules spell it.
            shape: what the model needs.
            dtype: of numbers that are decoded.

        Raises:
            ValueError: if the checkpoint lacks the tensor, or it has another shape; the message names it.
        """
        held = self.disk.get(name)
        if held is None and f"{name}_blocks" in self.disk:
            return self._mxfp4(name, shape, dtype)
        if held is None:
            raise ValueError(
                f"{self.checkpoint.folder} lacks the tensor {name!r}, of shape {shape}, which the model has"
            )
        entry = self.checkpoint.entries[held]
        if entry.shape != shape:
            raise ValueError(
                f"{self.checkpoint.folder}: the tensor {held!r} has shape {entry.shape}, "
                f"and config.json asks for {shape}"
            )
        self.used.add(name)
        tensor = self.checkpoint.read(held)
        if entry.dtype == torch.float8_e4m3fn:
            scale = self._raw(f"{name}_scale_inv", name)
            tensor = decode_fp8(tensor, scale, dtype=dtype, block=self.block)
            check_finite(tensor, held, entry.file)
        elif not tensor.is_floating_point():
            raise ValueError(f"{entry.file}: the tensor {held!r} holds {entry.dtype}, where weights belong")
        return tensor

    def _mxfp4(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        blocks, scales = self._raw(f"{name}_blocks", name), self._raw(f"{name}_scales", name)
        told = (*blocks.shape[:-2], blocks.shape[-2] * BLOCK) if blocks.ndim == 4 else tuple(blocks.shape)
        asked = (*shape[:-2], shape[-1], shape[-2])  # packed along the inputs, which come last
        if told != asked:
            raise ValueError(
                f"{self.checkpoint.folder}: the tensor {name + '_blocks'!r} holds numbers of shape {told}, "
                f"and config.json asks for {asked}"
            )
        tensor = decode_mxfp4(blocks, scales, dtype=dtype)
        check_finite(tensor, name, self.checkpoint.folder)
        return tensor.transpose(-1, -2)

    def _raw(self, name: str, beside: str) -> Tensor:
        if name not in self.disk:
            raise ValueError(f"{self.checkpoint.folder} lacks the tensor {name!r}, which {beside!r} is decoded with")
        self.used.add(name)
        return self.checkpoint.read(self.disk[name])

    def check_all_used(self, config: LMConfig) -> None:
        """Raise ValueError naming the first tensor that no rule has read and that is not known to be of no use."""
        for name, held in self.disk.items():
            if name not in self.used and not self.names.ignores(name, config):
                raise ValueError(
                    f"{self.checkpoint.folder} holds the tensor {held!r}, which the model that config.json describes "
                    f"has no place for"
                )
