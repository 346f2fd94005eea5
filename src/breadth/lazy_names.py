"""Names of a package that are imported on first use, so that importing it costs nothing and needs no extra."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, modules: Mapping[str, Sequence[str]], *, needs: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's `__getattr__` and `__dir__`.

        __getattr__, __dir__ = lazy_names(__name__, {"model": ("LM",)}, needs=("torch",))

    Args:
        package: its `__name__`; it has `__all__`.
        modules: names by the module below it that has them.
        needs: packages of the extra that is called as the package's last part.

    Returns:
        What the package binds to `__getattr__` and `__dir__`.

    Raises:
        AttributeError: from the first, for a name that the package has not.
        ModuleNotFoundError: from the first, if one of `needs` is not installed; it names the extra.

    References: PEP 562.
    """
    homes = {name: module for module, names in modules.items() for name in names}

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            return getattr(import_module(f"{package}.{homes[name]}"), name)
        except ModuleNotFoundError as missing:
            if missing.name not in needs:
                raise
            extra = package.rpartition(".")[2]
            needed = f"{package}.{name} needs the package {missing.name}: pip install 'breadth[{extra}]'"
            raise ModuleNotFoundError(needed, name=missing.name) from missing

    return get, lambda: list(sys.modules[package].__all__)
