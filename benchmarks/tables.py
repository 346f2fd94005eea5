"""The report: Markdown tables of rows beside their bars, with what they were taken on and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.harness import Row, Section, Unit

HEAD = ("what", "beside", "breadth", "peer", "figure", "quartiles", "range", "n", "bar", "verdict")


@dataclass(frozen=True, slots=True)
class Taken:
    """A section's rows, or why there are none, with its wall seconds and the load average (1 min) at its two ends."""

    section: Section
    rows: Sequence[Row]
    seconds: float
    load: tuple[float, float]
    when: str = ""  # and of which commit
    failure: str = ""


def number(value: float, unit: Unit) -> str:
    match unit:
        case "ratio":
            return f"{value:.2f} ×" if value < 10 else f"{value:.0f} ×"
        case "relative":
            return f"{value:+.3%}".replace("%", " %")
        case "seconds" | "CPU seconds":
            return f"{value:.2f} s" + (" CPU" if unit == "CPU seconds" else "")
        case "absolute":
            return f"{value:.1e}"
        case "count":
            return f"{value:,.0f}"


def cells(row: Row) -> list[str]:
    """One line of the table, in the order of `HEAD`."""
    figure = number(row.figure, row.unit)
    if row.error is not None:
        figure += f" ± {number(row.error, row.unit).lstrip('+')}"
    quartiles = spread = ""
    if row.spread is not None:
        quartiles = f"{number(row.spread.lower, row.unit)} to {number(row.spread.upper, row.unit)}"
        spread = f"{number(row.spread.least, row.unit)} to {number(row.spread.most, row.unit)}"
    bar = "" if row.allowed is None else f"<= {number(row.allowed, row.unit).lstrip('+')}"
    if row.bar != row.allowed:
        bar += " (2 s.e.)"
    verdict = row.verdict.replace("SHORT OF BAR", "**SHORT OF BAR**")
    return [row.what, row.peer, row.ours, row.theirs, figure, quartiles, spread, str(row.n), bar, verdict]


def table(rows: Sequence[Row]) -> str:
    lines = [HEAD, ("---",) * len(HEAD), *map(cells, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def summary(taken: Sequence[Taken]) -> str:
    """How many bars are met, and every row that is short of one or slower than its peer."""
    rows = [row for part in taken for row in part.rows]
    barred = [row for row in rows if row.bar is not None]
    met = [row for row in barred if row.verdict.startswith("OK")]
    lines = [f"{len(met)} of {len(barred)} bars are met."]
    for title, chosen in (
        ("Short of the bar", [row for row in barred if row not in met]),
        ("The peer is faster", [row for row in rows if row.verdict.endswith("is faster")]),
    ):
        lines += ["", f"{title}: none." if not chosen else f"{title}:", ""]
        lines += [f"- {row.what}{f' beside {row.peer}' if row.peer else ''}: {cells(row)[4]}" for row in chosen]
    lines += [f"- FAILED: section {part.section.name}" for part in taken if part.failure]
    return "\n".join(lines).rstrip()


def report(taken: Sequence[Taken], *, facts: Sequence[tuple[str, str]], warning: str = "") -> str:
    """The whole page as Markdown."""
    parts = ["# Speed and quality beside each peer", "Written by `make bench`; nothing here is typed in."]
    if warning:
        parts.append(f"**{warning}**")
    parts.append("\n".join(f"- {name}: {value}" for name, value in facts))
    parts.append(HOW)
    parts.append(summary(taken))
    for part in taken:
        parts += [f"## {part.section.title}", part.section.about]
        parts.append(f"FAILED:\n\n```\n{part.failure}\n```" if part.failure else table(part.rows))
        parts.append(
            f"Taken {part.when}, in {part.seconds:.0f} s (`--only {part.section.name}`); load average (1 min) "
            f"{part.load[0]:.2f} before, {part.load[1]:.2f} after."
        )
    return "\n\n".join(parts) + "\n"


HOW = """\
How times are taken: all contenders run in one process, in turn, and each repetition begins with the next of them; one
run of each beforehand does not count; garbage is collected before each run. A time is that of the whole call, from
constructing the estimator to its return, with each package's own validation. A ratio is our time / the peer's time of
the same repetition: below 1, ours is faster. The figure is the median over n repetitions (for losses the mean ± its
standard error), with the quartiles and the whole range beside it; the columns `breadth` and `peer` hold medians of
times or means of losses. A bar is the largest figure that counts as OK, and the verdict is computed from the two."""
