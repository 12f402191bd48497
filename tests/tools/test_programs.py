"""Programs that the Makefile starts find all that they import.

pytest adds folders to the import path that such a program does not have.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from checkout import TOP

IMPORT = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='imported')"
PROGRAMS = [
    TOP / "tests/support/azureml_demo.py",
    *TOP.glob("benchmarks/*.py"),
    # The fuzzer has an environment of its own.
    *(
        TOP / f"tools/{name}.py"
        for name in ("documents", "lock", "reproduce", "serve", "show_receipt", "ui")
    ),
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.name)
def test_a_program_finds_all_that_it_imports(program: Path):
    # Python adds a program's own folder to the import path only if it is started by its name.
    start = f"import sys; sys.path.insert(0, {str(program.parent)!r}); {IMPORT}"
    ended = subprocess.run(
        [sys.executable, "-c", start, str(program)], cwd=TOP, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
