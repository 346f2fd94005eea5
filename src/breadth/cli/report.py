"""`breadth report`: stored comparisons as one HTML page."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

NEEDED = ("jinja2", "markupsafe", "matplotlib")


def report(
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("breadth-report.html"),
    open_: Annotated[bool, Parameter(name="--open", negative="")] = False,
    db: Path = Path("breadth.sqlite"),
) -> None:
    """Turn stored comparisons into one HTML page.

    The page holds its plots and its style, asks no other host for anything, and is the same for the same rows.

    Args:
        output: the file to write; one of that name is replaced.
        open_: show it in the browser.
        db: the database that `breadth compare` writes.
    """
    try:
        from breadth.evidence.report import render
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in NEEDED:
            raise
        raise ImportError(
            f'the report needs {missing.name}, which is not installed: pip install "breadth[compare]"'
        ) from None
    from breadth.evidence.store import Store

    if output.is_dir():
        raise ValueError(f"--output {output} is a folder; name a file in it, such as {output / 'breadth-report.html'}")
    if not output.parent.is_dir():
        raise ValueError(f"--output {output}: the folder {output.parent} does not exist; create it first")
    with Store(db, must_exist=True) as store:
        studies = [store.load_study(row.id) for row in store.studies()]
    output.write_text(render(studies), encoding="utf-8")
    counted = f"{len(studies)} {'study' if len(studies) == 1 else 'studies'}"
    print(f"{output}: {counted} from {db}")
    if open_ and not webbrowser.open(output.resolve().as_uri()):
        raise OSError(f"--open found no browser; open {output} yourself")
