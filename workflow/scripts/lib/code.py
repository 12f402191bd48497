"""Which files a script's behaviour depends on, and what is in them.

A rule's ``params`` hold the digests of its script and of every module of ours that it imports, so
that an edit re-runs the rules that use it, and a new time stamp re-runs nothing. The same list of
files is what a remote run of the script needs.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path


def files(script: Path) -> list[Path]:
    """Return ``script`` and, sorted, the modules below its folder that it imports, at any depth.

    Parameters
    ----------
    script : pathlib.Path
        A Python file; its folder is where its imports are looked up, as Python does.
    """
    found, waiting = set(), [script]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported(path, script.parent)
    return [script, *sorted(found - {script})]


def digests(*paths: Path, folder: Path) -> dict[str, str]:
    """Return the first 16 hexadecimal digits of each file's sha256, by its path below ``folder``.

    Short, since Snakemake prints them where they differ; 64 bits are ample against accident.
    """
    return {str(path.relative_to(folder)): _sha256(path)[:16] for path in paths}


@lru_cache
def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@lru_cache
def _imported(path: Path, folder: Path) -> list[Path]:
    """Return the files below ``folder`` that one file imports, packages' __init__.py included."""
    tree = ast.parse(path.read_bytes(), filename=path)
    return [file for name in _names(tree) for file in _files_of(name.split("."), folder)]


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError("a relative import is not followed: import from `lib` instead")
            # What is imported from a package may be a module of it, or a name in it.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files_of(parts: list[str], folder: Path) -> Iterator[Path]:
    for depth in range(1, len(parts) + 1):
        base = folder.joinpath(*parts[:depth])
        for candidate in (base.with_suffix(".py"), base / "__init__.py"):
            if candidate.is_file():
                yield candidate
