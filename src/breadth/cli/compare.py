"""`breadth compare`: methods side by side."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from breadth.evidence.comparison import NAMES, get, lay_out, tables
from breadth.evidence.plan import Plan
from breadth.evidence.settings import Backend, Settings, available_cores, seconds

FAILED = 3  # exit status when a contender failed: the tables are whole, and one of their rows is bad news


def compare(
    name: str | None = None,
    *,
    data: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    target: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    header: bool = True,
    encoding: str = "utf-8",
    task: Literal["binary", "multiclass", "regression"] | None = None,
    suite: Annotated[bool, Parameter(negative="")] = False,
    metric: str | None = None,
    contenders: str | None = None,
    seeds: int | None = None,
    folds: int | None = None,
    jobs: int | None = None,
    backend: Backend = "loky",
    budget: str | None = None,
    rounds: int | None = None,
    tune: int = 0,
    resume: Annotated[bool, Parameter(negative="--fresh")] = True,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    quick: Annotated[bool, Parameter(negative="")] = False,
    db: Path = Path("breadth.sqlite"),
    output: Annotated[Literal["md", "json", "csv"], Parameter(name=["--output", "-o"])] = "md",
) -> int:
    """Put methods side by side on embedded data or on your own file.

    Quality is measured in parallel with one thread a fit, then speed alone. Every cell is stored as it is finished:
    the same command again continues where it stopped. Exit status 3 says that a contender failed; its row says why.

    Args:
        name: the comparison; without it they are listed.
        data: files (tables: CSV, TSV, Parquet, JSON Lines; text for tokenizers; .npy vectors for ann and similarity) or
            names of embedded sets; the comparison's own when left out. For recommenders CSV of user, item and rating.
        target: column of the files to predict, by name or 0-based index.
        header: whether the files' first line names the columns.
        encoding: of the files' text, such as cp1252.
        task: what the target asks; told from its values when left out.
        suite: run on the comparison's eight data sets and rank over them.
        metric: measure that decides the verdicts; "log loss" or "RMSE" unless the comparison says otherwise.
        contenders: comma-separated names, such as lightgbm,breadth-leaf-wise; all when left out.
        seeds: repeats of the cross-validation, each with its own shuffle; 3, or 2 with --quick (1 from 50,000 rows),
            unless the comparison has other numbers.
        folds: folds of the cross-validation, 5 unless the comparison has another number.
        jobs: worker processes of the quality pass; one per core when left out.
        backend: joblib's backend of the quality pass; dask uses DASK_SCHEDULER_ADDRESS, or else a local cluster.
        budget: time limit for everything, such as 60s or 5m; what was not run is listed.
        rounds: rounds of the serial speed pass; 5, or 3 with --quick, unless the comparison has other numbers; 0 leaves
            it out.
        tune: random configurations tried per contender and split, the same number for all; 0 compares defaults.
        resume: use stored cells; --fresh measures them again.
        dry_run: print the plan and the estimated time, and run nothing.
        quick: fewer repeats, rounds, data sets, and steps of training; what is left out is printed.
        db: the database that keeps every cell.
        output: Markdown for reading, JSON or CSV for other programs.
    """
    if name is None:
        print("\n".join(f"{key:<12} {question}" for key, question in NAMES.items()))
        return 0
    started = time.monotonic()
    comparison = get(name)
    cores, amounts = available_cores(), comparison.amounts(quick)
    settings = Settings(
        seeds=seeds if seeds is not None else amounts["seeds"],
        large_seeds=1 if quick and seeds is None else None,
        folds=folds if folds is not None else amounts["folds"],
        jobs=jobs if jobs is not None else cores,
        backend=backend,
        budget=None if budget is None else seconds(budget),
        tune=tune,
        resume=resume,
        rounds=rounds if rounds is not None else amounts["rounds"],
        threads=cores,
    )
    prepared = tables(
        comparison, data or (), target=target, header=header, encoding=encoding, task=task, suite=suite, quick=quick
    )
    given = {"seeds": seeds, "folds": folds, "rounds": rounds, "data": data or suite or None}
    asked = {key for key, value in given.items() if value is not None}
    less = f"quick: {comparison.left_out(asked) or 'nothing is left out'}" if quick else ""
    plan = lay_out(
        comparison,
        prepared,
        settings,
        contenders=[c for c in contenders.split(",") if c.strip()] if contenders is not None else (),
        metric=metric,
        quick=quick,
        signature={
            "tier": less or "full",
            "budget": budget or "no limit",
        },
    )
    if quick:
        print(less, file=sys.stderr)
    return _dry_run(plan, db) if dry_run else _run(plan, db, output, started)


def _warn(plan: Plan) -> None:
    for table in plan.tables.values():
        for warning in table.warnings:
            print(f"{table.table.name}: {warning}", file=sys.stderr)


def _dry_run(plan: Plan, db: Path) -> int:
    from breadth.evidence import runner
    from breadth.evidence.store import Store

    _warn(plan)
    if db.exists():
        with Store(db) as store:
            needed, left = runner.estimate(plan, store), runner.remaining(plan, store)
    else:
        needed, left = runner.estimate(plan, None), len(plan.jobs)
    print(f"{plan.study.name}: {plan.study.question}")
    for table in plan.study.tables:
        print(f"  data        {table.name}: {table.shape}, {table.task}")
    for contender in plan.study.contenders:
        mark = " (baseline)" if contender.name == plan.study.baseline else ""
        print(f"  contender   {contender.name}{mark}: {contender.settings or 'as its package ships it'}")
    for key, value in plan.study.signature.items():
        print(f"  {key:<11} {value}")
    print(f"  cells       {len(plan.jobs)}, of which {left} are to be measured")
    print(f"  time        about {_rough(needed)}")
    return 0


def _run(plan: Plan, db: Path, output: str, started: float) -> int:
    from rich.console import Console

    from breadth.evidence import present, runner
    from breadth.evidence.store import Store

    console = Console(stderr=True)
    _warn(plan)
    print(f"threads: {plan.settings.threads_line()}", file=sys.stderr)
    with Store(db) as store:
        print(f"cells: {runner.remaining(plan, store)} of {len(plan.jobs)} to measure, kept in {db}", file=sys.stderr)
        study = runner.run(plan, store, console=console, started=started)
    write = {"md": present.as_markdown, "json": present.as_json, "csv": present.as_csv}[output]
    print(write(study).rstrip("\n"))
    failed = [c for c in study.cells if c.status == "failed"]
    if failed:
        names = ", ".join(dict.fromkeys(c.contender for c in failed))
        print(f"breadth: {len(failed)} cells failed: {names}; the table says why", file=sys.stderr)
    return FAILED if failed else 0


def _rough(needed: float) -> str:
    return f"{needed:.0f} s" if needed < 90 else f"{needed / 60:.0f} min" if needed < 5400 else f"{needed / 3600:.1f} h"
