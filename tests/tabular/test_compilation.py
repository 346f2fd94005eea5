"""What a user hears of compilation, in fresh processes with an empty and a filled cache."""

from __future__ import annotations

import os
import subprocess
import sys

FIT = """
import numpy as np
from breadth.tabular import GradientBoostingClassifier
X = np.random.default_rng(0).normal(size=(100, 2)).astype("f4")
GradientBoostingClassifier(max_iter=2).fit(X, X[:, 0] > 0)
"""


def test_compiling_is_announced_once_and_not_when_the_cache_serves(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    cold, warm = (
        subprocess.run([sys.executable, "-c", FIT], env=environment, capture_output=True, text=True, timeout=300)
        for _ in range(2)
    )
    assert cold.returncode == warm.returncode == 0
    lines = cold.stderr.splitlines()
    assert lines[0].startswith("breadth: compiling kernels for this machine")
    assert lines[-1].startswith("breadth: compiled in")
    assert len(lines) == 2
    assert warm.stderr == ""
