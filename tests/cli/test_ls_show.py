"""`breadth ls`, `breadth show`, and how the command ends when something is wrong."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import types
from importlib.util import find_spec

import pytest

from breadth import __version__, canon
from breadth.cli import main as command
from breadth.cli.main import main


@pytest.fixture
def verb(monkeypatch):
    """Put a verb of the test's own beside the real ones."""

    def install(function):
        module = types.ModuleType("breadth.cli.tried")
        module.tried = function
        monkeypatch.setitem(sys.modules, "breadth.cli.tried", module)
        monkeypatch.setitem(command.VERBS, "tried", ("breadth.cli.tried:tried", "Tried."))

    return install


def test_ls_json_is_the_whole_canon_with_the_five_fields_that_programs_rely_on(capsys):
    assert main(["ls", "-o", "json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert len(records) == 310
    assert all(list(record) == ["id", "section", "title", "status", "objects"] for record in records)
    assert [record["id"] for record in records] == [row.id for row in canon.rows()]
    served = next(record for record in records if record["id"] == "cross-validation")
    assert served["status"] == "served"
    assert "sklearn.model_selection.StratifiedKFold" in served["objects"]


def test_ls_csv_and_markdown_hold_the_same_rows(capsys):
    assert main(["ls", "1.4", "-o", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["id"] for row in rows] == [row.id for row in canon.select("1.4")]
    assert main(["ls", "1.4", "--output", "md"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("| section | id |")
    assert all(f"`{row['id']}`" in text for row in rows)


def test_ls_counts_by_status_and_names_the_chapter(capsys):
    assert main(["ls"]) == 0
    text = capsys.readouterr().out
    counts = {status: sum(row.status == status for row in canon.rows()) for status in ("finished", "served", "planned")}
    assert text.endswith(
        f"310 rows: {counts['finished']} finished, {counts['served']} served, {counts['planned']} planned\n"
    )
    assert "1  Classical machine learning" in text


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["ls", "gradiant"], "'gradiant'"),
        (["show", "random-forrest"], "did you mean random-forest"),
        (["sow"], "did you mean show?"),
        (["train"], "the verbs are compare, report, ls, show, tokenizer, generate, model, warmup"),
        (["--verbose"], "the first argument must be a verb"),
    ],
)
def test_an_error_of_the_caller_is_one_line_on_stderr_and_status_2(arguments, complaint, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("breadth: error: ")
    assert captured.err.count("\n") == 1
    assert complaint in captured.err


@pytest.mark.parametrize("arguments", [["ls", "--nope"], ["ls", "-o", "xml"], ["show"]])
def test_arguments_that_do_not_parse_end_with_status_2(arguments, capfd):
    assert main(arguments) == 2
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err
    assert any(word in out + err for word in ("nope", "xml", "requires an argument"))


def test_debug_shows_the_traceback(monkeypatch):
    with pytest.raises(ValueError, match="did you mean"):
        main(["show", "random-forrest", "--debug"])
    monkeypatch.setenv("BREADTH_DEBUG", "1")
    with pytest.raises(ValueError, match="did you mean"):
        main(["show", "random-forrest"])


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (FileNotFoundError(2, "No such file or directory", "a.csv"), "No such file or directory: 'a.csv'"),
        (KeyError("no data set 'fare'; did you mean fair?"), "no data set 'fare'; did you mean fair?"),
        (ImportError("breadth compare needs\n  pip install 'breadth[compare]'"), "needs pip install"),
    ],
)
def test_what_a_verb_raises_for_the_caller_is_printed_without_its_wrapping(error, line, verb, capsys):
    def tried():
        raise error

    verb(tried)
    assert main(["tried"]) == 2
    assert line in capsys.readouterr().err


def test_a_slip_of_ours_keeps_its_traceback(verb):
    verb(lambda: {}["missing"])
    with pytest.raises(KeyError):
        main(["tried"])


def test_an_interrupt_ends_with_the_status_that_shells_expect(verb, capsys):
    def tried():
        raise KeyboardInterrupt

    verb(tried)
    assert main(["tried"]) == 130
    assert capsys.readouterr().err == "breadth: interrupted\n"


def test_a_verb_decides_its_own_exit_status(verb):
    verb(lambda: 1)
    assert main(["tried"]) == 1


def test_warmup_says_what_it_compiles(monkeypatch, capsys):
    rooms = ["stats", "metrics", "tabular", "recommend", "text", "vector", *(["lm"] if find_spec("torch") else [])]
    for room in rooms:
        compiler = types.ModuleType(f"breadth.{room}.warmup")
        compiler.warmup = lambda progress, room=room: progress(f"compiling {room}")
        monkeypatch.setitem(sys.modules, compiler.__name__, compiler)
    assert main(["warmup"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("\n".join(f"compiling {room}" for room in rooms) + "\nall kernels ready after ")


def test_help_names_every_verb_and_version_is_the_package_s(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in command.VERBS)
    assert main([]) == 0
    assert capsys.readouterr().out == text
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


def test_show_prints_what_the_row_says_and_the_erratum(capsys):
    assert main(["show", "recall-sensitivity-tpr"]) == 0
    text = capsys.readouterr().out
    assert "section:  1.2 (Classical machine learning)" in text
    assert "Erratum: Commonly written as TP/(TP+TN)" in text
    assert main(["show", "cross-validation"]) == 0
    assert "served by sklearn.model_selection.KFold" in capsys.readouterr().out


@pytest.mark.parametrize("row", [row for row in canon.rows() if row.status == "finished"], ids=lambda row: row.id)
def test_show_explains_every_finished_row(row, capsys):
    assert main(["show", row.id]) == 0
    text = capsys.readouterr().out
    for path in row.objects:
        source = canon.resolve(path)
        assert f"{source.path.name}:{source.line}" in text
        assert source.docstring.splitlines()[0] in text
    assert f"grade:    {row.grade}" in text
    assert row.peer in text
    assert row.test in text


def test_a_reader_that_stops_early_causes_no_complaint():
    lister = subprocess.Popen(
        [sys.executable, "-m", "breadth.cli.main", "ls", "-o", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    lister.stdout.readline()
    lister.stdout.close()
    assert lister.stderr.read() == b""
    lister.stderr.close()
    lister.wait(timeout=60)
