"""The field's table of contents, read from `canon.toml`, and where the source of each of our objects lies.

Nothing here imports a method or a library: sources are parsed, not run, so that `breadth ls` and `breadth show` start
at once on a machine where nothing is compiled yet.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

Status = Literal["planned", "served", "finished"]
Grade = Literal["A", "B", "C"]

PACKAGE = Path(__file__).parent
SECTION_NAMES = (
    "Args",
    "Attributes",
    "Returns",
    "Yields",
    "Raises",
    "Cost",
    "Deviations",
    "References",
    "Peer",
    "In production",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One method of the canon, as `canon.toml` states it."""

    id: str
    section: str  # "1.3.1"
    title: str
    kind: str  # "estimator", "metric", "layer", ...
    must: str  # what counts as doing it
    status: Status
    objects: tuple[str, ...] = ()  # dotted paths: ours when finished, a library's when served
    peer: str = ""
    grade: Grade | None = None
    test: str = ""  # "tests/tabular/test_forest.py::test_..."
    comparison: str = ""  # name for `breadth compare`
    errata: tuple[str, ...] = ()

    @property
    def chapter(self) -> str:
        return self.section.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Source:
    """Where an object of ours is written, and what its author says about it."""

    path: Path
    line: int
    signature: str  # "GradientBoostingClassifier(*, max_iter=100, ...)"; empty for modules and constants
    docstring: str  # empty where there is none


@cache
def rows() -> tuple[Row, ...]:
    """Every row of the canon, in the order of its sections.

    Raises:
        ValueError: if a row has an unknown field, lacks one, or has a status or grade that does not exist.
    """
    known = {field.name for field in fields(Row)} - {"id", "section"}
    read = []
    for section, methods in _toml().items():
        if section == "chapters":
            continue
        for id_, values in methods.items():
            where = f'canon.toml, ["{section}".{id_}]'
            if unknown := sorted(values.keys() - known):
                raise ValueError(f"{where}: unknown field {unknown[0]!r}; a row may have {', '.join(sorted(known))}")
            if missing := sorted({"title", "kind", "must", "status"} - values.keys()):
                raise ValueError(f"{where}: the field {missing[0]!r} is missing")
            for name, allowed in (("status", get_args(Status)), ("grade", get_args(Grade))):
                if name in values and values[name] not in allowed:
                    raise ValueError(f"{where}: {name} is {values[name]!r}; it must be one of {', '.join(allowed)}")
            frozen: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
            read.append(Row(id=id_, section=section, **frozen))
    return tuple(read)


def chapters() -> dict[str, str]:
    """Title of each chapter by its number: {"1": "Classical machine learning", ...}."""
    return _toml()["chapters"]


@cache
def _toml() -> dict[str, Any]:
    with (PACKAGE / "canon.toml").open("rb") as file:
        return tomllib.load(file)


def select(topic: str | None = None) -> tuple[Row, ...]:
    """Rows that a topic names; all rows for None.

    Args:
        topic: a section with those below it ("1.3"), a kind ("metric"), a status ("finished"), or any part of an id or
            title; case does not matter.

    Raises:
        ValueError: if no row matches.
    """
    if topic is None:
        return rows()
    wanted = topic.strip().casefold()
    if re.fullmatch(r"\d+(\.\d+)*", wanted):
        chosen = tuple(row for row in rows() if f"{row.section}.".startswith(f"{wanted}."))
    else:
        chosen = tuple(
            row
            for row in rows()
            if wanted in (row.kind, row.status) or wanted in row.id or wanted in row.title.casefold()
        )
    if not wanted or not chosen:
        raise ValueError(f"no row of the canon matches the topic {topic!r}{_suggest(wanted)}")
    return chosen


def find(id_: str) -> Row:
    """The row with this id.

    Raises:
        ValueError: if there is none; the message names the nearest ids.
    """
    for row in rows():
        if row.id == id_:
            return row
    raise ValueError(f"no row of the canon has the id {id_!r}{_suggest(id_.strip().casefold())}")


def _suggest(wanted: str) -> str:
    """End of an error message: the ids that the reader may have meant."""
    ids = [row.id for row in rows()]
    close = difflib.get_close_matches(wanted, ids, n=3)
    if len(wanted) > 2:
        named = (row for row in rows() if any(wanted in name.casefold() for name in (row.title, *row.objects)))
        holding = [id_ for id_ in ids if wanted in id_] + [row.id for row in named]
        close = list(dict.fromkeys(close + holding))[:3]
    return f"; did you mean {', '.join(close)}?" if close else "; `breadth ls` lists them all"


def resolve(object_path: str) -> Source:
    """Find the source of one of our objects without importing it.

    Follows `from .module import name` through packages, and looks into classes for methods and into their bases.

    Args:
        object_path: dotted path inside breadth, "breadth.tabular.RandomForestClassifier".

    Raises:
        ValueError: if the path is not ours or nothing is defined there.
    """
    parts = object_path.split(".")
    if parts[0] != "breadth":
        raise ValueError(f"{object_path!r} is not an object of breadth")
    found = _in_module(PACKAGE, parts[1:], frozenset())
    if found is None:
        raise ValueError(f"nothing in the sources of breadth defines {object_path!r}")
    return found


def _in_module(folder_or_file: Path, names: list[str], seen: frozenset[tuple[Path, str]]) -> Source | None:
    """Look up names[0] in a module, then the rest within it. `seen` stops circular imports."""
    package = folder_or_file.is_dir()
    file = folder_or_file / "__init__.py" if package else folder_or_file
    if not file.is_file():
        return None
    tree = _parse(file)
    if not names:
        return Source(file, 1, "", ast.get_docstring(tree) or "")
    name, rest = names[0], names[1:]
    if (file, name) in seen:
        return None
    seen |= {(file, name)}
    body = list(_statements(tree.body))
    for position, node in enumerate(body):
        if _defines(node, name):
            if isinstance(node, ast.Assign | ast.AnnAssign):
                following = body[position + 1] if position + 1 < len(body) else None
                return None if rest else Source(file, node.lineno, "", _constant_docstring(following, tree))
            return _in_definition(file, node, rest, seen)
    for node in body:  # re-exported from another module of ours
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name and (target := _imported(file, node)):
                    return _in_module(target, [alias.name, *rest], seen)
    if package:
        child = folder_or_file / name
        return _in_module(child if child.is_dir() else child.with_suffix(".py"), rest, seen)
    return None


def _constant_docstring(following: ast.stmt | None, module: ast.Module) -> str:
    """The string literal below a constant, else what its file says about itself."""
    if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
        text = following.value.value
        if isinstance(text, str):
            return inspect.cleandoc(text)
    return ast.get_docstring(module) or ""


def _in_definition(file: Path, node: ast.stmt, rest: list[str], seen: frozenset[tuple[Path, str]]) -> Source | None:
    """A class or function itself, or a method inside it when names are left."""
    if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return None  # an attribute of a class has no page of its own
    if not rest:
        return Source(file, node.lineno, _signature(node), ast.get_docstring(node) or "")
    if isinstance(node, ast.ClassDef):
        for child in _statements(node.body):
            if _defines(child, rest[0]):
                return _in_definition(file, child, rest[1:], seen)
        for base in node.bases:
            if isinstance(base, ast.Name) and (found := _in_module(file, [base.id, *rest], seen)):
                return found
    return None


@cache
def _parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a block with those under `if TYPE_CHECKING:` and `try:`."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from _statements(node.body + node.orelse)


def _defines(node: ast.stmt, name: str) -> bool:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name == name
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return any(isinstance(target, ast.Name) and target.id == name for target in targets)


def _imported(file: Path, node: ast.ImportFrom) -> Path | None:
    """Folder or file of the module that `from ... import` names; None when it is not ours."""
    if node.level:
        folder = file.parents[node.level - 1]
        parts = node.module.split(".") if node.module else []
    else:
        folder = PACKAGE.parent
        parts = (node.module or "").split(".")
        if parts[0] != "breadth":
            return None
    target = folder.joinpath(*parts)
    return target if target.is_dir() else target.with_suffix(".py")


def _signature(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Call signature as written, a class's from its `__init__`, without `self`."""
    if isinstance(node, ast.ClassDef):
        for child in node.body:
            if isinstance(child, ast.FunctionDef) and child.name == "__init__":
                return f"{node.name}({ast.unparse(child.args).removeprefix('self').removeprefix(', ')})"
        return node.name
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{node.name}({ast.unparse(node.args).removeprefix('self').removeprefix(', ')}){returns}"


def docstring_sections(docstring: str) -> dict[str, str]:
    """Split a Google-style docstring at its section headings.

    Args:
        docstring: cleaned of indentation, as `inspect.cleandoc` leaves it.

    Returns:
        Text by heading, in order; what stands before the first heading is under "".
    """
    heading = re.compile(rf"({'|'.join(SECTION_NAMES)}):[ \t]*(.*)")
    parts: dict[str, list[str]] = {"": []}
    current = ""
    for line in docstring.splitlines():
        if match := heading.fullmatch(line):
            current = match[1]
            parts.setdefault(current, []).append(match[2])
        else:
            parts[current].append(line)
    return {name: "\n".join(lines).strip("\n") for name, lines in parts.items()}
