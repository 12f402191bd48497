"""Import large packages faster, and modules of the user's own."""

import argparse
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def fast_imports(hide: str = "") -> Iterator[None]:
    """Import in the block without garbage collection, and exclude the imported modules from it.

    Parameters
    ----------
    hide : str, optional
        An optional dependency to hide during these imports, such as pandas, which scikit-learn
        imports if it finds it. Later imports find it as usual.
    """
    hidden = hide and hide not in sys.modules
    if hidden:
        sys.modules[hide] = None
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        if hidden:
            del sys.modules[hide]


def make_importable(folder: Path) -> None:
    """Let Python import the modules in the folder of the user's estimator.

    The folder comes last, so that a file in it cannot replace a module of another package.
    Python's cache files stay out of it.
    """
    sys.dont_write_bytecode = True
    if str(folder.resolve()) not in sys.path:
        sys.path.append(str(folder.resolve()))


def add_estimator_folder_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that a program needs to load a model of a class of the user's own."""
    parser.add_argument(
        "--estimator-folder",
        type=Path,
        metavar="FOLDER",
        help="the folder of the user's file with the estimator, and of the modules it imports",
    )
