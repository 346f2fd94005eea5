"""A study as Markdown for people, JSON and CSV for programs; every number comes from stored cells."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from breadth.evidence.report_format import NONE, around, duration, number, p_value, ratio, size
from breadth.evidence.study import Measure, Study, Table
from breadth.evidence.verdict import FEWEST, Ranking, Speed, Verdict, judge, rank, speed


def as_markdown(study: Study) -> str:
    """Tables that read well in a terminal and on a page: a row per contender, natural signs, an arrow to the better."""
    first = study.measures[0]
    verdicts, speeds = judge(study), {(s.table, s.contender): s for s in speed(study)}
    means = _means(study)
    lines = [
        f"# {study.name}: {study.question} (tuning: {study.signature.get('tuning', 'not said')})",
        "",
        f"Verdicts by {first.name} {first.arrow} against {study.baseline}, on this data at this budget.",
    ]
    for table in study.tables:
        rows = [v for v in verdicts if v.table == table.name]
        header = _header(study, table)
        body = [_row(study, table, v, speeds.get((table.name, v.contender)), means) for v in rows]
        lines += ["", f"## {_regime(table)}", "", *_aligned([header, *body]), ""]
        lines += [f"- {v.call} {v.contender}: {v.reason}" for v in rows if v.reason]
    lines += _ranks(rank(study), first)
    lines += _unrun(study)
    lines += ["", *_legend(study)]
    return "\n".join(lines) + "\n"


def as_json(study: Study) -> str:
    """One object with everything that the Markdown shows, unrounded; what is not known is null."""
    speeds = {(s.table, s.contender): s for s in speed(study)}
    means = _means(study)
    verdicts = judge(study)
    record = {
        "comparison": study.name,
        "question": study.question,
        "baseline": study.baseline,
        "measures": [{"name": m.name, "direction": m.direction, "unit": m.unit} for m in study.measures],
        "tables": [
            {
                **{
                    name: getattr(table, name)
                    for name in ("name", "task", "n_rows", "n_features", "n_classes", "note", "rate_unit")
                },
                "results": [
                    _result(study, v, speeds.get((table.name, v.contender)), means)
                    for v in verdicts
                    if v.table == table.name
                ],
            }
            for table in study.tables
        ],
        "ranking": _ranking_record(rank(study)),
        "failures": [
            {
                "stage": c.stage,
                "table": c.table,
                "contender": c.contender,
                "repeat": c.repeat,
                "fold": c.fold,
                "error": c.error,
            }
            for c in study.cells
            if c.status == "failed"
        ],
        "not_run": [
            {"stage": u.stage, "table": u.table, "contender": u.contender, "cells": u.count} for u in study.unrun
        ],
        "signature": study.signature,
    }
    return json.dumps(_without_nan(record), indent=2, ensure_ascii=False)


def as_csv(study: Study) -> str:
    """One line per data set and contender; empty where there is no number."""
    speeds = {(s.table, s.contender): s for s in speed(study)}
    means = _means(study)
    rows = []
    for v in judge(study):
        result = _result(study, v, speeds.get((v.table, v.contender)), means)
        measures = result.pop("measures")
        result.pop("settings")
        rows.append({"table": v.table, **result, **{m.name: measures.get(m.name) for m in study.measures}})
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: "" if _absent(v) else v for k, v in row.items()} for row in rows)
    return text.getvalue()


def _costs(study: Study, table: Table) -> dict[str, Callable[[Speed], str]]:
    """Columns of a table's costs: none without a speed pass, those of fits only where they were timed."""
    names = {name for c in study.cells if (c.stage, c.table) == ("speed", table.name) for name in c.values}
    fits = {"fit": lambda s: duration(s.fit_seconds), "fit ÷ base": lambda s: ratio(s.fit_ratio)}
    return {
        **(fits if "fit_seconds" in names else {}),
        **({"predict ÷ base": lambda s: ratio(s.predict_ratio)} if _timed(study) else {}),
        **({"memory": lambda s: size(s.peak_bytes)} if _timed(study) else {}),
        **({"model": lambda s: size(s.model_bytes)} if "model_bytes" in names else {}),
        **({f"{table.rate_unit} ↑": lambda s: number(s.rate)} if _timed(study) and table.rate_unit else {}),
    }


def _timed(study: Study) -> bool:
    return any(c.stage == "speed" for c in study.cells)


def _header(study: Study, table: Table) -> list[str]:
    others = [f"{m.name} {m.arrow}" for m in study.measures[1:]]
    first = study.measures[0]
    return [
        "contender",
        f"{first.name} {first.arrow}",
        "− baseline [95 %]",
        "verdict",
        "p (Holm)",
        *others,
        *_costs(study, table),
    ]


def _row(study: Study, table: Table, v: Verdict, s: Speed | None, means: dict) -> list[str]:
    value = f"{number(v.mean, 4)} ± {number(v.se, 2)}" if not math.isnan(v.mean) else NONE
    difference = " ".join(around(v.difference, v.low, v.high)) if not math.isnan(v.difference) else NONE
    others = [number(means[v.table, v.contender].get(m.name, math.nan), 4) for m in study.measures[1:]]
    cost = [NONE if s is None else write(s) for write in _costs(study, table).values()]
    if v.call == "FAILED":
        others = [NONE] * len(others)
    call = (
        f"{v.call} (sees ≥ {number(v.smallest, 2)})" if v.call == "CAN'T TELL" and v.smallest == v.smallest else v.call
    )
    return [v.contender, value, difference, call, p_value(v.p), *others, *cost]


def _regime(table: Table) -> str:
    classes = f", {table.n_classes} classes" if table.task == "multiclass" else ""
    note = f" ({table.note})" if table.note else ""
    return f"{table.name}: {table.shape}, {table.task}{classes}{note}"


def _ranks(ranking: Ranking | None, measure: Measure) -> list[str]:
    if ranking is None:
        return []
    order = np.argsort(ranking.ranks, kind="stable")
    rows = [["contender", "average rank", "p vs baseline (Holm)"]]
    rows += [[ranking.contenders[i], f"{ranking.ranks[i]:.2f}", p_value(ranking.p_versus_baseline[i])] for i in order]
    tell = "the ranks differ" if ranking.tells else "the ranks do not tell the contenders apart"
    if ranking.test.n < FEWEST:
        tell = f"fewer than {FEWEST} data sets, so no general verdict"
    p = p_value(ranking.test.p_f)
    lines = ["", f"## Over {ranking.test.n} data sets, by {measure.name}", "", *_aligned(rows), ""]
    lines.append(
        f"Friedman (Iman–Davenport) F = {number(ranking.test.f)}, p {p if p.startswith('<') else f'= {p}'}: {tell}; "
        f"any two differ beyond {ranking.critical_difference:.2f} ranks (Nemenyi, 5 %)."
    )
    if ranking.left_out:
        lines.append(f"Left out, without a value on every data set: {', '.join(ranking.left_out)}.")
    return lines


def _unrun(study: Study) -> list[str]:
    if not study.unrun:
        return []
    total = sum(u.count for u in study.unrun)
    by_table: dict[tuple[str, str], list[str]] = defaultdict(list)
    for u in study.unrun:
        by_table[u.stage, u.table].append(f"{u.contender} × {u.count}")
    lines = ["", f"NOT RUN: {total} cells, because the budget was spent or the run was interrupted:"]
    return [*lines, *(f"- {stage} on {table}: {', '.join(names)}" for (stage, table), names in by_table.items())]


def _legend(study: Study) -> list[str]:
    first = study.measures[0]
    of = " of the target's standard deviation" if first.margin_of == "target spread" else ""
    lines = [
        f"- ± is the standard error, corrected for overlapping training sets (Nadeau–Bengio); the difference to "
        f"{study.baseline} carries its corrected 95 % interval. BETTER, WORSE: the Holm-adjusted p < 0.05. EQUIVALENT: "
        f"inside ±{first.margin:g}{of}, shown by two one-sided tests. `sees ≥` is the smallest difference that this "
        "budget finds 8 times in 10.",
    ]
    lines += [
        "- Times: medians of the serial pass; ÷ base: median of ratios to the baseline in the same round. Memory: "
        "growth of the process at its peak during fit (where fits are not timed: during prediction). Model: bytes of "
        "the pickle.",
    ] * _timed(study)
    lines += [f"- {name}: {value}" for name, value in study.signature.items() if name != "tuning"]
    return lines


def _means(study: Study) -> dict[tuple[str, str], dict[str, float]]:
    """(table, contender) -> mean of every measure over the quality cells that have it."""
    values: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for cell in study.cells:
        if cell.stage == "quality" and cell.status == "ok":
            for m in study.measures:
                if m.name in cell.values:
                    values[cell.table, cell.contender][m.name].append(cell.values[m.name])
    found = {where: {name: float(np.mean(v)) for name, v in each.items()} for where, each in values.items()}
    return defaultdict(dict, found)


def _result(study: Study, v: Verdict, s: Speed | None, means: dict) -> dict[str, Any]:
    contender = next(c for c in study.contenders if c.name == v.contender)
    names = ("mean", "se", "n", "difference", "low", "high", "p", "smallest", "margin", "reason")
    times = (
        "fit_seconds",
        "predict_seconds",
        "fit_ratio",
        "predict_ratio",
        "peak_bytes",
        "model_bytes",
        "rate",
        "rounds",
    )
    return {
        "contender": v.contender,
        "origin": contender.origin,
        "settings": contender.settings,
        "verdict": v.call,
        "measure": v.measure,
        **{name: getattr(v, name) for name in names},
        "measures": means[v.table, v.contender],
        **{name: getattr(s, name) if s is not None else None for name in times},
    }


def _ranking_record(ranking: Ranking | None) -> dict[str, Any] | None:
    if ranking is None:
        return None
    return {
        "measure": ranking.measure,
        "data_sets": ranking.test.n,
        "average_ranks": dict(zip(ranking.contenders, ranking.ranks, strict=True)),
        "p_versus_baseline": dict(zip(ranking.contenders, ranking.p_versus_baseline, strict=True)),
        "iman_davenport_f": ranking.test.f,
        "p": ranking.test.p_f,
        "tells": ranking.tells,
        "nemenyi_critical_difference": ranking.critical_difference,
        "left_out": list(ranking.left_out),
    }


def _without_nan(value: Any) -> Any:
    """JSON has no NaN and no infinity: null stands for both."""
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _aligned(rows: list[list[str]]) -> list[str]:
    """A Markdown table whose columns line up; all but the first and the verdict are numbers and stand right."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(len(row[j]) for row in rows) for j in range(len(rows[0]))]
    left = {j for j, title in enumerate(rows[0]) if title in ("contender", "verdict")}

    def line(row: Iterable[str]) -> str:
        cells = (c.ljust(w) if j in left else c.rjust(w) for j, (c, w) in enumerate(zip(row, widths, strict=True)))
        return f"| {' | '.join(cells)} |"

    rule = "|".join("-" * (w + 2) if j in left else "-" * (w + 1) + ":" for j, w in enumerate(widths))
    return [line(rows[0]), f"|{rule}|", *(line(row) for row in rows[1:])]
