"""Compiled kernels are forgotten when the source of any kernel has changed.

Numba keeps compiled code beside the package and looks only at the file of the function that is called: after an upgrade
it would go on serving a caller together with the old code of what that caller calls in another file.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

STAMP = "kernels.sha256"


def forget_stale(package: Path) -> bool:
    """Remove Numba's cached code below `package` unless it was compiled from the kernels that lie there now.

    Every kernel is in a file named *_kernels.py. Caches in other places (NUMBA_CACHE_DIR, or the user's folder where
    the package may not be written) are not looked at: empty those after an upgrade.

    Returns:
        Whether anything was removed.

    Cost: some milliseconds, for reading the sources.
    """
    sources = hashlib.sha256()
    for path in sorted(package.rglob("*_kernels.py")):
        sources.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    stamp = package / "__pycache__" / STAMP
    try:
        if stamp.read_text() == sources.hexdigest():
            return False
    except OSError:
        pass
    removed = False
    try:
        for pattern in ("*.nbi", "*.nbc"):
            for path in package.rglob(pattern):
                path.unlink(missing_ok=True)
                removed = True
        stamp.parent.mkdir(exist_ok=True)
        written = stamp.with_name(f"{STAMP}.{os.getpid()}")
        written.write_text(sources.hexdigest())
        written.replace(stamp)
    except OSError:  # a package that may not be written has no cache of its own either
        pass
    return removed
