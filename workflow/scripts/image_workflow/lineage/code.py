"""Find the files that a program's behaviour depends on, and compute their checksums.

A rule's ``params`` contain these checksums. So an edit of a program or of an imported module
re-runs the rules that use it, and a new time stamp re-runs nothing. The same files are sent to a
run in the cloud.
"""

import ast
import shutil
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from image_workflow.lineage.checksums import sha256_of_file, sha256_of_json


def code_files(program: Path) -> list[Path]:
    """Return the program and, sorted, the modules below its folder that it imports, at any depth.

    Parameters
    ----------
    program : pathlib.Path
        A Python file. Imports are looked up in its folder, as Python does.
    """
    found, waiting = set(), [program]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported_files(path, program.parent)
    return [program, *sorted(found - {program})]


def copy_code(program: Path, folder: Path) -> None:
    """Copy the program's files to a folder, with their paths below the program's folder."""
    for path in code_files(program):
        copy = folder / path.relative_to(program.parent)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def code_digests(program: Path) -> dict[str, str]:
    """Return the sha256 of each of the program's files, by path below the program's folder."""
    files = code_files(program)
    return {path.relative_to(program.parent).as_posix(): _file_digest(path) for path in files}


def code_digest(program: Path) -> str:
    """Return one sha256 for all of the program's files and their names."""
    return sha256_of_json(code_digests(program))


@lru_cache
def _file_digest(path: Path) -> str:
    return sha256_of_file(path)


@lru_cache
def _imported_files(path: Path, folder: Path) -> list[Path]:
    """Return the files below ``folder`` that one file imports, including packages' __init__.py."""
    tree = ast.parse(path.read_bytes(), filename=path)
    package = path.relative_to(folder).parent.parts
    return [file for parts in _imported_names(tree, package) for file in _files_of(parts, folder)]


def _imported_names(tree: ast.AST, package: tuple[str, ...]) -> Iterator[list[str]]:
    """Yield the parts of each imported name. ``package`` is that of the importing file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else ()
            module = node.module.split(".") if node.module else []
            # An imported name is a module of the package, or a name in it.
            yield from ([*start, *module, alias.name] for alias in node.names)


def _files_of(parts: list[str], folder: Path) -> Iterator[Path]:
    for depth in range(1, len(parts) + 1):
        base = folder.joinpath(*parts[:depth])
        for candidate in (base.with_suffix(".py"), base / "__init__.py"):
            if candidate.is_file():
                yield candidate
