"""Write one page for each finished method, and an index of the canon: `python docs/build.py [FOLDER]`.

Everything on a page comes from the method's docstring and its row in `canon.toml`; nothing is written twice by hand.
Fails when a finished method has no docstring.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from breadth import canon
from breadth.canon import Row

DOCS = Path(__file__).parent
SOURCE_ROOT = canon.PACKAGE.parent.parent
GRADES = {"A": "independent package", "B": "closed form, brute force or float64", "C": "behaviour only"}


def page(row: Row) -> str:
    """Markdown for one finished method.

    Raises:
        ValueError: if an object of the row is not found in the sources, or has no docstring.
    """
    lines = [f"# {_plain(row.title)}", "", f"`{row.id}`, section {row.section}, {row.kind}: {_plain(row.must)}.", ""]
    lines += ["| checked against | grade | test |", "|---|---|---|"]
    lines += [f"| {_plain(row.peer)} | {row.grade}: {GRADES[row.grade or 'C']} | `{row.test}` |", ""]
    if row.comparison:
        lines += [f"On your own data: `breadth compare {row.comparison} --data FILE --target COLUMN`.", ""]
    for erratum in row.errata:
        lines += [f"> **Erratum.** {_plain(erratum)}", ""]
    for path in row.objects:
        source = canon.resolve(path)
        if not source.docstring:
            raise ValueError(f"{path} (row {row.id!r}) has no docstring: {source.path}:{source.line}")
        file = source.path.relative_to(SOURCE_ROOT).as_posix()
        lines += [f"## `{path}`", "", f"[{file}](../../{file}#L{source.line})", ""]
        if source.signature:
            lines += ["```python", source.signature, "```", ""]
        lines += ["```text", source.docstring, "```", ""]
    return "\n".join(lines)


def index() -> str:
    """Markdown for the whole canon, chapter by chapter, with a link to each page."""
    lines = ["# The canon", "", "What is finished has a page; what a library serves is named; the rest is planned.", ""]
    for number, title in canon.chapters().items():
        rows = [row for row in canon.rows() if row.chapter == number]
        done = sum(row.status == "finished" for row in rows)
        lines += [f"## {number}. {title} ({done} of {len(rows)} finished)", ""]
        for row in rows:
            if row.status == "finished":
                lines.append(f"- {row.section} [{_plain(row.title)}](methods/{row.id}.md)")
            elif row.status == "served":
                lines.append(f"- {row.section} {_plain(row.title)}: {', '.join(f'`{path}`' for path in row.objects)}")
            else:
                lines.append(f"- {row.section} {_plain(row.title)} (planned)")
        lines.append("")
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Text whose letters mean nothing to Markdown."""
    return re.sub(r"([\\*_<|`])", r"\\\1", text)


def main(folder: Path = DOCS) -> None:
    pages = {f"{row.id}.md": page(row) for row in canon.rows() if row.status == "finished"}
    methods = folder / "methods"
    methods.mkdir(parents=True, exist_ok=True)
    for stale in methods.glob("*.md"):
        if stale.name not in pages:
            stale.unlink()
    for name, text in pages.items():
        (methods / name).write_text(text, encoding="utf-8")
    (folder / "README.md").write_text(index(), encoding="utf-8")
    print(f"{len(pages)} pages and an index in {folder}")


if __name__ == "__main__":
    try:
        main(*map(Path, sys.argv[1:2]))
    except ValueError as error:
        sys.exit(f"docs: {error}")
