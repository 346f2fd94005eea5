"""The report's tables: the verdicts and the costs of one data set, ready to be read and sorted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from breadth.evidence.report_format import OURS, around, counted, duration, finite, number, p_value, ratio, short, size
from breadth.evidence.study import Contender, Measure, Study, Table
from breadth.evidence.verdict import Speed, Verdict, failures

CALLS = {  # verdict: (style, place when sorted)
    "BETTER": ("better", 0),
    "EQUIVALENT": ("same", 1),
    "BASELINE": ("unclear", 2),
    "CAN'T TELL": ("unclear", 3),
    "WORSE": ("worse", 4),
    "FAILED": ("failed", 5),
    "NOT RUN": ("failed", 6),
}


@dataclass(frozen=True, slots=True)
class Head:
    """A column's head; `kind` says how its cells are aligned and sorted."""

    label: str
    kind: str = "number"  # "text", "number", or "call" for verdicts
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A table cell: what is read, and what it is sorted by ("" sorts last)."""

    text: str
    sort: str
    badge: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A table row."""

    ours: bool
    tags: tuple[str, ...]
    cells: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """A sortable table with the notes beneath it."""

    caption: str
    heads: tuple[Head, ...]
    rows: tuple[Line, ...]
    notes: tuple[str, ...]


def quality(study: Study, table: Table, ordered: list[Contender], verdicts: dict) -> Grid:
    decides, *others = study.measures
    rows = []
    for c in ordered:
        v: Verdict = verdicts[decides.name][table.name, c.name]
        badge, place = CALLS[v.call]
        difference, interval = around(v.difference, v.low, v.high)
        rest = [verdicts[m.name][table.name, c.name] for m in others]
        cells = (
            Entry(c.name, c.name),
            Entry(v.call, str(place), badge, v.reason),
            _mean(v),
            Entry(difference, _key(v.difference)),
            Entry(interval, _key(v.low)),
            Entry(p_value(v.p), _key(v.p)),
            Entry(number(v.smallest), _key(v.smallest)),
            *(Entry(number(other.mean, 4), _key(other.mean)) for other in rest),
        )
        rows.append(_line(study, c, cells))
    heads = (
        Head("contender", "text"),
        Head("verdict", "call"),
        _head(decides),
        Head("difference", hint=f"contender − {study.baseline}, in the measure's own sign"),
        Head("95 % interval", hint="Nadeau–Bengio corrected"),
        Head("p", hint="two-sided, Holm-adjusted"),
        Head("could have seen", hint="smallest true difference that would be found 8 times in 10"),
        *(_head(m) for m in others),
    )
    margin = short(decides.margin_on(table))
    notes = [
        f"Verdicts are about {decides.name} on this data at this budget. Difference: contender − {study.baseline}, in "
        f"its natural sign. EQUIVALENT: surely within ±{margin}. Interval: corrected for overlapping training sets "
        "(Nadeau–Bengio). p: adjusted across contenders (Holm). Could have seen: the smallest true difference that "
        "would be found 8 times in 10. ±: corrected standard error.",
        *_more_failures(study, table, "quality"),
        *_unrun(study, table, "quality"),
    ]
    n = max((v.n for (t, _), v in verdicts[decides.name].items() if t == table.name), default=0)
    return Grid(f"Quality on held-out rows, {counted(n, 'split')}", heads, tuple(rows), tuple(notes))


def cost(study: Study, table: Table, timed: list[tuple[Contender, Speed]]) -> Grid:
    """Times and sizes; those of fits only where they were timed."""
    base, unit = f"÷ {study.baseline}", table.rate_unit
    fits = any(finite(s.fit_seconds) for _, s in timed)
    when = "fit" if fits else "prediction"
    columns = [
        (Head("fit ↓", hint="median over rounds"), duration, "fit_seconds"),
        (Head(base, hint="fit time over the baseline's in the same round, median over rounds"), ratio, "fit_ratio"),
        (Head("predict ↓", hint="median over rounds"), duration, "predict_seconds"),
        (Head(base, hint="predict time over the baseline's in the same round, median over rounds"), ratio,
         "predict_ratio"),
        (Head("peak memory ↓", hint=f"growth of the process at its peak during {when}"), size, "peak_bytes"),
        (Head("model size ↓", hint="bytes of the pickle"), size, "model_bytes"),
        (Head(f"{unit} ↑", hint="work of a prediction in a second, median over rounds"), number, "rate"),
    ]  # fmt: skip
    left_out = {"fit_seconds", "fit_ratio", "model_bytes"} if not fits else set()
    columns = [c for c in columns if c[2] not in left_out and (unit or c[2] != "rate")]
    heads = (Head("contender", "text"), *(head for head, _, _ in columns))
    rows = []
    for c, s in timed:
        name = Entry(c.name, c.name, note=f"FAILED: {s.reason}" if s.reason else "")
        numbers = [Entry(write(getattr(s, key)), _key(getattr(s, key))) for _, write, key in columns]
        rows.append(_line(study, c, (name, *numbers)))
    rounds = max(s.rounds for _, s in timed)
    notes = [
        "Measured one at a time, warm, in interleaved rounds, with nothing else running. Ratios are taken within a "
        "round, so that a machine that slows down slows down both; shown is their median.",
        *([f"Load: {study.signature['load']}."] if "load" in study.signature else []),
        *_more_failures(study, table, "speed"),
        *_unrun(study, table, "speed"),
    ]
    return Grid(f"Cost, {counted(rounds, 'round')}", heads, tuple(rows), tuple(notes))


def _mean(v: Verdict) -> Entry:
    text = number(v.mean, 4) + (f" ± {number(v.se, 2)}" if finite(v.mean, v.se) else "")
    return Entry(text, _key(v.mean))


def _key(value: float) -> str:
    return repr(float(value)) if finite(value) else ""


def _head(measure: Measure) -> Head:
    unit = f", {measure.unit}" if measure.unit else ""
    return Head(f"{measure.name}{unit} {measure.arrow}", hint=f"{measure.direction} is better")


def _line(study: Study, contender: Contender, cells: tuple[Entry, ...]) -> Line:
    tags = [contender.origin] if contender.origin.lower() not in contender.name.lower() else []
    if contender.name == study.baseline:
        tags.append("baseline")
    return Line(contender.origin == OURS, tuple(tags), cells)


def _more_failures(study: Study, table: Table, stage: str) -> list[str]:
    """Every distinct reason, where a contender failed for more than the one that its row gives."""
    seen = Counter((c.contender, c.error) for c in failures(study) if (c.table, c.stage) == (table.name, stage))
    reasons = Counter(name for name, _ in seen)
    return [f"{name} failed {times} ×: {error}" for (name, error), times in seen.items() if reasons[name] > 1]


def _unrun(study: Study, table: Table, stage: str) -> list[str]:
    return [
        f"{u.contender}: {counted(u.count, 'planned cell')} not run, stopped by the time limit or an interruption."
        for u in study.unrun
        if (u.table, u.stage) == (table.name, stage)
    ]
