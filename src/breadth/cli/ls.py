"""`breadth ls`: the canon at a glance."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal, get_args

from cyclopts import Parameter

from breadth import canon
from breadth.canon import Row, Status

Form = Literal["table", "md", "json", "csv"]
COLUMNS = ("id", "section", "title", "status", "objects")


def ls(topic: str | None = None, *, output: Annotated[Form, Parameter(name=["--output", "-o"])] = "table") -> None:
    """List the canon: what is finished, served by a library, planned.

    Args:
        topic: a section with those below it (1.3), a kind (metric), a status (finished), or any part of an id or
            title; all rows when left out.
        output: a table for reading, or Markdown, JSON or CSV for other programs.
    """
    rows = canon.select(topic)
    if output == "json":
        records = [{name: getattr(row, name) for name in COLUMNS} for row in rows]
        print(json.dumps(records, indent=2, ensure_ascii=False))
    elif output == "csv":
        print(_csv(rows), end="")
    elif output == "md":
        print(_markdown(rows))
    else:
        print(_table(rows))


def _counts(rows: Sequence[Row]) -> str:
    counts = Counter(row.status for row in rows)
    return f"{len(rows)} row{'s' * (len(rows) > 1)}: " + ", ".join(
        f"{counts[status]} {status}" for status in reversed(get_args(Status))
    )


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((row.id, row.section, row.title, row.status, " ".join(row.objects)) for row in rows)
    return text.getvalue()


def _markdown(rows: Sequence[Row]) -> str:
    lines = ["| section | id | title | status | objects |", "|---|---|---|---|---|"]
    for row in rows:
        objects = ", ".join(f"`{path}`" for path in row.objects)
        title = row.title.replace("|", "\\|")
        lines.append(f"| {row.section} | `{row.id}` | {title} | {row.status} | {objects} |")
    return "\n".join([*lines, "", _counts(rows)])


def _table(rows: Sequence[Row]) -> str:
    widest = max(len(row.id) for row in rows)
    lines = []
    chapter = ""
    for row in rows:
        if row.chapter != chapter:
            chapter = row.chapter
            lines += ["", f"{chapter}  {canon.chapters()[chapter]}"]
        lines.append(f"{row.section:<7} {row.status:<9} {row.id:<{widest}}  {row.title}")
    return "\n".join([*lines[1:], "", _counts(rows)])
