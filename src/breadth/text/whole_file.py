"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def writable(path: str | os.PathLike[str]) -> Path:
    """The path of a file that may be made or replaced; raises where there is no folder for it, or no file there."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"path: the folder {str(path.parent)!r} does not exist; make it before saving")
    if path.exists() and not path.is_file():
        raise FileExistsError(f"path: {str(path)!r} is a folder, device or pipe, and no file can take its place")
    return path


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file so that a reader, also after a crash, finds the old content or the new.

    Args:
        path: of the file; its folder must exist.
        data: the new content.

    Raises:
        OSError: if the folder does not exist or cannot be written to, or `path` is a folder, device or pipe; the old
            file is untouched.
    """
    path = writable(path)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)  # mkstemp lets only us read
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
