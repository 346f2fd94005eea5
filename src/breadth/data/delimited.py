"""CSV, TSV and their kin as a table of text, every cell still a string.

polars reads the file. Python's csv module, which is slow and exact, is called in only to find the line where the two
sides disagree, and to read the dialects that polars does not speak (a quote after a blank: `1, "a, b"`).
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import polars as pl

from breadth.data.dataset import DataError

DELIMITERS = (",", "\t", ";", "|")
SNIFFED_ROWS = 200
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class RawTable:
    """Columns as the file holds them, and a way to say where a row came from."""

    frame: pl.DataFrame
    source: str  # the file, for messages
    is_text: bool  # strings may be numbers: the format has no types, or is loose about them
    locate: Callable[[Sequence[int]], list[str]]  # ascending row positions -> "line 7"
    warnings: tuple[str, ...] = ()
    has_names: bool = True  # the file names its columns


def read_delimited(data: bytes, source: str, *, header: bool, delimiter: str | None, quote: str) -> RawTable:
    """Split UTF-8 text into columns of strings; empty cells are null.

    Args:
        data: the file's content, UTF-8 without a byte order mark.
        source: the file's name, for messages.
        header: whether the first line names the columns; without it they are c0, c1, ...
        delimiter: one character, or None to find it among comma, tab, semicolon and pipe.
        quote: character around cells that hold the delimiter.

    Raises:
        DataError: if the file is empty or holds only a header, a line has too many or too few cells, a quote is never
            closed, or a column name occurs twice.
    """
    for argument, value in (("delimiter", delimiter), ("quote", quote)):
        if value is not None and (len(value) != 1 or not value.isascii() or value in "\r\n"):
            raise DataError(f"{argument}={value!r} is not one ASCII character; pass for instance ',' or '\"'")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lead = len(data) - len(data.lstrip(b"\n"))
    if data.endswith(b"\n\n") or not data.endswith(b"\n"):
        data = data.rstrip(b"\n") + b"\n"  # an empty cell too many before the file's end would go unseen
    first_line = 1 + data[:lead].count(b"\n")
    data = data[lead:] if lead else data
    if not data or data.isspace():
        raise DataError(f"{source}: the file is empty; a table needs a header and at least two rows")
    text = _Text(data, source, first_line, delimiter or sniff_delimiter(data, quote), quote)

    _, first = next(text.records())
    if not any(cell.strip() for cell in first):
        raise DataError(
            f"{source}: line {first_line} is blank where the {'header' if header else 'first row'} is expected; "
            "delete it"
        )
    names, notes = _names(first, header, text)
    frame, blank = _split(text, len(names), header)
    frame.columns = names
    if blank:
        frame = frame.with_row_index("").filter(~pl.col("").is_in(blank)).drop("")
    if frame.is_empty():
        mend = "pass header=False (--no-header) if the first line is data"
        raise DataError(f"{source}: the file has a header and no rows; {mend}")

    def locate(rows: Sequence[int]) -> list[str]:
        wanted, lines, row = list(rows), [], 0
        for line, fields in islice(text.records(), int(header), None):
            if not fields and len(names) > 1:
                continue  # a blank line is no row
            if len(lines) < len(wanted) and row == wanted[len(lines)]:
                lines.append(f"line {line}")
            if len(lines) == len(wanted):
                break
            row += 1
        return lines

    return RawTable(frame, source, True, locate, notes, header)


def sniff_delimiter(data: bytes, quote: str = '"') -> str:
    """The delimiter that splits most of the first lines into the same number of cells; comma if none does."""
    sample = data[:MIB]
    if len(data) > MIB:
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    best, best_key = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        rows = islice(_Text(sample, "", 1, delimiter, quote).records(), SNIFFED_ROWS)
        widths = Counter(len(fields) for _, fields in rows if fields)
        width, count = widths.most_common(1)[0]
        key = (count / widths.total(), width)
        if width > 1 and key > best_key:
            best, best_key = delimiter, key
    return best


@dataclass(frozen=True, slots=True)
class _Text:
    data: bytes
    source: str
    first_line: int
    delimiter: str
    quote: str

    def records(self, *, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
        """(line where the record starts, cells) by the csv module, blank lines included as []."""
        stream = io.TextIOWrapper(io.BytesIO(self.data), "utf-8", errors="replace", newline="")
        reader = csv.reader(
            stream, delimiter=self.delimiter, quotechar=self.quote, skipinitialspace=True, strict=strict
        )
        line = self.first_line
        try:
            for fields in reader:
                yield line, [] if len(fields) == 1 and not fields[0].strip() else fields
                line = self.first_line + reader.line_num
        except csv.Error as error:
            raise DataError(f"{self.source}: line {line}: {error}; close the quote, or pass another quote=") from error


def _names(first: list[str], header: bool, text: _Text) -> tuple[list[str], tuple[str, ...]]:
    if not header:
        return [f"c{j}" for j in range(len(first))], ()
    where = f"{text.source}: line {text.first_line}"
    names = [cell.strip().strip(text.quote) for cell in first]
    names = [name or f"c{j}" for j, name in enumerate(names)]
    numbers = [name for name in names if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", name)]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        mend = "if the first line is data, pass header=False (--no-header)" if numbers else "rename one of them"
        raise DataError(f"{where}: duplicate column name {', '.join(map(repr, twice))}; {mend}")
    if numbers and not _are_consecutive(numbers):
        return names, (
            f"The first line of {text.source} looks like data ({', '.join(numbers[:3])}, ...) but was read "
            "as the header; pass header=False (--no-header) if it is.",
        )
    return names, ()


def _are_consecutive(names: list[str]) -> bool:
    """Whether they are 0, 1, 2 ... or 2019, 2020 ...: positions or years, which do name columns."""
    if len(names) < 2 or not all(name.isdecimal() for name in names):
        return False
    values = [int(name) for name in names]
    return max(values) - min(values) == len(values) - 1


def _split(text: _Text, width: int, header: bool) -> tuple[pl.DataFrame, list[int]]:
    """Columns of strings, and which of its rows are blank lines."""
    if not _is_well_quoted(text):
        return _split_slowly(text, width, header), []
    try:
        frame = pl.read_csv(
            text.data,
            has_header=False,
            separator=text.delimiter,
            quote_char=text.quote,
            infer_schema=False,
        )
    except pl.exceptions.PolarsError as error:
        try:
            return _split_slowly(text, width, header), []
        except DataError as diagnosis:
            raise diagnosis from error
    if frame.width != width:
        return _split_slowly(text, width, header), []
    if header:
        frame = frame[1:]
    # polars raises on long rows and pads short ones, so only rows without a last cell are in doubt
    if width == 1 or frame.is_empty() or not frame[:, -1].has_nulls():
        return frame, []
    delimiters, lines = _count_outside_quotes(text)
    if delimiters == lines * (width - 1):
        return frame, []
    return frame, [i for i, (_, fields) in enumerate(_checked(text, width, header)) if not fields]


def _is_well_quoted(text: _Text) -> bool:
    """Whether every cell is quoted whole or not at all, so that no two readers can disagree on it (RFC 4180).

    Of the quotes, counted from 0, the even ones open a cell or follow their double, the odd ones close it or come
    before their double.
    """
    if text.quote.encode() not in text.data:
        return True
    data = np.frombuffer(text.data, np.uint8)
    quote = ord(text.quote)
    at = np.flatnonzero(data == quote)
    if len(at) % 2:
        return False
    before = np.where(at > 0, data[at - 1], ord("\n"))
    after = np.where(at + 1 < len(data), data[np.minimum(at + 1, len(data) - 1)], ord("\n"))
    edges = [ord(text.delimiter), ord("\n"), quote]
    return bool(np.isin(before[0::2], edges).all() and np.isin(after[1::2], edges).all())


def _count_outside_quotes(text: _Text) -> tuple[int, int]:
    """Delimiters and lines, those inside quoted cells left out; for well-quoted text."""
    data = np.frombuffer(text.data, np.uint8)
    quotes = np.flatnonzero(data == ord(text.quote))
    delimiters, ends = (
        int((np.searchsorted(quotes, np.flatnonzero(data == ord(mark))) % 2 == 0).sum())
        for mark in (text.delimiter, "\n")
    )
    return delimiters, ends


def _split_slowly(text: _Text, width: int, header: bool) -> pl.DataFrame:
    try:
        for _ in text.records(strict=True):
            pass
    except DataError as error:  # strict reading minds more than this, but the rest can be read
        if "unexpected end of data" in str(error):
            message = str(error).replace("unexpected end of data", "a quote is opened and never closed")
            raise DataError(message) from error
    rows = [fields for _, fields in _checked(text, width, header) if fields]
    frame = pl.DataFrame(rows, schema=[(f"c{j}", pl.String) for j in range(width)], orient="row")
    return frame.with_columns(pl.when(pl.all() != "").then(pl.all()))


def _checked(text: _Text, width: int, header: bool) -> Iterator[tuple[int, list[str]]]:
    """Records after the header, each proved to have `width` cells; blank lines pass."""
    for line, fields in islice(text.records(), int(header), None):
        if fields and len(fields) != width:
            what = "the header" if header else "the first line"
            raise DataError(
                f"{text.source}: line {line} has {len(fields)} cells where {what} has {width} "
                f"(delimiter {text.delimiter!r}); mend the line, or quote cells that hold the delimiter with "
                f"{text.quote}"
            )
        yield line, fields
