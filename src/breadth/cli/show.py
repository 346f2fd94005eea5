"""`breadth show`: everything that the project says about one row of the canon."""

from __future__ import annotations

import textwrap
from pathlib import Path

from breadth import canon
from breadth.canon import Row


def show(id_: str, /) -> None:
    """Explain one row of the canon: docstring, source, peer, test, errata.

    Args:
        id_: the row's id, as `breadth ls` prints it.
    """
    row = canon.find(id_)
    print(f"{row.title}\n{'=' * len(row.title)}")
    print("\n".join(_facts(row)))
    for erratum in row.errata:
        print()
        print(textwrap.fill(f"Erratum: {erratum}", width=100, subsequent_indent="         "))
    if row.status == "finished":
        for path in row.objects:
            print(f"\n{_explained(path)}")


def _facts(row: Row) -> list[str]:
    served = f"{row.status} by {', '.join(row.objects)}" if row.status == "served" else row.status
    facts = {
        "id": row.id,
        "section": f"{row.section} ({canon.chapters()[row.chapter]})",
        "kind": row.kind,
        "does": row.must,
        "status": served,
        "peer": row.peer,
        "grade": {
            "A": "A, an independent package",
            "B": "B, a closed form or brute force",
            "C": "C, behaviour only",
        }.get(row.grade or "", ""),
        "test": row.test,
        "compare": f"breadth compare {row.comparison}" if row.comparison else "",
    }
    return [f"{name + ':':<9} {value}" for name, value in facts.items() if value]


def _explained(object_path: str) -> str:
    source = canon.resolve(object_path)
    heading = f"{object_path}\n{'-' * len(object_path)}\n{_readable(source.path)}:{source.line}"
    signature = f"\n\n{source.signature}" if source.signature else ""
    return f"{heading}{signature}\n\n{source.docstring or '(no docstring)'}"


def _readable(path: Path) -> str:
    """Relative to where the reader stands when it lies below, so that the terminal can open it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
