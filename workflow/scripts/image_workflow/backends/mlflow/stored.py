"""The files that the registry keeps for a model: their digest, and whether they can be loaded."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow

from image_workflow.backends.sqlite_registry import beside, database_path, local_path
from image_workflow.lineage.checksums import sha256_of_file, sha256_of_json

# Python and MLflow write these into a folder from which a model is loaded.
NOT_OF_THE_MODEL = "__pycache__", "registered_model_meta"


@contextmanager
def copy_of(location: str) -> Iterator[Path]:
    """Yield a temporary copy of the files below a location. It is empty if there are none.

    A model is loaded from a copy, so that the files that are loaded are those with the digest.

    Parameters
    ----------
    location : str
        The URI of a folder in the artifact store.
    """
    if database := database_path(mlflow.get_tracking_uri()):
        location = beside(location, database)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        copy.mkdir()
        source = local_path(location)
        if source is None:
            # A missing folder has no files, but cannot be downloaded.
            if mlflow.artifacts.list_artifacts(location):
                copy = Path(mlflow.artifacts.download_artifacts(location, dst_path=str(copy)))
        elif source.is_dir():
            shutil.copytree(source, copy, dirs_exist_ok=True)
        for name in NOT_OF_THE_MODEL:
            for found in sorted(copy.rglob(name)):
                shutil.rmtree(found) if found.is_dir() else found.unlink()
        yield copy


def files_sha256(folder: Path) -> str | None:
    """Return the digest of all files in a folder, by their names and checksums; None if empty."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        return None
    return sha256_of_json({str(path.relative_to(folder)): sha256_of_file(path) for path in files})


def reason_not_to_work(folder: Path) -> str | None:
    """Load the model in a folder and let it predict its example; return why it cannot, or None.

    Parameters
    ----------
    folder : pathlib.Path
        Its digest has to be known already: a model of MLflow can run any code.
    """
    path, modules, no_bytecode = list(sys.path), set(sys.modules), sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        model = mlflow.pyfunc.load_model(str(folder))
        model.predict(model.input_example)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        sys.path[:], sys.dont_write_bytecode = path, no_bytecode
        for name in set(sys.modules) - modules:
            file = getattr(sys.modules[name], "__file__", None)
            if file and Path(file).is_relative_to(folder):
                del sys.modules[name]
    return None
