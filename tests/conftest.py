"""What holds for every test: where kernels are cached, and how many threads a worker may take.

Set before anything imports numba or a BLAS, which read these once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

# kept between runs, so that only changed kernels compile again
_home = Path(sys.prefix) if sys.prefix != sys.base_prefix else ROOT / ".pytest_cache"
os.environ.setdefault("NUMBA_CACHE_DIR", str(_home / "numba-cache"))

# two workers on two cores: a BLAS that takes every core for each of them runs many times slower
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(_name, "2")
