"""What a run will measure: every cell in order, each under the key of all that decides its numbers."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import breadth
from breadth.evidence.cell import Job, Probe, Split
from breadth.evidence.entry import Entry
from breadth.evidence.problem import Family, Prepared
from breadth.evidence.settings import Settings, available_cores
from breadth.evidence.store import Planned
from breadth.evidence.study import Contender, Measure, Study

HARNESS = (
    "evidence/cell.py",
    "evidence/contenders.py",
    "evidence/measures.py",
    "evidence/measures_trials.py",
    "evidence/problem.py",
    "evidence/problem_trials.py",
    "evidence/probes.py",
)
OURS: Mapping[Family, tuple[str, ...]] = {
    "classification": ("tabular", "stats"),
    "regression": ("tabular", "stats"),
    "tokenization": ("text", "evidence/contenders_text.py"),
    "search": ("vector", "tabular", "evidence/contenders_search.py"),
    "attention": ("nn/attention", "evidence/contenders_attention.py"),
    "control": ("rl", "evidence/contenders_control.py"),
    "modelling": ("lm", "nn", "evidence/contenders_language.py"),
    "generation": ("lm", "nn", "evidence/contenders_language.py", "evidence/contenders_decoding.py"),
    "accounting": ("lm", "evidence/contenders_presets.py"),
    "proportion": ("stats", "evidence/contenders_intervals.py"),
    "mean": ("stats", "evidence/contenders_intervals.py"),
    "judging": ("metrics", "stats"),
    "clustering": ("tabular", "evidence/contenders_clustering.py"),
    "drift": ("tabular", "evidence/contenders_drift.py"),
    "recommendation": ("recommend", "evidence/contenders_recommend.py"),
}
PACKAGES = {  # origin: distributions whose version decides its numbers
    "breadth": ("numpy", "scipy", "numba", "scikit-learn"),
    "lightgbm": ("numpy", "lightgbm"),
    "xgboost": ("numpy", "xgboost", "xgboost-cpu"),
    "scikit-learn": ("numpy", "scipy", "scikit-learn"),
    "faiss": ("numpy", "faiss-cpu"),
    "torch": ("numpy", "torch"),
    "stable-baselines3": ("numpy", "torch", "gymnasium", "stable-baselines3"),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """A comparison laid out for one run: pure data and functions that workers can unpickle."""

    study: Study  # without cells
    study_id: str
    entries: Mapping[str, Entry]
    tables: Mapping[str, Prepared]
    jobs: tuple[Job, ...]
    settings: Settings
    probes: tuple[Probe, ...] = ()

    def split(self, job: Job) -> Split:
        return (
            Split(self.settings.folds, job.repeat, job.fold)
            if job.stage == "quality"
            else Split(self.settings.folds, 0, 0)
        )

    def planned(self) -> list[Planned]:
        return [Planned(j.key, j.stage, j.table, j.contender) for j in self.jobs]

    def guess(self, job: Job, measured: float | None) -> float:
        """Seconds a cell may take: the mean of its like where some were measured, else from the entry's rough cost."""
        if measured is not None:
            return measured
        entry, table = self.entries[job.contender], self.tables[job.table].table
        classes = table.n_classes if table.task == "multiclass" else 1
        once = 0.02 + entry.cost * 1e-9 * table.n_rows * table.n_features * classes
        if job.stage == "speed":
            return once / min(self.settings.threads, 2)
        return once * (1 + 0.8 * self.settings.tune * bool(entry.space))


def make(
    name: str,
    *,
    question: str,
    measures: tuple[Measure, ...],
    baseline: str,
    entries: Sequence[Entry],
    tables: Sequence[Prepared],
    settings: Settings,
    probes: tuple[Probe, ...] = (),
    signature: Mapping[str, str] | None = None,
) -> Plan:
    """Lay out every cell of a comparison.

    Quality cells come repeat by repeat, so that a run that is cut short has whole repeats of everything rather than all
    repeats of something; then the rounds of the speed pass, table by table.

    Args:
        name: of the comparison.
        question: in a sentence.
        measures: the first decides the verdicts and the tuning.
        baseline: name of the entry that the others are compared with.
        entries: the contenders.
        tables: the data sets, of one family of tasks.
        settings: repeats, folds, tuning, threads.
        probes: further values asked of fitted estimators.
        signature: further lines for the study's signature.

    Raises:
        ValueError: if the baseline is no contender, two tables share a name, tasks are mixed, or a table is too small
            for the folds.
    """
    _check(entries, baseline, tables, settings)
    family = tables[0].problem.family
    jobs = [
        *_quality_jobs(entries, tables, settings, measures[0], probes),
        *_speed_jobs(entries, tables, settings, measures[0]),
    ]
    study = Study(
        name=name,
        question=question,
        measures=measures,
        baseline=baseline,
        contenders=tuple(Contender(e.name, e.origin, dict(e.settings)) for e in entries),
        tables=tuple(t.table for t in tables),
        cells=(),
        signature={
            **(signature or {}),
            "split": f"{settings.folds}-fold × {_repeats(tables, settings)}, shuffled"
            + ", stratified by class" * (family in ("classification", "regression")),
            "tuning": f"{settings.tune} random configurations each"
            if settings.tune
            else "none: the same defaults for all",
            "threads": settings.threads_line(),
            "speed rounds": str(settings.rounds),
            "machine": machine(),
            "versions": ", ".join(f"{k} {v}" for k, v in _versions(entries).items()),
            "code": _digest(sorted({code_hash(_parts(e, family)) for e in entries}))[:12],
        },
    )
    identity = [
        study.name,
        study.question,
        study.baseline,
        [asdict(m) for m in measures],
        study.signature,
        [j.key for j in jobs],
    ]
    return Plan(
        study=study,
        study_id=_digest(identity)[:16],
        entries={e.name: e for e in entries},
        tables={t.table.name: t for t in tables},
        jobs=tuple(jobs),
        settings=settings,
        probes=probes,
    )


def _quality_jobs(
    entries: Sequence[Entry],
    tables: Sequence[Prepared],
    settings: Settings,
    measure: Measure,
    probes: tuple[Probe, ...],
) -> Iterable[Job]:
    extra = {"probes": [p.__name__ for p in probes], "backend threads": 1}
    for repeat in range(max(settings.repeats(t.table.n_rows) for t in tables)):
        for table in tables:
            if repeat >= settings.repeats(table.table.n_rows):
                continue
            for fold in range(settings.folds):
                for entry in entries:
                    seed = 1000 * repeat + fold
                    key = _key(entry, table, settings, measure, ["quality", repeat, fold, seed, extra])
                    yield Job("quality", table.table.name, entry.name, repeat, fold, seed, key)


def _speed_jobs(
    entries: Sequence[Entry], tables: Sequence[Prepared], settings: Settings, measure: Measure
) -> Iterable[Job]:
    for table in tables:
        for round_ in range(settings.rounds):
            for entry in entries:
                key = _key(entry, table, settings, measure, ["speed", round_, settings.threads, machine()])
                yield Job("speed", table.table.name, entry.name, round_, 0, 0, key)


def _key(entry: Entry, table: Prepared, settings: Settings, measure: Measure, rest: list[Any]) -> str:
    tuning = {"tune": settings.tune, "by": measure.name, "space": sorted(entry.space)} if settings.tune else None
    return _digest(
        {
            "contender": [entry.name, entry.origin, dict(entry.settings)],
            "data": [table.table.name, table.digest],
            "split": ["shuffled stratified k-fold", settings.folds],
            "tuning": tuning,
            "versions": _versions([entry]),
            "code": code_hash(_parts(entry, table.problem.family)),
            "rest": rest,
        }
    )


def _check(entries: Sequence[Entry], baseline: str, tables: Sequence[Prepared], settings: Settings) -> None:
    names = [e.name for e in entries]
    if baseline not in names:
        raise ValueError(f"baseline must be one of the contenders {names}, got {baseline!r}")
    if not tables:
        raise ValueError("tables must hold at least one data set")
    twice = {t.table.name for t in tables if sum(o.table.name == t.table.name for o in tables) > 1}
    if twice:
        raise ValueError(f"data set named twice: {', '.join(sorted(twice))}; give each file or name once")
    families = {t.problem.family: t.table.name for t in tables}
    if len(families) > 1:
        raise ValueError(
            "one comparison judges one kind of task: "
            + " and ".join(f"{name!r} is {family}" for family, name in sorted(families.items()))
            + "; compare them separately"
        )
    for t in tables:
        if t.table.n_rows < 2 * settings.folds:
            raise ValueError(
                f"data set {t.table.name!r} has {t.table.n_rows} rows; {settings.folds}-fold cross-validation needs "
                f"at least {2 * settings.folds}"
            )
        if t.problem.family == "classification" and not any(n >= settings.folds for n in _counts(t)):
            raise ValueError(
                f"data set {t.table.name!r}: no class has the {settings.folds} rows that {settings.folds} folds need "
                f"({t.table.n_rows} rows, {t.table.n_classes} classes); is the target a real number or an identifier?"
            )


def _counts(prepared: Prepared) -> list[int]:
    import numpy as np

    return np.bincount(prepared.y).tolist()


def _repeats(tables: Sequence[Prepared], settings: Settings) -> str:
    counts = sorted({settings.repeats(t.table.n_rows) for t in tables})
    return f"{counts[-1]} seeds" if len(counts) == 1 else f"{counts[-1]} seeds ({counts[0]} from 50,000 rows on)"


@cache
def code_hash(parts: tuple[str, ...]) -> str:
    """SHA-256 over the sources that decide a contender's numbers; files and folders below `breadth`."""
    root = Path(breadth.__file__).parent
    digest = hashlib.sha256()
    for part in parts:
        path = root / part
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        for file in files:
            digest.update(str(file.relative_to(root)).encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _parts(entry: Entry, family: Family) -> tuple[str, ...]:
    parts = tuple(dict.fromkeys(OURS[family] + entry.rooms))
    if entry.origin == "breadth":
        return HARNESS + parts
    return HARNESS + tuple(part for part in parts if part.startswith("evidence/") or part in entry.rooms)


@cache
def machine() -> str:
    """The processor and its cores: times from another machine are other times."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    return f"{model}, {available_cores()} cores, {platform.system()}"


def _versions(entries: Sequence[Entry]) -> dict[str, str]:
    names = {name for e in entries for name in PACKAGES.get(e.origin, (e.origin,))}
    names |= {"torch" for e in entries for room in e.rooms if room in ("nn", "rl", "lm")}
    names |= {"gymnasium" for e in entries if "rl" in e.rooms}
    found = {"breadth": breadth.__version__, "python": platform.python_version()}
    for name in sorted(names):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # not installed, or installed under its other name
            continue
    return found


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
