"""The files that a program's behaviour depends on, and their checksums."""

import hashlib
from pathlib import Path

import pytest

from checkout import TOP
from image_workflow.lineage.code import code_digest, code_digests, code_files

SCRIPTS = TOP / "workflow/scripts"


def write(folder: Path, files: dict[str, str]) -> None:
    """Write files with the given texts below a folder."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def found(folder: Path) -> list[str]:
    """Return the files of program.py by their paths below a folder."""
    files = code_files(folder / "program.py")
    return [path.relative_to(folder).as_posix() for path in files]


@pytest.mark.parametrize(
    "statement",
    [
        "import package.idx",
        "import package.idx as format, os",
        "from package import idx",
        "from package.idx import read",
        "def late():\n    from package import idx",
        "if True:\n    import package.idx",
    ],
)
def test_every_form_of_import_is_followed(tmp_path: Path, statement: str):
    package = {"package/__init__.py": "", "package/idx.py": "", "os.txt": ""}
    write(tmp_path, {"program.py": statement} | package)
    assert found(tmp_path) == ["program.py", "package/__init__.py", "package/idx.py"]


def test_imports_are_followed_at_any_depth_and_in_circles(tmp_path: Path):
    write(
        tmp_path,
        {
            "program.py": "import first",
            "first.py": "from package.inner import second",
            "package/__init__.py": "",
            "package/inner/__init__.py": "import third",
            "package/inner/second.py": "import first",
            "third.py": "import numpy, program",
            "unused.py": "",
        },
    )
    assert found(tmp_path) == [
        "program.py",
        "first.py",
        "package/__init__.py",
        "package/inner/__init__.py",
        "package/inner/second.py",
        "third.py",
    ]


def test_relative_imports_are_followed_in_their_package(tmp_path: Path):
    write(
        tmp_path,
        {
            "program.py": "import package.inner.first",
            "package/__init__.py": "",
            "package/inner/__init__.py": "from .second import name",
            "package/inner/first.py": "from . import third\nfrom .. import fourth",
            "package/inner/second.py": "from ..fifth import name",
            "package/inner/third.py": "",
            "package/fourth.py": "",
            "package/fifth.py": "",
            "third.py": "",
            "fourth.py": "",
        },
    )
    assert set(found(tmp_path)) == {
        "program.py",
        "package/__init__.py",
        "package/inner/__init__.py",
        *(f"package/inner/{name}.py" for name in ("first", "second", "third")),
        *("package/fourth.py", "package/fifth.py"),
    }


def test_digests_are_the_checksums_of_the_files(tmp_path: Path):
    write(tmp_path, {"program.py": "import a", "a.py": "two"})
    assert code_digests(tmp_path / "program.py") == {
        "program.py": hashlib.sha256(b"import a").hexdigest(),
        "a.py": hashlib.sha256(b"two").hexdigest(),
    }


def test_the_digest_depends_on_content_and_names_but_not_on_times_and_folder(tmp_path: Path):
    digests = []
    for number, files in enumerate(
        [
            {"program.py": "import a", "a.py": "1"},
            {"program.py": "import a", "a.py": "1", "unused.py": ""},
            {"program.py": "import a", "a.py": "2"},
            {"program.py": "import a, b", "a.py": "1", "b.py": ""},
        ]
    ):
        write(tmp_path / str(number), files)
        digests.append(code_digest(tmp_path / str(number) / "program.py"))
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


# ---- The workflow's own code ---------------------------------------------------------------


def test_the_training_script_does_not_depend_on_its_callers():
    """A run in the cloud is submitted again if one of these files changes."""
    files = {path.relative_to(SCRIPTS).as_posix() for path in code_files(SCRIPTS / "fit.py")}
    callers = ["train.py", "image_workflow/backends/choice.py", "image_workflow/lineage/steps.py"]
    assert not files & {*callers, "image_workflow/backends/azureml/runs.py"}
    assert "image_workflow/newton/optimizer.py" in files


def test_the_format_does_not_depend_on_the_command_line():
    files = {path.relative_to(SCRIPTS).as_posix() for path in code_files(SCRIPTS / "parse.py")}
    assert "image_workflow/command.py" in files
    idx = (SCRIPTS / "image_workflow/data/idx.py").read_text()
    assert "command" not in idx
