"""Which files a script depends on: lib/code.py."""

import hashlib
from pathlib import Path

import pytest

from checkout import TOP
from lib import code

SCRIPTS = TOP / "workflow/scripts"


@pytest.mark.parametrize(
    ("script", "modules"),
    [
        ("download.py", ["command", "files", "idx", "record", "sources"]),
        ("parse.py", ["command", "files", "idx", "record"]),
        ("preview.py", ["command", "files", "record"]),
        ("draw_sweep.py", ["command", "files", "record"]),
        (
            "train.py",
            [
                "code",
                "command",
                "files",
                "fingerprint",
                "idx",
                "imports",
                "machine",
                "model",
                "newton/__init__",
                "newton/estimator",
                "newton/hessian",
                "newton/objective",
                "newton/optimizer",
                "newton/rounding",
                "newton/rows",
                "reporting",
                "solvers",
                "sweep",
            ],
        ),
        ("evaluate.py", ["command", "files", "imports", "model", "record"]),
        (
            "register.py",
            [
                "code",
                "command",
                "files",
                "idx",
                "imports",
                "model",
                "pins",
                "provenance",
                "receipt",
            ],
        ),
    ],
)
def test_the_files_of_each_rule(script: str, modules: list[str]):
    library = [SCRIPTS / "lib" / f"{module}.py" for module in ("__init__", *modules)]
    assert code.files(SCRIPTS / script) == [SCRIPTS / script, *library]


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize(
    "statement",
    [
        "import lib.idx",
        "import lib.idx as format, os",
        "from lib import idx",
        "from lib.idx import read",
        "def late():\n    from lib import idx",
        "if True:\n    import lib.idx",
    ],
)
def test_every_form_of_import_is_followed(tmp_path: Path, statement: str):
    write(tmp_path, {"script.py": statement, "lib/__init__.py": "", "lib/idx.py": "", "os.txt": ""})
    assert [
        path.relative_to(tmp_path).as_posix() for path in code.files(tmp_path / "script.py")
    ] == [
        "script.py",
        "lib/__init__.py",
        "lib/idx.py",
    ]


def test_imports_are_followed_at_any_depth_and_in_circles(tmp_path: Path):
    write(
        tmp_path,
        {
            "script.py": "import first",
            "first.py": "from package.inner import second",
            "package/__init__.py": "",
            "package/inner/__init__.py": "import third",
            "package/inner/second.py": "import first",
            "third.py": "import numpy, script",
            "unused.py": "",
        },
    )
    found = [path.relative_to(tmp_path).as_posix() for path in code.files(tmp_path / "script.py")]
    assert found == [
        "script.py",
        "first.py",
        "package/__init__.py",
        "package/inner/__init__.py",
        "package/inner/second.py",
        "third.py",
    ]


def test_a_relative_import_is_refused(tmp_path: Path):
    write(tmp_path, {"script.py": "from . import idx"})
    with pytest.raises(ValueError, match="relative import"):
        code.files(tmp_path / "script.py")


def test_digests_begin_as_the_checksums_of_the_files(tmp_path: Path):
    write(tmp_path, {"scripts/a.py": "one", "envs/b.yaml": "two"})
    assert code.digests(tmp_path / "scripts/a.py", tmp_path / "envs/b.yaml", folder=tmp_path) == {
        "scripts/a.py": hashlib.sha256(b"one").hexdigest()[:16],
        "envs/b.yaml": hashlib.sha256(b"two").hexdigest()[:16],
    }
