"""breadth: the machine-learning canon as working parts."""

from pathlib import Path as _Path

from breadth.kernel_cache import forget_stale as _forget_stale

__version__ = "0.1.0"

_forget_stale(_Path(__file__).parent)
