"""Speed and quality beside each peer, written to RESULTS.md.

python benchmarks/run.py [--only SECTION ...] [--reps N] [--threads N] [--smoke] [--output FILE]
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
import traceback
import warnings
from datetime import UTC, datetime
from pathlib import Path

THREADS = 2
MODULES = ("boosting", "variants", "quality", "determinism", "forest", "start", "tokenizers", "vectors")
RESULTS = Path(__file__).with_name("RESULTS.md")
SMOKE = "Smoke run: tiny sizes, no cold start. It shows that everything runs; no figure here means anything."


def main() -> int:
    """Measure, print progress to standard error, write the report; 1 if a section failed."""
    arguments = parse()
    sys.path[0] = str(Path(__file__).parents[1])  # where `benchmarks` is a package
    from benchmarks import first_screen, machine

    # on a busy machine the peers' OpenMP threads wait for each other for seconds
    threads = arguments.threads or (1 if arguments.smoke else THREADS)
    machine.settle_threads(threads)
    # these import NumPy, whose BLAS reads the number of threads once
    from benchmarks.harness import Setup, Times
    from benchmarks.tables import Taken, report

    modules = [importlib.import_module(f"benchmarks.{name}") for name in MODULES]
    sections = {section.name: section for module in modules for section in module.SECTIONS}
    unknown = sorted(set(arguments.only) - set(sections))
    if unknown:
        print(f"--only {' '.join(unknown)}: no such section; there are {', '.join(sections)}", file=sys.stderr)
        return 2
    warnings.filterwarnings("ignore", message="X does not have valid feature names")  # LightGBM's, about its own names
    setup = Setup(threads, arguments.smoke, arguments.reps)
    raw: dict[str, Times] = {}
    taken: list[Taken] = []
    for name in arguments.only or sections:
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        began, load, rows, failure = time.perf_counter(), machine.load(), [], ""
        try:
            rows = sections[name].rows(setup, raw.setdefault(name, {}))
        except Exception:  # the others are still worth having; the report and the exit status tell of this one
            failure = traceback.format_exc()
        seconds = time.perf_counter() - began
        taken.append(Taken(sections[name], rows, seconds, (load, machine.load()), failure))
        print(f"{seconds:.0f} s" + (f"\n{failure}" if failure else ""), file=sys.stderr, flush=True)

    facts = [
        ("processor", machine.processor()),
        ("threads", f"{threads} for every contender"),
        ("versions", machine.versions()),
        ("commit", machine.revision()),
        ("taken", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {sum(part.seconds for part in taken):.0f} s in all"),
        ("load average (1 min)", f"{min(min(p.load) for p in taken):.2f} to {max(max(p.load) for p in taken):.2f}; "
         f"this benchmark alone makes about {threads}"),
    ]  # fmt: skip
    page = report(taken, facts=[fact for fact in facts if fact[1]], warning=SMOKE if arguments.smoke else "")
    output = arguments.output or (None if arguments.smoke or arguments.only else RESULTS)
    if output is None:
        print(page)
    else:
        output.write_text(page)
        output.with_name("results.json").write_text(json.dumps(rounded(raw), indent=0) + "\n")
        print(f"written to {output}", file=sys.stderr)
        if output == RESULTS:
            first_screen.update(RESULTS.parents[1] / "README.md", page)
    return 1 if any(part.failure for part in taken) else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speed and quality beside each peer.")
    parser.add_argument("--only", action="append", default=[], metavar="SECTION", help="this section; may be repeated")
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


def rounded(raw: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, list[float]]]:
    return {
        section: {name: [float(f"{value:.5g}") for value in values] for name, values in figures.items()}
        for section, figures in raw.items()
    }


if __name__ == "__main__":
    sys.exit(main())
