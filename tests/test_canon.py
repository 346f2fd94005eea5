"""The canon says what there is: complete, in order, and true of the code."""

from __future__ import annotations

import importlib.util
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

from breadth import canon
from breadth.canon import Row

ROOT = Path(__file__).parent.parent
ROWS_BY_CHAPTER = {"1": 80, "2": 20, "3": 31, "4": 52, "5": 12, "6": 40, "7": 25, "8": 26, "9": 10, "10": 14}
FINISHED = [row for row in canon.rows() if row.status == "finished"]
SERVED = [row for row in canon.rows() if row.status == "served"]
FINISHED_OBJECTS = sorted({path for row in FINISHED for path in row.objects})


def test_the_canon_has_310_rows_with_ids_of_their_own():
    ids = [row.id for row in canon.rows()]
    assert len(ids) == 310
    assert len(set(ids)) == 310
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", id_) for id_ in ids)


def test_sections_stand_in_order_and_belong_to_a_chapter():
    sections = [tuple(map(int, row.section.split("."))) for row in canon.rows()]
    assert sections == sorted(sections)
    assert {row.chapter for row in canon.rows()} == set(canon.chapters())


def test_each_chapter_holds_as_many_rows_as_the_field_lists():
    counts = {number: sum(row.chapter == number for row in canon.rows()) for number in canon.chapters()}
    assert counts == ROWS_BY_CHAPTER


@pytest.mark.parametrize("row", canon.rows(), ids=lambda row: row.id)
def test_a_row_has_what_its_status_asks_for(row: Row):
    assert row.title and row.kind and row.must
    if row.status == "planned":
        assert not row.objects and not row.grade, "a planned row claims nothing"
    if row.status == "served":
        assert row.objects and not any(path.startswith("breadth.") for path in row.objects)
    if row.status == "finished":
        assert row.objects and all(path.startswith("breadth.") for path in row.objects)
        assert row.grade in ("A", "B", "C")
        assert row.peer
        assert row.grade != "C" or re.match(r"none: \S", row.peer), 'grade C says why: peer = "none: <why>"'


@pytest.mark.parametrize("row", FINISHED, ids=lambda row: row.id)
def test_a_finished_row_names_a_test_that_exists(row: Row):
    file, _, name = row.test.partition("::")
    assert file.startswith("tests/")
    text = (ROOT / file).read_text(encoding="utf-8")
    if name:
        assert re.search(rf"^\s*(def|class) {re.escape(name.rpartition('::')[2])}\b", text, re.MULTILINE)


@pytest.mark.parametrize("row", [row for row in FINISHED if row.comparison], ids=lambda row: row.id)
def test_a_comparison_that_a_row_names_exists(row: Row):
    module = row.comparison.replace("-", "_")
    assert (canon.PACKAGE / "evidence" / "comparisons" / f"{module}.py").is_file()


@pytest.mark.parametrize("path", sorted({path for row in SERVED for path in row.objects}))
def test_an_object_that_a_library_serves_exists(path: str):
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401  (its import makes the search available)

    assert pkgutil.resolve_name(path) is not None


@pytest.mark.parametrize("path", FINISHED_OBJECTS)
def test_a_finished_object_is_found_alike_by_import_and_in_the_sources(path: str):
    thing = pkgutil.resolve_name(path)
    source = canon.resolve(path)
    function = getattr(thing, "py_func", thing)  # a compiled kernel keeps its Python function here
    if inspect.isclass(function) or inspect.isfunction(function):
        assert source.path.samefile(inspect.getsourcefile(function))
        assert source.docstring == inspect.getdoc(function)


@pytest.mark.parametrize("path", FINISHED_OBJECTS)
def test_a_finished_object_states_arguments_results_sources_and_peer(path: str):
    docstring = canon.resolve(path).docstring
    if path.startswith("breadth.evidence."):  # a comparison: its question and its contenders are data, not arguments
        assert docstring
        return
    thing = pkgutil.resolve_name(path)
    sections = canon.docstring_sections(docstring)
    assert sections[""].splitlines()[0].endswith("."), "the first line is one sentence"
    assert {"References", "Peer"} <= sections.keys()
    if inspect.isclass(thing):
        assert {"Args", "Attributes"} & sections.keys()
    elif callable(thing):
        assert {"Args", "Returns"} <= sections.keys()
    assert all(text.strip() for name, text in sections.items() if name), "a heading has something below it"


def test_an_unknown_id_is_answered_with_the_nearest_ones():
    with pytest.raises(ValueError, match=r"'random-forrest'; did you mean random-forest"):
        canon.find("random-forrest")
    with pytest.raises(ValueError, match="`breadth ls` lists them all"):
        canon.find("qqqq")
    with pytest.raises(ValueError):
        canon.find("")


def test_a_topic_is_a_section_a_kind_a_status_or_part_of_a_name():
    assert {row.section for row in canon.select("1.3")} == {"1.3.1", "1.3.2", "1.3.3", "1.3.4"}
    assert not any(row.section.startswith("10") for row in canon.select("1"))
    assert {row.kind for row in canon.select("optimizer")} >= {"optimizer"}
    assert {row.status for row in canon.select("served")} == {"served"}
    assert "xgboost" in {row.id for row in canon.select("XGBoost")}
    assert canon.select(None) == canon.rows()
    for nothing in ("no such topic", "99", " "):
        with pytest.raises(ValueError, match="topic"):
            canon.select(nothing)


@pytest.fixture
def other_canon(tmp_path, monkeypatch):
    """A package of its own, so that reading can be tried on what ours does not hold."""
    monkeypatch.setattr(canon, "PACKAGE", tmp_path / "breadth")
    for cached in (canon.rows, canon._toml):
        cached.cache_clear()
    (tmp_path / "breadth").mkdir()
    yield tmp_path / "breadth"
    for cached in (canon.rows, canon._toml):
        cached.cache_clear()


@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        ('title = "X"\nkind = "k"\nmust = "m"\nstatus = "done"', "status is 'done'; it must be one of planned, served"),
        ('title = "X"\nkind = "k"\nstatus = "planned"', "the field 'must' is missing"),
        ('title = "X"\nkind = "k"\nmust = "m"\nstatus = "planned"\npeers = "y"', "unknown field 'peers'"),
        ('title = "X"\nkind = "k"\nmust = "m"\nstatus = "planned"\ngrade = "D"', "grade is 'D'"),
    ],
)
def test_a_slip_in_the_file_is_named_with_its_row(other_canon, block, complaint):
    (other_canon / "canon.toml").write_text(f'[chapters]\n1 = "One"\n["1.2".x]\n{block}\n')
    with pytest.raises(ValueError, match=re.escape('["1.2".x]')) as raised:
        canon.rows()
    assert complaint in str(raised.value)


def test_sources_are_found_through_re_exports_aliases_bases_and_constants(other_canon):
    room = other_canon / "room"
    room.mkdir()
    (other_canon / "__init__.py").write_text('"""Top."""\n')
    (room / "__init__.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .tree import Tree as Oak\n"
        "from breadth.room.tree import LIMIT, grow\nfrom .loop import round_\n"
    )
    (room / "tree.py").write_text(
        '"""Trees."""\n\nfrom .base import Plant\n\nLIMIT = 3\n"""How many."""\n\n'
        'class Tree(Plant):\n    """A tree."""\n\n    def __init__(self, *, depth: int = 3):\n        pass\n\n'
        '    def cut(self, at: int) -> None:\n        """Cut it."""\n\n'
        'def grow(n: int = 1, *, seed: int) -> "Tree":\n    """Grow one."""\n'
    )
    (room / "base.py").write_text('class Plant:\n    def water(self):\n        """Water it."""\n')
    (room / "loop.py").write_text("from . import round_\n")

    oak = canon.resolve("breadth.room.Oak")
    assert (oak.path.name, oak.line, oak.docstring) == ("tree.py", 8, "A tree.")
    assert oak.signature == "Tree(*, depth: int=3)"
    assert canon.resolve("breadth.room.grow").signature == "grow(n: int=1, *, seed: int) -> 'Tree'"
    assert canon.resolve("breadth.room.LIMIT").docstring == "How many."
    assert canon.resolve("breadth.room.Oak.cut").docstring == "Cut it."
    assert canon.resolve("breadth.room.Oak.water").docstring == "Water it."
    assert canon.resolve("breadth.room.tree").docstring == "Trees."
    for absent in ("breadth.room.round_", "breadth.room.Oak.saw", "breadth.room.tree.LIMIT.x", "breadth.cellar"):
        with pytest.raises(ValueError, match=re.escape(absent)):
            canon.resolve(absent)
    with pytest.raises(ValueError, match="not an object of breadth"):
        canon.resolve("sklearn.model_selection.KFold")


def test_docstring_sections_are_split_at_their_headings():
    sections = canon.docstring_sections("Sum.\n\nArgs:\n    x: a: b.\n\nReferences: Doe 1999, eq. 2;\n    Roe 2000.\n")
    assert list(sections) == ["", "Args", "References"]
    assert sections["Args"].strip() == "x: a: b."
    assert sections["References"].split() == ["Doe", "1999,", "eq.", "2;", "Roe", "2000."]


def test_docs_have_a_page_for_every_finished_method(tmp_path):
    subprocess.run([sys.executable, ROOT / "docs" / "build.py", tmp_path], check=True)
    assert {file.stem for file in (tmp_path / "methods").glob("*.md")} == {row.id for row in FINISHED}
    assert "1. Classical machine learning" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_docs_fail_when_a_finished_method_has_no_docstring(other_canon, tmp_path):
    spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    (other_canon / "__init__.py").write_text("def bare():\n    pass\n")
    (other_canon / "canon.toml").write_text(
        '[chapters]\n1 = "One"\n["1.1".x]\ntitle = "X"\nkind = "k"\nmust = "m"\nstatus = "finished"\n'
        'objects = ["breadth.bare"]\ngrade = "C"\npeer = "none: new"\ntest = "tests/x.py"\n'
    )
    with pytest.raises(ValueError, match=r"breadth\.bare .* has no docstring"):
        build.main(tmp_path / "docs")
