"""Compiled code outlives neither a change of any kernel nor the package's own idea of what is current."""

from __future__ import annotations

import pytest

from breadth.kernel_cache import forget_stale


@pytest.fixture
def package(tmp_path):
    (tmp_path / "room" / "__pycache__").mkdir(parents=True)
    (tmp_path / "caller_kernels.py").write_text("def caller(): ...")
    (tmp_path / "room" / "callee_kernels.py").write_text("def callee(): return 1")
    folder = tmp_path / "room" / "__pycache__"
    (folder / "caller.nbi").write_text("index")
    (folder / "caller.1.nbc").write_text("code")
    (folder / "module.pyc").write_text("bytecode")
    return tmp_path


def cached(package):
    return sorted(path.name for path in package.rglob("*.nb[ic]"))


def test_code_of_unknown_origin_goes_and_what_is_compiled_after_stays(package):
    assert forget_stale(package)
    assert cached(package) == []
    assert (package / "room" / "__pycache__" / "module.pyc").exists()
    (package / "room" / "__pycache__" / "caller.nbi").write_text("new")
    assert not forget_stale(package)
    assert cached(package) == ["caller.nbi"]


@pytest.mark.parametrize("change", ["edited", "renamed", "added", "removed"])
def test_a_change_of_any_kernel_empties_the_cache(package, change):
    forget_stale(package)
    (package / "room" / "__pycache__" / "caller.nbi").write_text("new")
    callee = package / "room" / "callee_kernels.py"
    if change == "edited":
        callee.write_text("def callee(): return 2")
    elif change == "renamed":
        callee.rename(callee.with_name("other_kernels.py"))
    elif change == "added":
        callee.with_name("other_kernels.py").write_text("")
    else:
        callee.unlink()
    assert forget_stale(package)
    assert cached(package) == []


def test_other_sources_do_not_count(package):
    forget_stale(package)
    (package / "room" / "__pycache__" / "caller.nbi").write_text("new")
    (package / "plain.py").write_text("x = 1")
    assert not forget_stale(package)
    assert cached(package) == ["caller.nbi"]
