"""Importing large packages in less time."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports(without: str = "") -> Iterator[None]:
    """In the block, import without looking for garbage, of which there is little: all of it stays.

    Parameters
    ----------
    without : str, optional
        A package that what is imported makes use of where it finds it. It is not found in the
        block; whoever imports it later has it.
    """
    hidden = without and without not in sys.modules
    if hidden:
        sys.modules[without] = None
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        if hidden:
            del sys.modules[without]
