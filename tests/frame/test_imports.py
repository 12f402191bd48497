"""Test the fast imports of large packages: imports.py."""

import gc
import subprocess
import sys

import pytest

from checkout import TOP
from image_workflow.imports import fast_imports

SCRIPTS = TOP / "workflow/scripts"


def test_package_is_hidden_only_in_the_block(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with fast_imports(hide="colorsys"), pytest.raises(ImportError):
        import colorsys
    import colorsys

    assert colorsys.rgb_to_hsv(0, 0, 0) == (0, 0, 0)


def test_package_that_was_imported_before_is_not_hidden():
    with fast_imports(hide="pytest"):
        assert sys.modules["pytest"] is pytest
    assert sys.modules["pytest"] is pytest


def test_garbage_collection_is_enabled_again_after_an_error():
    with pytest.raises(ImportError), fast_imports(hide="colorsys"):
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()


@pytest.mark.parametrize("program", ["fit", "evaluate"])
def test_programs_import_scikit_learn_without_pandas(program: str):
    code = (
        f"import sys, {program}; assert 'sklearn' in sys.modules;assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, check=True)
    subprocess.run([sys.executable, "-c", f"import {program}, pandas"], cwd=SCRIPTS, check=True)
