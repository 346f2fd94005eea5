"""After a room's warm-up, every kernel that is called from Python has been compiled."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest
from numba.core.dispatcher import Dispatcher


def called_from_python(package):
    """(module, name) of what the room's modules of Python, not of kernels, import from its modules of kernels."""
    for path in Path(package.__path__[0]).rglob("*.py"):
        if not path.stem.endswith("_kernels"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("_kernels"):
                    yield from ((node.module, alias.name) for alias in node.names)


def kernels(room):
    """The kernels of a room that Python calls, by their names."""
    package = importlib.import_module(f"breadth.{room}")
    for module, name in sorted(set(called_from_python(package))):
        value = getattr(importlib.import_module(module), name)
        if isinstance(value, Dispatcher) and ".trees." not in module:  # those call each other, unseen from here
            yield f"{module}.{name}", value


@pytest.mark.parametrize("room", ["stats", "metrics", "recommend", "tabular"])
def test_a_warm_up_leaves_no_kernel_for_later(room):
    assert list(kernels(room))
    lines = []
    importlib.import_module(f"breadth.{room}.warmup").warmup(lines.append)
    assert lines
    missed = [name for name, kernel in kernels(room) if not kernel.signatures]
    assert missed == []
