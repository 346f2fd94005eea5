"""One file for an index: named arrays and a JSON object, checksummed, written so that a crash loses nothing.

Layout, little-endian: a header of 64 bytes (magic, version, and the place, length and CRC-32 of the manifest), the
arrays, each at a multiple of 64 bytes, and the manifest, a JSON object with the kind of index, its settings, and each
array's dtype, shape, place and CRC-32.
"""

from __future__ import annotations

import json
import math
import mmap as _mmap
import os
import secrets
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

_MAGIC = b"breadth\x93"  # the last byte is no valid UTF-8, so no text file begins so
_VERSION = 1
_HEADER = struct.Struct("<8sIQQI")  # magic, version, manifest's place and length, its CRC-32; then their own CRC-32
_ALIGNMENT = 64
_DTYPES = ("|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f4", "<f8")


class StoreError(ValueError):
    """A file that is not an index, not the kind asked for, or damaged."""


def write(path: str | os.PathLike[str], kind: str, meta: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> None:
    """Write an index to `path`, or replace the file there.

    The bytes go to a temporary file in the same folder, which is renamed over `path` once they are on the disk: a
    process killed at any moment leaves the old file or the new one, and perhaps a `.NAME.*.tmp` beside it. Arrays may
    be maps of the very file that is replaced.

    Args:
        path: the file; its folder must exist. Of a symbolic link the target is replaced.
        kind: which class the file is of.
        meta: settings that JSON can hold.
        arrays: name to array of integers or floats.

    Raises:
        OSError: if the folder does not exist or cannot be written to, or `path` is a folder, device or pipe.
        TypeError: if an array has another dtype.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"path: the folder {str(target.parent)!r} does not exist; make it before saving")
    if target.is_dir():
        raise IsADirectoryError(f"path: {str(target)!r} is a folder; name a file in it")
    if target.exists() and not target.is_file():
        raise FileExistsError(f"path: {str(target)!r} is a device, pipe or socket, which saving would replace")
    temporary = target.parent / f".{target.name}.{secrets.token_hex(4)}.tmp"
    try:
        with temporary.open("xb") as file:
            _fill(file, kind, meta, arrays)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if hasattr(os, "O_DIRECTORY"):  # POSIX: the new name itself is on the disk only when the folder is
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _fill(file: BinaryIO, kind: str, meta: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> None:
    sections = []
    at = _ALIGNMENT
    for name, array in arrays.items():
        array = np.ascontiguousarray(array)
        dtype = array.dtype.newbyteorder("<")
        if dtype.str not in _DTYPES:
            raise TypeError(f"arrays: {name!r} is of {array.dtype}, but a store holds integers and floats only")
        raw = array.astype(dtype, copy=False).reshape(-1).view(np.uint8)
        file.seek(at)
        file.write(raw.data)
        sections.append(
            {"name": name, "dtype": dtype.str, "shape": array.shape, "at": at, "crc32": zlib.crc32(raw.data)}
        )
        at += -(-len(raw) // _ALIGNMENT) * _ALIGNMENT
    manifest = json.dumps({"kind": kind, "meta": meta, "arrays": sections}, allow_nan=False).encode()
    file.seek(at)
    file.write(manifest)
    header = _HEADER.pack(_MAGIC, _VERSION, at, len(manifest), zlib.crc32(manifest))
    file.seek(0)
    file.write(header + struct.pack("<I", zlib.crc32(header)))


def read(
    path: str | os.PathLike[str], kind: str, mmap: bool = True, verify: bool = True
) -> tuple[dict[str, Any], dict[str, NDArray]]:
    """Read what `write` wrote.

    Args:
        path: the file.
        kind: the kind that it must be of.
        mmap: map the arrays instead of reading them. They can be written to: changed pages become private memory, and
            the file stays as it is. The file must not be shortened in place while it is mapped; `write` never does.
        verify: compare every array's checksum, which reads the file once; the header and manifest are always checked.

    Returns:
        The settings, and the arrays by name.

    Raises:
        StoreError: if the file is no index, of another kind or version, cut short, or a checksum differs; the message
            names the section.
    """
    path = Path(path)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        manifest = _manifest(file, size, path)
        if manifest["kind"] != kind:
            raise StoreError(f"{str(path)!r} holds an index of kind {manifest['kind']!r}, not {kind!r}")
        if mmap:
            content = np.frombuffer(_mmap.mmap(file.fileno(), 0, access=_mmap.ACCESS_COPY), dtype=np.uint8)
        else:
            file.seek(0)
            content = np.fromfile(file, dtype=np.uint8)
    arrays = {}
    for section in manifest["arrays"]:
        name, raw = section["name"], content[section["at"] :][: _nbytes(section)]
        if verify and zlib.crc32(raw.data) != section["crc32"]:
            raise StoreError(f"{str(path)!r} is damaged: the checksum of its section {name!r} differs")
        arrays[name] = raw.view(section["dtype"]).reshape(section["shape"])
    return manifest["meta"], arrays


def _manifest(file: BinaryIO, size: int, path: Path) -> dict[str, Any]:
    """The manifest, with every array inside the file."""
    header = file.read(_HEADER.size + 4)
    if not header.startswith(_MAGIC):
        raise StoreError(f"{str(path)!r} is not a breadth index: it begins with {header[:8]!r}")
    if len(header) < _HEADER.size + 4:
        raise StoreError(f"{str(path)!r} is cut short: it ends inside its header")
    fields, crc = header[: _HEADER.size], header[_HEADER.size :]
    if zlib.crc32(fields) != struct.unpack("<I", crc)[0]:
        raise StoreError(f"{str(path)!r} is damaged: the checksum of its section 'header' differs")
    _, version, at, length, manifest_crc = _HEADER.unpack(fields)
    if version != _VERSION:
        raise StoreError(f"{str(path)!r} is of version {version}; this breadth reads version {_VERSION}")
    if at + length > size:
        raise StoreError(f"{str(path)!r} is cut short: it has {size} bytes of {at + length}")
    file.seek(at)
    raw = file.read(length)
    if zlib.crc32(raw) != manifest_crc:
        raise StoreError(f"{str(path)!r} is damaged: the checksum of its section 'manifest' differs")
    manifest = json.loads(raw)
    for section in manifest["arrays"]:
        if section["dtype"] not in _DTYPES or not 0 <= section["at"] <= at - _nbytes(section):
            raise StoreError(f"{str(path)!r} is damaged: its section {section['name']!r} lies outside the file")
    return manifest


def _nbytes(section: Mapping[str, Any]) -> int:
    return math.prod(section["shape"]) * np.dtype(section["dtype"]).itemsize
