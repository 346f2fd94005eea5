"""What the cells of a study say, and no more: verdicts, ranks and speed ratios computed from stored values.

Nothing here is stored. Change the numbers and the verdicts change.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from breadth.evidence.study import Cell, Measure, Study, Table
from breadth.stats.compare import (
    Friedman,
    equivalence,
    friedman,
    holm,
    nemenyi_critical_difference,
    rank_post_hoc,
    resampled_t,
    smallest_detectable,
)

Call = Literal["BASELINE", "BETTER", "EQUIVALENT", "WORSE", "CAN'T TELL", "FAILED", "NOT RUN"]

FEWEST = 5  # data sets that ranks need before they say anything general


@dataclass(frozen=True, slots=True)
class Verdict:
    """One contender on one data set at one budget, in one measure.

    `mean` and `se` describe the contender; `difference`, `low`, `high` are contender − baseline in the measure's
    natural sign; all standard errors carry the correction for overlapping training sets. NaN: could not be computed.
    """

    table: str
    contender: str
    measure: str
    call: Call
    mean: float
    se: float
    n: int  # splits that count
    difference: float
    low: float
    high: float
    p: float  # two-sided, Holm-adjusted across the contenders of the data set
    smallest: float  # smallest true difference that would be found 8 times in 10
    margin: float
    reason: str = ""  # why it failed, why it cannot be told


@dataclass(frozen=True, slots=True)
class Ranking:
    """Average ranks over the data sets of a study, 1 is best."""

    measure: str
    contenders: tuple[str, ...]
    ranks: tuple[float, ...]
    p_versus_baseline: tuple[float, ...]  # Holm-adjusted; 1 for the baseline itself
    test: Friedman
    critical_difference: float  # Nemenyi, at 5 %
    left_out: tuple[str, ...]  # contenders without a value on every data set

    @property
    def tells(self) -> bool:
        """Whether the ranks differ at all (Iman–Davenport p < 0.05), which is what licenses the post hoc p values.

        Never over fewer than FEWEST data sets: two that happen to agree speak for nothing beyond themselves.
        """
        return self.test.n >= FEWEST and self.test.p_f < 0.05


@dataclass(frozen=True, slots=True)
class Speed:
    """Medians of a contender's serial pass; ratios are to the baseline in the same round, median over rounds."""

    table: str
    contender: str
    rounds: int
    fit_seconds: float
    predict_seconds: float
    fit_ratio: float
    predict_ratio: float
    peak_bytes: float
    model_bytes: float
    rate: float = math.nan  # of predictions, in the table's unit; NaN where it has none
    reason: str = ""


def judge(study: Study, *, measure: str | None = None, alpha: float = 0.05) -> tuple[Verdict, ...]:
    """Say of each contender on each data set whether it beats the study's baseline.

    With d the baseline-paired differences per split: EQUIVALENT if two one-sided tests put the mean inside the
    measure's margin, else BETTER or WORSE if the corrected resampled t test finds it non-zero, else CAN'T TELL. Both
    families of p values are Holm-adjusted across the contenders of a data set. Equivalence comes first: a difference
    that is certain and too small to matter is no reason to choose.

    Args:
        study: what was measured.
        measure: name of one of its measures; None means the first.
        alpha: family-wise level of either kind of verdict, in (0, 1).

    Returns:
        One verdict per data set and contender, in the study's order. A contender with any failed split is FAILED.

    Raises:
        ValueError: if the study has no such measure, or alpha is outside (0, 1).

    Cost: negligible beside any fit.
    References: Nadeau & Bengio 2003; Holm 1979; Schuirmann 1987.
    """
    chosen = find_measure(study, measure)
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be in (0, 1), got {alpha}")
    cells = _by_table_and_contender(study, "quality")
    return tuple(v for table in study.tables for v in _judge_table(study, table, chosen, cells, alpha))


def rank(study: Study, *, measure: str | None = None) -> Ranking | None:
    """Average ranks over the study's data sets with Friedman's test; None where fewer than two have a value for all.

    Args:
        study: what was measured.
        measure: name of one of its measures; None means the first.

    Raises:
        ValueError: if the study has no such measure.

    References: Demšar 2006.
    """
    chosen = find_measure(study, measure)
    cells = _by_table_and_contender(study, "quality")
    means = {
        c.name: [_mean(cells[t.name, c.name], chosen) for t in study.tables] for c in study.contenders
    }  # contender -> one mean per table, NaN where it has none
    complete = [name for name, row in means.items() if np.isfinite(row).all()]
    if len(study.tables) < 2 or len(complete) < 2:
        return None
    scores = np.array([means[name] for name in complete]).T  # (tables, contenders)
    test = friedman(scores, higher_is_better=chosen.direction == "higher")
    p = np.full(len(complete), np.nan)
    if study.baseline in complete:
        p = rank_post_hoc(test.ranks, test.n, baseline=complete.index(study.baseline))
    return Ranking(
        measure=chosen.name,
        contenders=tuple(complete),
        ranks=tuple(float(r) for r in test.ranks),
        p_versus_baseline=tuple(float(v) for v in p),
        test=test,
        critical_difference=nemenyi_critical_difference(test.k, test.n),
        left_out=tuple(name for name in means if name not in complete),
    )


def speed(study: Study) -> tuple[Speed, ...]:
    """Medians and paired ratios of the serial pass, one row per data set and contender that was timed.

    The ratio is the median over rounds of contender / baseline, both measured in that round, so that a machine that
    slows down for a while slows down both.
    """
    cells = _by_table_and_contender(study, "speed")
    rows = []
    for table in study.tables:
        reference = {c.repeat: c.values for c in cells[table.name, study.baseline] if c.status == "ok"}
        for contender in study.contenders:
            mine = cells[table.name, contender.name]
            if not mine:
                continue
            timed = {c.repeat: c.values for c in mine if c.status == "ok"}
            failed = [c.error for c in mine if c.status == "failed"]
            rows.append(
                Speed(
                    table=table.name,
                    contender=contender.name,
                    rounds=len(timed),
                    fit_seconds=_median(v.get("fit_seconds") for v in timed.values()),
                    predict_seconds=_median(v.get("predict_seconds") for v in timed.values()),
                    fit_ratio=_median_ratio(timed, reference, "fit_seconds"),
                    predict_ratio=_median_ratio(timed, reference, "predict_seconds"),
                    peak_bytes=_median(v.get("peak_bytes") for v in timed.values()),
                    model_bytes=_median(v.get("model_bytes") for v in timed.values()),
                    rate=_median(v.get("rate") for v in timed.values()),
                    reason=failed[0] if failed else "",
                )
            )
    return tuple(rows)


def failures(study: Study) -> tuple[Cell, ...]:
    """Every cell that failed, in the study's order."""
    return tuple(c for c in study.cells if c.status == "failed")


def find_measure(study: Study, name: str | None) -> Measure:
    """The measure of that name; the first for None. ValueError lists the study's measures where there is none."""
    if name is None:
        return study.measures[0]
    for measure in study.measures:
        if measure.name == name:
            return measure
    raise ValueError(f"measure {name!r} is not in study {study.name!r}; it has {[m.name for m in study.measures]}")


def _judge_table(
    study: Study,
    table: Table,
    measure: Measure,
    cells: dict[tuple[str, str], list[Cell]],
    alpha: float,
) -> list[Verdict]:
    margin = measure.margin_on(table)
    reference = _values(cells[table.name, study.baseline], measure)
    tests: dict[str, tuple] = {}  # contender -> (ResampledT of natural differences, p of equivalence)
    rows: dict[str, Verdict] = {}
    for contender in study.contenders:
        mine = cells[table.name, contender.name]
        values = _values(mine, measure)
        call, reason = _without_test(study, contender.name, mine, values, reference, measure)
        own = _summary(values, mine)
        tested = None
        if call is None:
            both = [split for split in values if split in reference]
            differences = np.array([values[s] - reference[s] for s in both])
            tested = resampled_t(differences, test_over_train=_test_over_train(mine))
            tests[contender.name] = (tested, float(equivalence(tested.mean, tested.se, df=tested.df, margin=margin)))
        rows[contender.name] = Verdict(
            table=table.name,
            contender=contender.name,
            measure=measure.name,
            call=call or "CAN'T TELL",
            mean=own[0],
            se=own[1],
            n=len(values),
            difference=float(tested.mean) if tested else np.nan,
            low=float(tested.low) if tested else np.nan,
            high=float(tested.high) if tested else np.nan,
            p=np.nan,
            smallest=float(smallest_detectable(tested.se, df=tested.df)) if tested else np.nan,
            margin=margin,
            reason=reason,
        )
    if tests:
        differ = holm([float(t.p) for t, _ in tests.values()])
        same = holm([p for _, p in tests.values()])
        sign = 1 if measure.direction == "higher" else -1
        for (name, (tested, _)), p, p_same in zip(tests.items(), differ, same, strict=True):
            rows[name] = _decide(rows[name], float(p), float(p_same), sign * float(tested.mean), alpha)
    return list(rows.values())


def _decide(row: Verdict, p: float, p_same: float, gain: float, alpha: float) -> Verdict:
    if p_same < alpha:
        return replace(row, call="EQUIVALENT", p=p)
    if p < alpha:
        return replace(row, call="BETTER" if gain > 0 else "WORSE", p=p)
    return replace(row, call="CAN'T TELL", p=p)


def _without_test(
    study: Study,
    name: str,
    mine: list[Cell],
    values: dict,
    reference: dict,
    measure: Measure,
) -> tuple[Call | None, str]:
    """The call that needs no test, with its reason; (None, "") where the differences can be tested."""
    failed = [c for c in mine if c.status == "failed"]
    if failed:
        reason, count = Counter(c.error for c in failed).most_common(1)[0]
        return "FAILED", f"{len(failed)} of {len(mine)} splits failed; {count} ×: {reason}"
    if not mine:
        return "NOT RUN", "no split was run"
    if name == study.baseline:
        return "BASELINE", ""
    if not values:
        return "CAN'T TELL", f"{measure.name} is undefined on every split"
    both = len(values.keys() & reference.keys())
    if not reference:
        return "CAN'T TELL", f"the baseline {study.baseline!r} has no value to compare with"
    if both < 2:
        return "CAN'T TELL", f"{both} split shared with the baseline; an interval needs at least 2"
    return None, ""


def _by_table_and_contender(study: Study, stage: str) -> dict[tuple[str, str], list[Cell]]:
    cells: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    for cell in study.cells:
        if cell.stage == stage:
            cells[cell.table, cell.contender].append(cell)
    return cells


def _values(cells: list[Cell], measure: Measure) -> dict[tuple[int, int], float]:
    """split -> value, where the cell succeeded and the measure is defined."""
    return {
        (c.repeat, c.fold): c.values[measure.name]
        for c in cells
        if c.status == "ok" and np.isfinite(c.values.get(measure.name, np.nan))
    }


def _mean(cells: list[Cell], measure: Measure) -> float:
    values = _values(cells, measure)
    whole = values and len(values) == len(cells)
    return float(np.mean(list(values.values()))) if whole else np.nan


def _summary(values: dict, cells: list[Cell]) -> tuple[float, float]:
    if not values:
        return np.nan, np.nan
    v = np.array(list(values.values()))
    if v.size < 2:
        return float(v[0]), np.nan
    corrected = resampled_t(v, test_over_train=_test_over_train(cells))
    return float(corrected.mean), float(corrected.se)


def _test_over_train(cells: Iterable[Cell]) -> float:
    """n_test / n_train, averaged over splits; from the number of folds where the cells do not say."""
    cells = list(cells)
    known = [c.n_test / c.n_train for c in cells if c.n_train]
    if known:
        return float(np.mean(known))
    folds = 1 + max(c.fold for c in cells)
    return 1 / max(folds - 1, 1)


def _median(values: Iterable[float | None]) -> float:
    v = [x for x in values if x is not None and np.isfinite(x)]
    return float(np.median(v)) if v else np.nan


def _median_ratio(mine: dict[int, dict], reference: dict[int, dict], name: str) -> float:
    rounds = [r for r in mine if r in reference and reference[r].get(name, 0) > 0]
    return _median(mine[r].get(name, np.nan) / reference[r][name] for r in rounds)
