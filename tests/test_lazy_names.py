"""Names that a package imports on first use."""

from __future__ import annotations

import importlib
import sys

import pytest

from breadth.lazy_names import lazy_names


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "some_lazy_package"
    folder.mkdir()
    (folder / "__init__.py").write_text('__all__ = ["here", "lacking", "broken"]\n', encoding="utf-8")
    (folder / "good.py").write_text("here = 3\n", encoding="utf-8")
    (folder / "poor.py").write_text("import absent\nlacking = 0\n", encoding="utf-8")
    (folder / "bad.py").write_text("import lost\nbroken = 0\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    package = importlib.import_module("some_lazy_package")

    yield package
    for name in [name for name in sys.modules if name.startswith("some_lazy_package")]:
        del sys.modules[name]


def test_a_module_is_imported_when_its_name_is_asked_for(package):
    modules = {"good": ("here",), "poor": ("lacking",), "bad": ("broken",)}
    get, names = lazy_names("some_lazy_package", modules, needs=("absent",))
    assert "some_lazy_package.good" not in sys.modules
    assert get("here") == 3
    assert names() == package.__all__
    with pytest.raises(AttributeError, match="module 'some_lazy_package' has no attribute 'other'"):
        get("other")
    with pytest.raises(ModuleNotFoundError, match=r"needs the package absent: pip install 'breadth\["):
        get("lacking")
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'lost'$"):
        get("broken")
