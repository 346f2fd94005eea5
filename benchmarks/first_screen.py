"""The README's table of ratios: a choice of rows of RESULTS.md, copied between two marks."""

from __future__ import annotations

import re
from pathlib import Path

BEGIN, END = "<!-- ratios: begin (benchmarks/RESULTS.md) -->", "<!-- ratios: end -->"
SHOWN = {  # as RESULTS.md names the work: as README does
    "fit 500,000 x 28": "boosting fit, 500,000 x 28",
    "fit 100,000 x 100": "boosting fit, 100,000 x 100",
    "fit 100 x 28": "boosting fit, 100 x 28",
    "fit 2,000 x 28": "boosting fit, 2,000 x 28",
    "predict_proba 50,000 x 28": "boosting predict_proba, 50,000 x 28",
    "tree fit, 50,000 x 28": "tree fit, 50,000 x 28",
    "forest fit, 50,000 x 28": "forest fit, 50,000 x 28",
    "forest predict_proba, 50,000 x 28": "forest predict_proba, 50,000 x 28",
}


def block(results: str) -> str:
    """The rows of the report that README shows, and how many bars are met.

    Args:
        results: the text of RESULTS.md.

    Raises:
        ValueError: if the text is no report.
    """
    lines = ["| what | beside | ratio | quartiles |", "|---|---|---|---|"]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in results.splitlines() if line[:2] == "| "]
    for what, name in SHOWN.items():
        found = [row for row in rows if row[0] == what]
        lines += [f"| {name} | {row[1]} | {row[4]} | {row[5]} |" for row in found]
    met = re.search(r"^(\d+) of (\d+) bars are met\.$", results, re.MULTILINE)
    if met is None:
        raise ValueError("RESULTS.md does not say how many bars are met")
    short = int(met[2]) - int(met[1])
    told = (
        f"All {met[2]} bars are met."
        if not short
        else f"{met[0]} The page says which {short} {'is' if short == 1 else 'are'} not."
    )
    return "\n".join([BEGIN, *lines, "", f"{told} That page also says where a peer is faster.", END])


def update(readme: Path, results: str) -> None:
    """Put `block(results)` between the marks of the README."""
    text = readme.read_text()
    before, rest = text.split(BEGIN)
    readme.write_text(before + block(results) + rest.split(END)[1])
