"""One HTML page from stored studies: what was asked, what was found, and under which conditions.

The page is a pure function of its studies: the same rows give the same bytes. It holds its own style, plots and few
lines of script, and asks no other host for anything.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment, StrictUndefined

from breadth.evidence.report_figures import Drawing, cost_figures, quality_figures, ranking_figure
from breadth.evidence.report_format import OURS, around, counted, finite, number, p_value, ratio, short
from breadth.evidence.report_tables import CALLS, Grid, cost, quality
from breadth.evidence.study import Contender, Study, Table
from breadth.evidence.verdict import Ranking, Speed, Verdict, judge, rank, speed

MANY_TABLES = 4  # data sets from which the head of the page counts verdicts, and each data set tells its own
ENOUGH_FOR_RANKS = 5  # data sets below which average ranks say nothing (Demšar 2006, section 3.2.2)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A verdict in plain words; the call stands out between two halves."""

    before: str
    verdict: str
    after: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class TableView:
    """Everything that the page says about one data set."""

    ident: str
    name: str
    regime: str
    sentences: tuple[Sentence, ...]
    quality: Grid
    quality_figures: tuple[Drawing, ...]
    cost: Grid | None
    cost_figures: tuple[Drawing, ...]


@dataclass(frozen=True, slots=True)
class StudyView:
    """Everything that the page says about one question."""

    ident: str
    question: str
    summary: str
    sentences: tuple[Sentence, ...]
    friedman: str
    ranks: Drawing | None
    tables: tuple[TableView, ...]
    signature: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Page:
    """The whole page."""

    title: str
    summary: str
    contents: bool  # whether there is enough on the page for a list of contents
    studies: tuple[StudyView, ...]


def render(studies: Sequence[Study]) -> str:
    """Write the studies as one self-contained HTML page.

    Args:
        studies: what was measured, in the order of the page; none gives a page that says how to measure something.

    Returns:
        HTML text, the same for the same studies.

    Cost: about a second for each data set, nearly all of it matplotlib's.
    In production: `breadth report` calls this with all that the database holds.
    """
    views = tuple(_study(study, f"s{i}") for i, study in enumerate(studies, 1))
    n_tables = sum(len(view.tables) for view in views)
    page = Page(
        title="breadth report" + (f": {studies[0].question}" if len(studies) == 1 else ""),
        summary=f"{counted(len(views), 'question')}, {counted(n_tables, 'data set')}",
        contents=n_tables > 1,
        studies=views,
    )
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["sha256"] = _sha256
    template = resources.files("breadth.evidence").joinpath("report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(page=page)


def _sha256(text: str) -> str:
    """The digest by which the page's policy admits its own script and no other."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _study(study: Study, ident: str) -> StudyView:
    verdicts = {m.name: {(v.table, v.contender): v for v in judge(study, measure=m.name)} for m in study.measures}
    speeds = {(s.table, s.contender): s for s in speed(study)}
    first = verdicts[study.measures[0].name]
    told = [c for c in study.contenders if c.origin == OURS and c.name != study.baseline]
    told = told or [c for c in study.contenders if c.name != study.baseline]
    sentences = {  # ours; of the others, the failures
        t.name: tuple(
            _sentence(study, first[t.name, c.name], speeds.get((t.name, c.name)))
            for c in study.contenders
            if c in told or first[t.name, c.name].call in ("FAILED", "NOT RUN")
        )
        for t in study.tables
    }
    many = len(study.tables) >= MANY_TABLES
    tallies = tuple(_tally(study, c.name, [first[t.name, c.name] for t in study.tables]) for c in told)
    ranking = rank(study) if len(study.tables) >= ENOUGH_FOR_RANKS else None
    return StudyView(
        ident=ident,
        question=study.question,
        summary=_summary(study),
        sentences=tallies if many else tuple(s for own in sentences.values() for s in own),
        friedman=_friedman(ranking) if ranking else "",
        ranks=ranking_figure(study, ranking, ident) if ranking else None,
        tables=tuple(
            _table(study, t, f"{ident}t{i}", verdicts, speeds, sentences[t.name] if many else ())
            for i, t in enumerate(study.tables, 1)
        ),
        signature=(
            *study.signature.items(),
            *((f"settings of {c.name}", _settings(c)) for c in study.contenders if c.settings),
        ),
    )


def _summary(study: Study) -> str:
    parts = [
        counted(len(study.contenders), "contender"),
        counted(len(study.tables), "data set"),
        f"compared with {study.baseline}",
        *(f"{key} {study.signature[key]}" for key in ("budget", "tuning") if key in study.signature),
    ]
    missing = sum(u.count for u in study.unrun)
    if missing:
        parts.append(f"incomplete: {counted(missing, 'planned cell')} not run")
    return " · ".join(parts)


def _sentence(study: Study, v: Verdict, s: Speed | None) -> Sentence:
    on = f"On {v.table}, {v.contender}"
    if v.call in ("FAILED", "NOT RUN"):
        return Sentence(f"{on}: ", v.call, f". {v.reason}", failed=True)
    if v.call == "BASELINE":
        return Sentence(f"{on} is the ", v.call, ".")
    interval = f"difference {' '.join(around(v.difference, v.low, v.high))}, margin ±{short(v.margin)}"
    after = {
        "BETTER": f" than {study.baseline} in {v.measure}: {interval}.",
        "WORSE": f" than {study.baseline} in {v.measure}: {interval}.",
        "EQUIVALENT": f" to {study.baseline} in {v.measure}: {interval}.",
        "CAN'T TELL": f" whether it differs from {study.baseline} in {v.measure}: "
        + (v.reason or f"{interval}; a difference below {number(v.smallest)} would likely go unseen at this budget")
        + ".",
    }[v.call]
    if s is not None and finite(s.fit_ratio):
        after += f" It took {ratio(s.fit_ratio)} the fit time"
        after += f" and {ratio(s.predict_ratio)} the prediction time." if finite(s.predict_ratio) else "."
    elif s is not None and finite(s.predict_ratio):
        after += f" It took {ratio(s.predict_ratio)} the prediction time."
    return Sentence(f"{on}: we " if v.call == "CAN'T TELL" else f"{on} is ", v.call, after)


def _tally(study: Study, name: str, verdicts: list[Verdict]) -> Sentence:
    calls = Counter[str](v.call for v in verdicts)
    told = ", ".join(f"{call} on {calls[call]}" for call in CALLS if calls[call])
    return Sentence(
        f"{name} against {study.baseline} in {verdicts[0].measure}: ",
        told,
        f", of {len(verdicts)} data sets.",
        failed=bool(calls["FAILED"] or calls["NOT RUN"]),
    )


def _table(
    study: Study, table: Table, ident: str, verdicts: dict, speeds: dict, sentences: tuple[Sentence, ...]
) -> TableView:
    measure = study.measures[0]
    first: dict[str, Verdict] = {c.name: verdicts[measure.name][table.name, c.name] for c in study.contenders}
    sign = -1 if measure.direction == "higher" else 1
    ordered = sorted(  # best first; what has no value last
        study.contenders,
        key=lambda c: (
            first[c.name].call in ("FAILED", "NOT RUN"),
            sign * first[c.name].mean if finite(first[c.name].mean) else float("inf"),
        ),
    )
    timed = [(c, speeds[table.name, c.name]) for c in study.contenders if (table.name, c.name) in speeds]
    timed.sort(
        key=lambda pair: [
            t if finite(t) else float("inf")
            for t in (pair[1].fit_ratio, pair[1].fit_seconds, pair[1].predict_ratio, pair[1].predict_seconds)
        ]
    )
    return TableView(
        ident=ident,
        name=table.name,
        regime=_regime(table),
        sentences=sentences,
        quality=quality(study, table, ordered, verdicts),
        quality_figures=quality_figures(study, table, ident, [(c, first[c.name]) for c in ordered]),
        cost=cost(study, table, timed) if timed else None,
        cost_figures=cost_figures(study, table, ident, timed),
    )


def _friedman(ranking: Ranking) -> str:
    test = ranking.test
    text = (
        f"Over {test.n} data sets, the average ranks in {ranking.measure} "
        + ("differ" if ranking.tells else "do not differ detectably")
        + f" (Friedman χ² = {number(test.chi_square)}; Iman–Davenport F = {number(test.f)},"
        + f" p\u00a0{_equals(test.p_f)})."
        + f" Two contenders differ when their ranks lie {number(ranking.critical_difference)} apart (Nemenyi, 5 %)."
    )
    if ranking.left_out:
        text += f" Left out, without a value on every data set: {', '.join(ranking.left_out)}."
    return text


def _settings(contender: Contender) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in contender.settings.items())


def _regime(table: Table) -> str:
    parts = [table.shape, table.task]
    if table.task == "multiclass":
        parts[-1] = f"{counted(table.n_classes, 'class', 'classes')}"
    return " · ".join([*parts, *([table.note] if table.note else [])])


def _equals(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"=\u00a0{text}"
