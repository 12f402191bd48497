"""Importing without what is not needed: lib/imports.py."""

import gc
import subprocess
import sys

import pytest

from checkout import TOP
from lib.imports import quick_imports

SCRIPTS = TOP / "workflow/scripts"


def test_a_package_is_hidden_in_the_block_alone(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with quick_imports(without="colorsys"), pytest.raises(ImportError):
        import colorsys
    import colorsys

    assert colorsys.rgb_to_hsv(0, 0, 0) == (0, 0, 0)


def test_a_package_that_was_imported_before_stays():
    with quick_imports(without="pytest"):
        assert sys.modules["pytest"] is pytest
    assert sys.modules["pytest"] is pytest


def test_garbage_is_looked_for_again_even_after_an_error():
    with pytest.raises(ImportError), quick_imports(without="colorsys"):
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()


@pytest.mark.parametrize("script", ["train", "evaluate"])
def test_scikit_learn_is_imported_without_pandas(script: str):
    code = (
        f"import sys, {script}; assert 'sklearn' in sys.modules; assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, check=True)
    subprocess.run([sys.executable, "-c", f"import {script}, pandas"], cwd=SCRIPTS, check=True)
