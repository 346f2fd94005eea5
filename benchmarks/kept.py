"""Sections as they were taken, kept in results.json: one can be measured anew and the page be written from all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.harness import Row, Section, Spread, Times
from benchmarks.tables import Taken


def read(file: Path, sections: Mapping[str, Section]) -> tuple[dict[str, Taken], dict[str, Times]]:
    """Sections by name, and the seconds behind them; nothing of a section that no longer exists."""
    kept = json.loads(file.read_text()).get("sections", {}) if file.exists() else {}
    taken = {name: _taken(sections[name], part) for name, part in kept.items() if name in sections}
    return taken, {name: kept[name]["seconds of runs"] for name in taken}


def write(file: Path, taken: Mapping[str, Taken], raw: Mapping[str, Times]) -> None:
    parts = {
        name: {
            "when": part.when,
            "seconds": part.seconds,
            "load": part.load,
            "failure": part.failure,
            "rows": [asdict(row) | {"spread": row.spread and row.spread._asdict()} for row in part.rows],
            "seconds of runs": {
                what: [float(f"{value:.5g}") for value in values] for what, values in raw.get(name, {}).items()
            },
        }
        for name, part in taken.items()
    }
    file.write_text(json.dumps({"sections": parts}, indent=0) + "\n")


def _taken(section: Section, part: dict[str, Any]) -> Taken:
    rows = [Row(**row | {"spread": row["spread"] and Spread(**row["spread"])}) for row in part["rows"]]
    return Taken(section, rows, part["seconds"], tuple(part["load"]), part["when"], part["failure"])
