"""Speed and quality beside each peer, written to RESULTS.md.

python benchmarks/run.py [--only SECTION ...] [--update] [--reps N] [--threads N] [--smoke] [--output FILE]
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

THREADS = 2
MODULES = (
    "boosting",
    "variants",
    "quality",
    "determinism",
    "forest",
    "start",
    "tokenizers",
    "subword",
    "vectors",
    "inverted",
    "linear_attention",
    "optimizers",
    "attention",
    "control",
    "decoding",
    "recommenders",
    "drift",
    "linear",
    "kernels",
    "generative",
    "selection",
    "mixtures",
    "clusters",
    "neighbours",
    "metrics",
    "matrices",
    "text_metrics",
)
RESULTS = Path(__file__).with_name("RESULTS.md")
SMOKE = "Smoke run: tiny sizes, no cold start. It shows that everything runs; no figure here means anything."


def main() -> int:
    """Measure, print progress to standard error, write the report; 1 if a section failed."""
    arguments = parse()
    sys.path[0] = str(Path(__file__).parents[1])  # where `benchmarks` is a package
    from benchmarks import machine

    # on a busy machine the peers' OpenMP threads wait for each other for seconds
    threads = arguments.threads or (1 if arguments.smoke else THREADS)
    machine.settle_threads(threads)
    # these import NumPy, whose BLAS reads the number of threads once
    from benchmarks import kept
    from benchmarks.harness import Setup, Times
    from benchmarks.tables import Taken

    modules = [importlib.import_module(f"benchmarks.{name}") for name in MODULES]
    sections = {section.name: section for module in modules for section in module.SECTIONS}
    unknown = sorted(set(arguments.only) - set(sections))
    if unknown:
        print(f"--only {' '.join(unknown)}: no such section; there are {', '.join(sections)}", file=sys.stderr)
        return 2
    warnings.filterwarnings("ignore", message="X does not have valid feature names")  # LightGBM's, about its own names
    setup = Setup(threads, arguments.smoke, arguments.reps)
    output = arguments.output or (RESULTS if arguments.update or not (arguments.smoke or arguments.only) else None)
    taken: dict[str, Taken] = {}
    raw: dict[str, Times] = {}
    if arguments.update:
        taken, raw = kept.read(RESULTS.with_name("results.json"), sections)
    for name in arguments.only or sections:
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        began, load, rows, failure = time.perf_counter(), machine.load(), [], ""
        raw[name] = {}
        try:
            rows = sections[name].rows(setup, raw[name])
        except Exception:  # the others are still worth having; the report and the exit status tell of this one
            failure = traceback.format_exc()
        seconds = time.perf_counter() - began
        when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC at commit {machine.revision()}"
        taken[name] = Taken(sections[name], rows, seconds, (load, machine.load()), when, failure)
        print(f"{seconds:.0f} s" + (f"\n{failure}" if failure else ""), file=sys.stderr, flush=True)
        if output is not None:  # after each section: a long run that breaks off keeps what it has
            parts = [taken[each] for each in sections if each in taken]
            write(parts, output, threads=threads, smoke=arguments.smoke)
            kept.write(output.with_name("results.json"), taken, raw)
    parts = [taken[each] for each in sections if each in taken]
    if output is None:
        print(page(parts, threads=threads, smoke=arguments.smoke))
    return 1 if any(part.failure for part in taken.values()) else 0


def page(parts: list[Any], *, threads: int, smoke: bool) -> str:
    from benchmarks import machine
    from benchmarks.tables import report

    facts = [
        ("processor", machine.processor()),
        ("threads", f"{threads} for every contender"),
        ("versions", machine.versions()),
        ("load average (1 min)", f"{min(min(p.load) for p in parts):.2f} to {max(max(p.load) for p in parts):.2f}; "
         f"this benchmark alone makes about {threads}"),
    ]  # fmt: skip
    return report(parts, facts=[fact for fact in facts if fact[1]], warning=SMOKE if smoke else "")


def write(parts: list[Any], output: Path, *, threads: int, smoke: bool) -> None:
    """The report, and where it is the one of the repository the README's choice of it."""
    from benchmarks import first_screen

    text = page(parts, threads=threads, smoke=smoke)
    output.write_text(text)
    if output == RESULTS:
        first_screen.update(RESULTS.parents[1] / "README.md", text)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speed and quality beside each peer.")
    parser.add_argument("--only", action="append", default=[], metavar="SECTION", help="this section; may be repeated")
    parser.add_argument(
        "--update", action="store_true", help="write the page anew, with the other sections as they were last taken"
    )
    parser.add_argument("--reps", type=int, metavar="N", help="repetitions of every measurement")
    parser.add_argument("--threads", type=int, metavar="N", help=f"of every contender (default: {THREADS})")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does everything run?")
    parser.add_argument(
        "--output", type=Path, metavar="FILE",
        help="report, with results.json beside it (default: RESULTS.md; a part or a smoke run is printed)",
    )  # fmt: skip
    arguments = parser.parse_args()
    for name, value in (("--reps", arguments.reps), ("--threads", arguments.threads)):
        if value is not None and value < 1:
            parser.error(f"{name} must be at least 1, not {value}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
