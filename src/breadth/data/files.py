"""From a path to a raw table: decompress, recognise the format, decode, and say what is wrong where it goes wrong."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from breadth.data.dataset import DataError
from breadth.data.delimited import RawTable, read_delimited

# on damaged bytes polars raises its own errors, those of the decompressor, or panics where it should have raised
_POLARS_FAILS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
_GZIP, _ZSTD, _PARQUET, _ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1", b"PK\x03\x04"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read_raw(path: str | Path, *, header: bool, delimiter: str | None, quote: str, encoding: str) -> RawTable:
    """Read CSV, TSV, Parquet or JSON Lines, plain, `.gz` or `.zst`; the format is told by suffix, then by content.

    Raises:
        DataError: if the file is absent, unreadable, empty, damaged or of another format.
    """
    path = Path(path)
    source = str(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{source}: no such file; {_what_lies_near(path)}") from error
    except IsADirectoryError as error:
        raise DataError(f"{source}: is a folder; name one file in it") from error
    except OSError as error:
        raise DataError(f"{source}: cannot be read ({error.strerror}); check its permissions") from error

    suffixes = [suffix.lower() for suffix in path.suffixes]
    data = _decompress(data, source, suffixes[-1:])
    kind = [suffix for suffix in suffixes if suffix not in (".gz", ".zst")][-1:]
    if not data:
        raise DataError(f"{source}: the file is empty; a table needs a header and at least two rows")
    if kind in ([".parquet"], [".pq"]) or data.startswith(_PARQUET):
        return _read_parquet(data, source)
    if data.startswith(_ZIP):
        raise DataError(f"{source}: is a zip archive or a spreadsheet; unpack it, or save the sheet as CSV")
    text = _to_utf8(data, source, encoding)
    if kind in ([".jsonl"], [".ndjson"], [".json"]):
        return _read_jsonl(text, source)
    return read_delimited(
        text,
        source,
        header=header,
        delimiter="\t" if delimiter is None and kind == [".tsv"] else delimiter,
        quote=quote,
    )


def _what_lies_near(path: Path) -> str:
    if not path.parent.is_dir():
        return f"nor is there a folder {path.parent}"
    near = sorted(
        other.name for other in path.parent.iterdir() if other.stem == path.stem or other.name.startswith(path.name)
    )
    return f"there is {', '.join(near[:3])}" if near else f"the current folder is {Path.cwd()}"


def _decompress(data: bytes, source: str, last_suffix: Sequence[str]) -> bytes:
    if data.startswith(_GZIP):
        try:
            return gzip.decompress(data)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{source}: damaged gzip file ({error}); fetch or compress it again") from error
    if data.startswith(_ZSTD):
        try:  # each line of the file as one cell: polars brings the decompressor
            lines = pl.read_csv(data, separator="\x1f", quote_char=None, has_header=False, infer_schema=False)
        except _POLARS_FAILS as error:
            raise DataError(
                f"{source}: damaged zstd file ({_first_line(error)}); fetch or compress it again"
            ) from error
        return "\n".join(lines.to_series().fill_null("").to_list()).encode()
    if last_suffix in ([".gz"], [".zst"]) and data:
        raise DataError(
            f"{source}: is not compressed although its name ends in {last_suffix[0]}; rename it, or compress it again"
        )
    return data


def _to_utf8(data: bytes, source: str, encoding: str) -> bytes:
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        if data.startswith(_UTF16):
            raise DataError(f"{source}: is UTF-16, not UTF-8; pass encoding='utf-16'")
        data = data.removeprefix(b"\xef\xbb\xbf")
        if not data.isascii():
            try:
                data.decode()
            except UnicodeDecodeError as error:
                line = data.count(b"\n", 0, error.start) + 1
                raise DataError(
                    f"{source}: line {line}: byte 0x{data[error.start]:02x} at offset {error.start} is not UTF-8; "
                    "pass encoding='cp1252' (Windows; --encoding cp1252) or 'latin-1', or save the file as UTF-8"
                ) from error
    else:
        try:
            data = data.decode(encoding).removeprefix("\ufeff").encode()
        except LookupError as error:
            raise DataError(
                f"encoding={encoding!r} is not known to Python; pass for instance 'utf-8' or 'cp1252'"
            ) from error
        except UnicodeDecodeError as error:
            raise DataError(f"{source}: offset {error.start} is not {encoding}; pass the file's encoding=") from error
    if (offset := data.find(b"\0")) >= 0:
        raise DataError(
            f"{source}: holds a zero byte at offset {offset}: not a text file; pass encoding='utf-16' if it is one"
        )
    return data


def _read_parquet(data: bytes, source: str) -> RawTable:
    try:
        frame = pl.read_parquet(io.BytesIO(data))
    except _POLARS_FAILS as error:
        raise DataError(f"{source}: damaged Parquet file ({_first_line(error)}); fetch or write it again") from error
    if frame.is_empty():
        raise DataError(f"{source}: the table has {frame.width} columns and no rows")
    return RawTable(frame, source, False, lambda rows: [f"row {row}" for row in rows])


def _read_jsonl(data: bytes, source: str) -> RawTable:
    if not data.strip():
        raise DataError(f"{source}: the file is empty; JSON Lines holds one object a line")
    try:
        frame = pl.read_ndjson(data, infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        _diagnose_jsonl(data, source)
        raise DataError(
            f"{source}: not read as JSON Lines ({_first_line(error)}); write one flat object a line"
        ) from error
    if frame.is_empty() or not frame.width:
        raise DataError(f"{source}: the objects have no values; write one flat object a line")

    def locate(rows: Sequence[int]) -> list[str]:
        held = [number for number, line in enumerate(data.splitlines(), 1) if line.strip()]
        return [f"line {held[row]}" for row in rows]

    return RawTable(frame, source, True, locate)


def _diagnose_jsonl(data: bytes, source: str) -> None:
    """Raise for the first line that is not one flat JSON object whose values fit those before it."""
    kinds: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        where = f"{source}: line {number}"
        try:
            value = json.loads(line, parse_constant=lambda token: token)
        except json.JSONDecodeError as error:
            if number == 1 and line.strip() in (b"[", b"{"):
                raise DataError(f"{where}: is one JSON document; write JSON Lines, one object a line") from error
            raise DataError(
                f"{where}: invalid JSON ({error.msg} at column {error.colno}); write one object a line"
            ) from error
        if not isinstance(value, dict):
            raise DataError(
                f"{where}: holds a JSON {type(value).__name__} where an object is expected; write one object a line"
            )
        for key, cell in value.items():
            if isinstance(cell, str) and cell in ("NaN", "Infinity", "-Infinity") and f'"{cell}"'.encode() not in line:
                raise DataError(f"{where}: {key!r} is {cell}, which JSON does not have; write null for missing")
            if isinstance(cell, float) and abs(cell) == float("inf"):
                raise DataError(f"{where}: {key!r} is too large for a float; write null for missing")
            if cell is None:
                continue
            kind = {int: "number or text", float: "number or text", str: "number or text"}.get(
                type(cell), type(cell).__name__
            )
            before, at = kinds.setdefault(key, (kind, number))
            if before != kind:
                raise DataError(
                    f"{where}: {key!r} is a {kind} but was a {before} on line {at}; write one type a column"
                )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
