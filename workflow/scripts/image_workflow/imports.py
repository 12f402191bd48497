"""Import large packages faster."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


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
