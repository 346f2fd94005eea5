"""The report's figures: which plots a data set gets, what each says in words, and where it holds."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from breadth.evidence import report_plots as plots
from breadth.evidence.report_format import OURS, around, finite, number, ratio, short, size
from breadth.evidence.study import Contender, Study, Table
from breadth.evidence.verdict import Ranking, Speed, Verdict


@dataclass(frozen=True, slots=True)
class Drawing:
    """A plot with what it shows, and where that holds."""

    title: str
    svg: Markup
    caption: str


def quality_figures(
    study: Study, table: Table, ident: str, judged: list[tuple[Contender, Verdict]]
) -> tuple[Drawing, ...]:
    measure = study.measures[0]
    drawings = []
    rows = [
        plots.Interval(c.name, c.origin == OURS, v.difference, v.low, v.high)
        for c, v in judged
        if finite(v.difference, v.low)
    ]
    if rows:
        title = f"Difference in {measure.name} to {study.baseline}"
        alt = f"{title} on {table.name}. " + "; ".join(
            f"{r.name} {' '.join(around(r.difference, r.low, r.high))}" for r in rows
        )
        margin = measure.margin_on(table)
        better = "left" if measure.direction == "lower" else "right"
        svg = plots.intervals(
            rows, margin=margin, label=f"better is {measure.direction}, to the {better}", ident=f"{ident}d", alt=alt
        )
        absent = [f"{c.name} ({v.call})" for c, v in judged if not finite(v.difference) and v.call != "BASELINE"]
        caption = f"Dot: mean. Line: corrected 95 % interval. Band: ±{short(margin)}, too small to matter. "
        caption += f"Not drawn: {', '.join(absent)}. " if absent else ""
        drawings.append(Drawing(title, Markup(svg), caption + _where(table)))
    staged = {cell.contender for cell in study.cells if cell.curve}  # on any data set: so that colours stay the same
    curves = [_curve(study, table, c) for c in study.contenders if c.name in staged]
    known = [curve for curve in curves if any(finite(v) for v in curve.values)]
    if known:
        title = f"Held-out {measure.name} while learning"
        alt = f"{title} on {table.name}. Last values: " + "; ".join(f"{c.name} {number(c.values[-1])}" for c in known)
        svg = plots.curves(curves, label=measure.name, direction=measure.direction, ident=f"{ident}c", alt=alt)
        caption = "Mean over splits. The first eighth of the iterations may lie beyond the axis. " + _where(table)
        drawings.append(Drawing(title, Markup(svg), caption))
    return tuple(drawings)


def cost_figures(study: Study, table: Table, ident: str, timed: list[tuple[Contender, Speed]]) -> tuple[Drawing, ...]:
    names, ours = [c.name for c, _ in timed], [c.origin == OURS for c, _ in timed]
    speeds = [s for _, s in timed]
    absent = tuple("FAILED" if s.reason else "not measured" for s in speeds)
    wanted = (
        (
            f"Time as a multiple of {study.baseline}'s",
            "Log axis; left of the line is faster. Arrow: far beyond the axis. ",
            "r",
            (("fit", "fit_ratio", ratio, short, 1.0), ("predict", "predict_ratio", ratio, short, 1.0)),
        ),
        (
            "Memory and model size",
            "Log axis; less is better. Arrow: far beyond the axis. ",
            "m",
            (("peak memory", "peak_bytes", size, size, None), ("model", "model_bytes", size, size, None)),
        ),
    )
    drawings = []
    for title, reading, suffix, columns in wanted:
        panels = [
            plots.Panel(name, tuple(getattr(s, key) for s in speeds), write, mark, absent, reference)
            for name, key, write, mark, reference in columns
            if any(getattr(s, key) > 0 for s in speeds)
        ]
        if not panels:
            continue
        alt = f"{title} on {table.name}. " + "; ".join(
            f"{name} " + ", ".join(f"{p.title} {p.write(p.values[i])}" for p in panels) for i, name in enumerate(names)
        )
        svg = plots.dots(names, ours, panels, ident=f"{ident}{suffix}", alt=alt)
        drawings.append(Drawing(title, Markup(svg), reading + _where(table)))
    return tuple(drawings)


def ranking_figure(study: Study, ranking: Ranking, ident: str) -> Drawing:
    order = sorted(range(len(ranking.ranks)), key=lambda i: ranking.ranks[i])
    mine = {c.name: c.origin == OURS for c in study.contenders}
    names, values = [ranking.contenders[i] for i in order], [ranking.ranks[i] for i in order]
    title = f"Average rank in {ranking.measure}"
    alt = f"{title}. " + "; ".join(f"{name} {value:.2f}" for name, value in zip(names, values, strict=True))
    svg = plots.ranks(names, [mine[n] for n in names], values, ident=f"{ident}k", alt=alt)
    where = ", ".join(t.name for t in study.tables)
    return Drawing(title, Markup(svg), f"Over {where}.")


def _curve(study: Study, table: Table, contender: Contender) -> plots.Curve:
    """Mean over splits up to the shortest curve, so that every point averages the same splits."""
    runs = [
        cell.curve
        for cell in study.cells
        if (cell.stage, cell.table, cell.contender, cell.status) == ("quality", table.name, contender.name, "ok")
        and cell.curve
    ]
    means = tuple(sum(step) / len(runs) for step in zip(*runs, strict=False))
    return plots.Curve(contender.name, contender.origin == OURS, means)


def _where(table: Table) -> str:
    return f"{table.name}: {table.shape}, {table.task}."
