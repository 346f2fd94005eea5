"""What the documents show is true: the sample method passes the tests beside it, and the commands exist."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from breadth import canon
from breadth.cli.main import VERBS

ROOT = Path(__file__).parent.parent
HEAD = """
import math
import numpy as np
import pytest
import scipy.special
from numpy.typing import ArrayLike, NDArray
"""


def test_the_sample_method_of_contributing_passes_its_own_tests(tmp_path):
    method, test = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
    file = tmp_path / "test_sample.py"
    file.write_text(HEAD + method + test, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, file]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    (function,) = (node for node in ast.parse(method).body if isinstance(node, ast.FunctionDef))
    assert {"Args", "Returns", "References", "Peer"} <= canon.docstring_sections(ast.get_docstring(function)).keys()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_commands_that_the_documents_show_exist(name):
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split())
    for line in "".join(blocks).splitlines():
        program, argument = line.split()[:2]
        known = {"make": targets, "breadth": VERBS.keys(), "pip": {"install"}}[program]
        assert argument in known, line
