"""How a comparison is run: repeats, workers, threads, limits; and what of it decides the numbers."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Literal

Backend = Literal["loky", "threading", "dask"]


@dataclass(frozen=True, slots=True)
class Settings:
    """One run's plan.

    Args:
        seeds: repeats of the whole cross-validation, each with its own shuffle and its own seeds, >= 1.
        large_seeds: repeats on tables of LARGE rows or more, >= 1; None means seeds.
        folds: folds of the cross-validation, >= 2.
        jobs: worker processes of the quality pass, >= 1.
        backend: joblib's backend of the quality pass.
        budget: seconds after which no further cell starts; None means no limit.
        tune: random configurations per contender and split, >= 0.
        resume: take cells that are stored already instead of measuring them again.
        rounds: rounds of the speed pass, >= 0; 0 leaves it out.
        threads: threads of one fit in the speed pass, >= 1.

    Raises:
        ValueError: if a number is outside its range.
    """

    seeds: int = 3
    large_seeds: int | None = None
    folds: int = 5
    jobs: int = 1
    backend: Backend = "loky"
    budget: float | None = None
    tune: int = 0
    resume: bool = True
    rounds: int = 5
    threads: int = 1

    def __post_init__(self) -> None:
        least = {"seeds": 1, "folds": 2, "jobs": 1, "tune": 0, "rounds": 0, "threads": 1}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be >= {low}, got {getattr(self, name)}")
        if self.budget is not None and self.budget <= 0:
            raise ValueError(f"budget must be > 0 seconds, got {self.budget}")

    def repeats(self, n_rows: int) -> int:
        return self.large_seeds if self.large_seeds is not None and n_rows >= LARGE else self.seeds

    def threads_line(self) -> str:
        """The thread plan in words."""
        cores = available_cores()
        workers = f"{self.jobs} {self.backend} worker{'s' * (self.jobs > 1)} × 1 thread"
        speed = (
            f"1 process × {self.threads} thread{'s' * (self.threads > 1)}, nothing else running"
            if self.rounds
            else "no pass"
        )
        return f"quality: {workers}; speed: {speed}; cores: {cores}"


LARGE = 50_000


def available_cores() -> int:
    """Cores that this process may use, which in a container or under taskset is fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def seconds(text: str) -> float:
    """Read a duration: `90`, `90s`, `5m`, `1.5h`.

    Raises:
        ValueError: if text is none of these, or not above zero.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if match is None or float(match[1]) == 0:
        raise ValueError(f"--budget must be a duration such as 60s, 5m or 1.5h, got {text!r}")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]
