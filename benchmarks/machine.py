"""On what the figures were taken."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

PACKAGES = (
    "breadth", "numpy", "numba", "scikit-learn", "lightgbm", "xgboost-cpu", "tokenizers", "tiktoken", "sentencepiece",
    "faiss-cpu", "torch", "gymnasium", "stable-baselines3", "transformers",
)  # fmt: skip


def processor() -> str:
    """The model as Linux names it, else as Python knows it, with the number of processors that may be used."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{names[0] if names else platform.processor() or platform.machine()}, {usable} processors"


def versions() -> str:
    return ", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in PACKAGES)])


def revision() -> str:
    """The commit, and whether files differ from it; empty outside a repository."""
    here = Path(__file__).parent
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True)
    if head.returncode:
        return ""
    changed = subprocess.run(["git", "status", "--porcelain", "../src"], cwd=here, capture_output=True, text=True)
    return head.stdout.strip() + (" with uncommitted changes" if changed.stdout.strip() else "")


def load() -> float:
    """Processes that wanted a processor, on average over the last minute."""
    return os.getloadavg()[0]


def settle_threads(threads: int) -> None:
    """Give every OpenMP and BLAS library of this process and its children this many threads; before they are loaded.

    Raises:
        RuntimeError: if NumPy is loaded already, and its BLAS has made up its mind.
    """
    if "numpy" in sys.modules:
        raise RuntimeError("settle_threads must be called before anything imports numpy")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[name] = str(threads)
