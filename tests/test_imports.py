"""What starts fast stays light: no heavy package is imported before it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {"torch", "numba", "llvmlite", "sklearn", "scipy", "polars", "pandas", "lightgbm", "xgboost", "matplotlib"}


def _imported_by(code: str) -> set[str]:
    """Top-level packages that a fresh interpreter has loaded after running the code."""
    probe = f"import sys\n{code}\nprint('LOADED', *{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("LOADED")[2].split())


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["ls"], ["ls", "-o", "json"], ["ls", "--help"], ["show", "boosting"]],
    ids=" ".join,
)
def test_help_ls_and_show_start_without_a_heavy_package(arguments):
    code = f"from breadth.cli.main import main\nassert main({arguments!r}) == 0"
    assert not _imported_by(code) & HEAVY


def test_help_does_not_even_load_the_argument_parser():
    assert not _imported_by("from breadth.cli.main import main\nmain(['--help'])") & {"cyclopts", "rich"}


def test_the_package_itself_imports_nothing():
    assert not _imported_by("import breadth") & (HEAVY | {"numpy"})


def test_estimators_are_used_without_torch_or_a_peer():
    assert not _imported_by("import breadth.tabular, breadth.data") & {"torch", "lightgbm", "xgboost", "matplotlib"}


def test_tokenizers_are_used_without_what_features_of_text_need():
    code = "import breadth.text as text\nassert text.load_tokenizer and 'BM25' in dir(text)"
    assert not _imported_by(code) & {"sklearn", "pandas", "polars", "torch"}
    assert "sklearn" in _imported_by(f"{code}\nassert text.TfidfVectorizer and text.BM25")


def test_rooms_import_only_down_the_list():
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-logo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout
