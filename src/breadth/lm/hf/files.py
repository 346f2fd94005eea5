"""Checkpoint files: safetensors read and written one tensor at a time, in one file or in shards with an index.

Files are read, not mapped, so that the pages of a checkpoint never count beside the model's own.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
SHARD_BYTES = 5_000_000_000
_HEADER_LIMIT = 100_000_000  # as in the format's own readers
_CHUNK = 1 << 20  # numbers that are looked at in one go for NaN

DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E8M0": torch.float8_e8m0fnu,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_WIDE = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies: bytes start to stop of a file."""

    file: Path
    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class Pending:
    """A tensor that is still to be written: made when its turn comes, and let go then."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    make: Callable[[], Tensor]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class Checkpoint:
    """The tensors of a folder by name; nothing but the headers is read until one is asked for.

    Args:
        folder: holds `model.safetensors`, or shards with `model.safetensors.index.json`.

    Raises:
        FileNotFoundError: if the folder, or a shard that the index names, is not there.
        ValueError: if there are only pickled weights, or a file is no whole safetensors file; the message names the
            file and, where one is to blame, the first tensor.

    Peer: safetensors.torch (A).
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.entries: dict[str, Entry] = {}
        index = self._index()
        for file in self._files(index):
            for name, entry in read_header(file).items():
                if name in self.entries:
                    raise ValueError(f"{file} and {self.entries[name].file.name} both hold the tensor {name!r}")
                self.entries[name] = entry
        for name, shard in index.items():
            held = self.entries.get(name)
            if held is None or held.file.name != shard:
                where = "no file does" if held is None else f"{held.file.name} does"
                raise ValueError(f"{self.folder / INDEX} says that {shard} holds the tensor {name!r}, but {where}")

    def _index(self) -> dict[str, str]:
        path = self.folder / INDEX
        if not path.exists() or (self.folder / SINGLE).exists():
            return {}
        try:
            shards = json.loads(path.read_text())["weight_map"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no index of shards: {error!r}") from error
        if not isinstance(shards, dict) or not shards:
            raise ValueError(f"{path} is no index of shards: weight_map names no tensor")
        return shards

    def _files(self, index: dict[str, str]) -> list[Path]:
        if not self.folder.is_dir():
            raise FileNotFoundError(
                f"{self.folder} is no folder; a checkpoint is a folder with config.json and weights"
            )
        if index:
            for name, shard in index.items():
                if not isinstance(shard, str) or Path(shard).name != shard or shard == "..":
                    raise ValueError(f"{self.folder / INDEX} puts {name!r} in {shard!r}, outside of the folder")
                if not (self.folder / shard).exists():
                    raise FileNotFoundError(f"{self.folder / shard} is not there; the index puts {name!r} in it")
            return sorted({self.folder / shard for shard in index.values()})
        if (self.folder / SINGLE).exists():
            return [self.folder / SINGLE]
        found = sorted(self.folder.glob("*.safetensors"))
        if len(found) == 1:
            return found
        if found:
            raise ValueError(
                f"{self.folder} holds {len(found)} safetensors files but no {INDEX} that says which belong"
            )
        for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt"):
            for pickled in sorted(self.folder.glob(pattern)):
                raise ValueError(
                    f"{pickled} holds pickled weights, which can run any code when they are read and are not loaded "
                    f"here; save the checkpoint as safetensors first"
                )
        raise FileNotFoundError(f"{self.folder} holds no {SINGLE} and no {INDEX}")

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def read(self, name: str) -> Tensor:
        """One tensor, on the CPU, in memory of its own.

        Raises:
            KeyError: if there is no such tensor.
            ValueError: if the file has become shorter, or the tensor holds NaN or infinity.
        """
        entry = self.entries[name]
        out = torch.empty(entry.stop - entry.start, dtype=torch.uint8)
        with entry.file.open("rb", buffering=0) as file:
            file.seek(entry.start)
            view, at = memoryview(cast(Any, out.numpy())), 0
            while at < len(view):
                got = file.readinto(view[at:])
                if not got:
                    raise ValueError(f"{entry.file} is truncated in the tensor {name!r}")
                at += got
        tensor = out.view(entry.dtype).view(entry.shape)
        if tensor.dtype in _WIDE:
            check_finite(tensor, name, entry.file)
        return tensor


def check_finite(tensor: Tensor, name: str, file: Path) -> None:
    """Raise ValueError if a tensor holds NaN or infinity, without a mask of its size."""
    flat = tensor.flatten()
    for start in range(0, flat.numel(), _CHUNK):
        finite = flat[start : start + _CHUNK].isfinite()
        if not finite.all():
            at = start + int(finite.logical_not().nonzero()[0])
            raise ValueError(f"{file} holds the tensor {name!r} with the value {flat[at].item()} at {at}")


def read_header(file: Path) -> dict[str, Entry]:
    """Names, types, shapes and places of a safetensors file's tensors, all checked against its length.

    Raises:
        ValueError: if the header is cut off or no JSON, or a tensor has a type that is not known, numbers that do not
            fill its bytes, or bytes that another has or that lie outside of the file.

    References: huggingface/safetensors, "Format".
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        head = stream.read(8)
        length = int.from_bytes(head, "little")
        if len(head) < 8 or length > min(size - 8, _HEADER_LIMIT):
            raise ValueError(f"{file} is truncated or no safetensors file: {size} bytes, and a header of {length}")
        raw = stream.read(length)
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is no safetensors file: its header is no JSON ({error})") from error
    if not isinstance(header, dict):
        raise ValueError(f"{file} is no safetensors file: its header is no table of tensors")
    header.pop("__metadata__", None)
    entries = {}
    for name, told in header.items():
        entries[name] = _entry(file, name, told, 8 + length, size)
    at = 8 + length
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].stop)):
        if entry.start != at:
            raise ValueError(
                f"{file}: the tensor {name!r} begins at byte {entry.start}, and the one before ends at {at}"
            )
        at = entry.stop
    if at != size:
        raise ValueError(f"{file} has {size} bytes, and its last tensor ends at {at}")
    return entries


def _entry(file: Path, name: str, told: Any, offset: int, size: int) -> Entry:
    try:
        dtype, shape, places = DTYPES[told["dtype"]], tuple(told["shape"]), told["data_offsets"]
        if not all(type(n) is int for n in (*shape, *places)):
            raise TypeError("sizes and places are integers")
        start, stop = (offset + at for at in places)
    except KeyError as error:
        raise ValueError(f"{file}: the tensor {name!r} has a header with {error} missing or not known") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: the tensor {name!r} has a header that is none: {told!r}") from error
    if not offset <= start <= stop or min(shape, default=0) < 0:
        raise ValueError(f"{file}: the tensor {name!r} has shape {shape} and bytes {start} to {stop}")
    if stop > size:
        raise ValueError(f"{file} is truncated: {size} bytes, and the tensor {name!r} ends at {stop}")
    if stop - start != math.prod(shape) * dtype.itemsize:
        raise ValueError(
            f"{file}: the tensor {name!r} of shape {shape} and type {told['dtype']} has {stop - start} bytes, "
            f"not {math.prod(shape) * dtype.itemsize}"
        )
    return Entry(file, dtype, shape, start, stop)


def write_checkpoint(
    folder: str | os.PathLike[str], tensors: Iterable[Pending], *, shard_bytes: int = SHARD_BYTES
) -> list[Path]:
    """Write tensors to `model.safetensors`, or to shards with an index if they need more than shard_bytes.

    Each file is written beside its place and then renamed; weights that a folder held before are gone afterwards.

    Args:
        folder: is made if it is not there.
        tensors: what to write; `make` of each is called once.
        shard_bytes: most bytes of a shard, unless one tensor alone has more.

    Returns:
        The files.

    Raises:
        ValueError: if shard_bytes < 1, two tensors have one name, or a tensor is not as it was told.

    Cost: memory of one tensor.
    Peer: safetensors.torch.load_file reads what is written (A).
    """
    if shard_bytes < 1:
        raise ValueError(f"shard_bytes must be >= 1, got {shard_bytes}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shards: list[list[Pending]] = [[]]
    held, seen = 0, set()
    for pending in tensors:
        if pending.name in seen:
            raise ValueError(f"two tensors have the name {pending.name!r}")
        seen.add(pending.name)
        if shards[-1] and held + pending.nbytes > shard_bytes:
            shards.append([])
            held = 0
        shards[-1].append(pending)
        held += pending.nbytes
    names = (
        [SINGLE] if len(shards) == 1 else [f"model-{i:05}-of-{len(shards):05}.safetensors" for i in _from_one(shards)]
    )
    files = [folder / name for name in names]
    for file, shard in zip(files, shards, strict=True):
        _write_file(file, shard)
    for old in (*folder.glob("model*.safetensors"), folder / INDEX):
        if old not in files:
            old.unlink(missing_ok=True)
    if len(shards) > 1:
        where = {p.name: file.name for file, shard in zip(files, shards, strict=True) for p in shard}
        total = sum(p.nbytes for shard in shards for p in shard)
        index = {"metadata": {"total_size": total}, "weight_map": where}
        write_text(folder / INDEX, json.dumps(index, indent=2) + "\n")
    return files


def _from_one(items: list[Any]) -> range:
    return range(1, len(items) + 1)


def _write_file(file: Path, tensors: list[Pending]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for pending in tensors:
        offsets = [at, at + pending.nbytes]
        header[pending.name] = {"dtype": _NAMES[pending.dtype], "shape": list(pending.shape), "data_offsets": offsets}
        at = offsets[1]
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    beside = file.with_name(file.name + ".tmp")
    try:
        with beside.open("wb") as stream:
            stream.write(len(raw).to_bytes(8, "little") + raw)
            for pending in tensors:
                tensor = pending.make().detach().to("cpu").contiguous()
                if tensor.dtype != pending.dtype or tuple(tensor.shape) != pending.shape:
                    kind = f"{tensor.dtype} of shape {tuple(tensor.shape)}"
                    raise ValueError(f"{pending.name!r} is {kind}, not {pending.dtype} of shape {pending.shape}")
                stream.write(tensor.flatten().view(torch.uint8).numpy().data)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a small file beside its place, and rename it."""
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(text)
    beside.replace(path)
