"""What holds for every test: where kernels are cached, and how many threads a worker may take.

Set before anything imports numba or a BLAS, which read these once.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

# Kept between runs, but a new folder whenever a kernel's source changes: Numba looks only at the file of the function
# that is called, and would serve a compiled caller with the old code of what it calls in another file.
_home = Path(sys.prefix) if sys.prefix != sys.base_prefix else ROOT / ".pytest_cache"
_sources = hashlib.sha256()
for _file in sorted((ROOT / "src").rglob("*_kernels.py")):
    _sources.update(_file.read_bytes())
os.environ.setdefault("NUMBA_CACHE_DIR", str(_home / "numba-cache" / _sources.hexdigest()[:12]))

# two workers on two cores: a BLAS or OpenMP pool that takes every core for each of them waits in circles for minutes
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(_name, "1")
