"""What a user waits for before the first result: compilation, the first fit of a process, the command's help."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import Row, Section, Setup, Spread, Times, Unit

FIRST_FIT = Path(__file__).with_name("first_fit.py")
COLD_ROWS, WARM_ROWS = 20_000, 1000  # enough cells that threads are used; too few that growing trees takes time
ABSENT = ("torch", "numba", "sklearn", "polars")
_BASE = ("import", "fit", "predict_proba")
OTHER_METHODS = ("decision tree", "random forest")  # no bar: they are not options of boosting


def first_fit(
    rows: int, threads: int, cache: str | None, *, everything: bool = False
) -> dict[str, tuple[float, float]]:
    """(wall, CPU) seconds by step in a new process with this cache of compiled kernels; None takes the user's own."""
    environment = os.environ if cache is None else {**os.environ, "NUMBA_CACHE_DIR": cache}
    command = [sys.executable, str(FIRST_FIT), str(rows), str(threads), *(["all"] if everything else [])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)


def cpu_seconds(command: list[str]) -> float:
    """CPU seconds, user and system, of a command and its own children."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def seconds_row(what: str, values: list[float], unit: Unit, bar: float | None) -> Row:
    spread = Spread.of(values)
    return Row(what, spread.median, unit, bar, spread=spread if len(values) > 1 else None, n=len(values))


def cold_rows(setup: Setup, raw: Times) -> list[Row]:
    """In a smoke run nothing is cold: the kernels are the ones that are compiled already."""
    with tempfile.TemporaryDirectory() as cache:
        chosen = None if setup.smoke else cache
        whole = first_fit(COLD_ROWS, setup.threads, chosen, everything=True)
        runs = [whole]
        for _ in range(setup.repetitions(3) - 1):
            with tempfile.TemporaryDirectory() as another:
                runs.append(first_fit(COLD_ROWS, setup.threads, None if setup.smoke else another))
        warm = [first_fit(WARM_ROWS, setup.threads, chosen) for _ in range(setup.repetitions(7))]
    for name, taken in (("cold", runs), ("warm", warm)):
        for step in _BASE:
            raw[f"{name} start | {step} | wall"] = [run[step][0] for run in taken]
            raw[f"{name} start | {step} | CPU"] = [run[step][1] for run in taken]
    rows = [
        seconds_row("nothing compiled: fit, two classes", [run["fit"][1] for run in runs], "CPU seconds", 12),
        seconds_row("the same with import and predict_proba", [sum(run[step][1] for step in _BASE) for run in runs],
                    "CPU seconds", None),
    ]  # fmt: skip
    further = [step for step in whole if step not in _BASE]
    raw.update({f"cold start | {step} | CPU": [whole[step][1]] for step in further})
    rows += [
        seconds_row(
            f"then, in that process: {step}", [whole[step][1]], "CPU seconds", None if step in OTHER_METHODS else 4
        )
        for step in further
    ]
    rows += [
        seconds_row("compiled before, new process: fit", [run["fit"][0] for run in warm], "seconds", 0.6),
        seconds_row("the same with import and predict_proba", [sum(run[step][0] for step in _BASE) for run in warm],
                    "seconds", None),
    ]  # fmt: skip
    return rows


def help_rows(setup: Setup, raw: Times) -> list[Row]:
    command = [str(Path(sys.executable).with_name("breadth")), "--help"]
    cpu_seconds(command)  # bytecode is written once
    taken = raw["breadth --help | CPU"] = [cpu_seconds(command) for _ in range(setup.repetitions(11))]
    probe = (
        "import sys; from breadth.cli.main import main; main(['--help']); "
        f"print(*(set({ABSENT}) & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    imported = done.stderr.split()
    return [
        seconds_row("`breadth --help`", taken, "CPU seconds", 0.3),
        Row(f"imported by it, of {', '.join(ABSENT)}", len(imported), "count", 0, ours=" ".join(imported)),
    ]


SECTIONS = (
    Section(
        "start",
        "Compilation and start",
        f"Each line in a new process, CPU seconds of all its threads. Nothing compiled: an empty NUMBA_CACHE_DIR, "
        f"{COLD_ROWS:,} x 28 float32; then, in the first of these processes, fit and predict with one further loss or "
        f"option after another, 2,000 rows, 3 rounds. Compiled before: {WARM_ROWS:,} rows, 100 rounds.",
        cold_rows,
    ),
    Section("help", "The command's help", "CPU seconds of the whole process.", help_rows),
)
