"""After a room's warm-up, every kernel that is called from Python has been compiled."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
from numba.core.dispatcher import Dispatcher


def kernels(room):
    """The kernels of a room that have a wrapper for Python, by their names."""
    package = importlib.import_module(f"breadth.{room}")
    for found in pkgutil.walk_packages(package.__path__, f"breadth.{room}."):
        if found.name.endswith("_kernels") and ".trees." not in found.name:  # those call each other, unseen from here
            module = importlib.import_module(found.name)
            for name, value in vars(module).items():
                if isinstance(value, Dispatcher) and value.py_func.__module__ == found.name and name[0] != "_":
                    yield f"{found.name}.{name}", value


@pytest.mark.parametrize("room", ["stats", "metrics", "recommend", "tabular"])
def test_a_warm_up_leaves_no_kernel_for_later(room):
    lines = []
    importlib.import_module(f"breadth.{room}.warmup").warmup(lines.append)
    assert lines
    missed = [name for name, kernel in kernels(room) if not kernel.signatures]
    assert missed == []
