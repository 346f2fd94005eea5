"""Functions of the room keep their names whichever module is imported first."""

from __future__ import annotations

import subprocess
import sys


def test_generate_is_the_function_after_its_module_was_imported():
    code = (
        "import breadth.lm.generation, breadth.lm.streaming, breadth.lm as lm\n"
        "assert callable(lm.generate) and callable(lm.stream)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
