"""Which backend trains: decided from what is on disk, without a network and without the SDK."""

import importlib.util
import json
from pathlib import Path
from typing import NamedTuple

from lib.command import UserError

NO_SDK = "the Azure ML SDK is not installed in this environment"


class Choice(NamedTuple):
    """A backend, and why it was chosen."""

    backend: str
    reason: str


def choose(requested: str, folder: Path, workspace_config: str) -> Choice:
    """Return the backend to try.

    Parameters
    ----------
    requested : {"auto", "local", "azureml"}
        What the configuration asks for.
    folder : pathlib.Path
        Where the search for the workspace's config.json starts.
    workspace_config : str
        The path of that file, if it is not to be searched for.

    Raises
    ------
    UserError
        If azureml is asked for, and something that it needs is not there.
    """
    if requested == "local":
        return Choice("local", "backend=local was asked for")
    config = find_config(folder, workspace_config)
    if config is None:
        missing = "no workspace is configured"
        then = (
            "Download config.json from the workspace's page in the Azure portal into this folder, "
            "or name it with azureml.workspace_config."
        )
    elif not sdk_installed():
        missing = NO_SDK
        then = "Run `make setup-azureml`, then use .venv-azureml/bin/snakemake."
    elif requested == "auto":
        return Choice("azureml", f"a workspace is configured in {_shown(config, folder)}")
    else:
        return Choice("azureml", "backend=azureml was asked for")
    if requested == "auto":
        return Choice("local", missing)
    raise UserError(f"expected an Azure ML workspace to train in: {missing}. {then}")


def find_config(folder: Path, workspace_config: str = "") -> Path | None:
    """Return the workspace's config.json as the SDK finds it, None where there is none.

    In .azureml, then in aml_config, then plainly: each in ``folder`` and in all folders above it.
    """
    if workspace_config:
        path = Path(workspace_config).expanduser()
        return path if path.is_file() else None
    start = folder.resolve()
    for inner in (".azureml", "aml_config", ""):
        for above in (start, *start.parents):
            path = above / inner / "config.json"
            if path.is_file():
                return path
    return None


def sdk_installed() -> bool:
    """Tell whether azureml-core can be imported, without importing it."""
    try:
        return importlib.util.find_spec("azureml.core") is not None
    except ModuleNotFoundError:
        return False


def planned(requested: str, likely: str, model: Path, training: Path) -> str:
    """Return what Snakemake is to compare: equal to the last time's unless the model has to go.

    A model that exists is kept under auto, and under the name of the backend that made it. Only
    another backend's name makes it anew. Whatever is returned here is written to training.json
    with the model, and so returned the next time: also after auto has fallen back.

    Parameters
    ----------
    requested : {"auto", "local", "azureml"}
        What the configuration asks for.
    likely : {"local", "azureml"}
        What auto would choose now.
    model, training : pathlib.Path
        model.pkl, and the record of its training beside it.

    Examples
    --------
    >>> planned("auto", "azureml", Path("no model.pkl"), Path("no training.json"))
    'azureml'
    """
    try:
        recorded = json.loads(training.read_text(encoding="utf-8")) if model.exists() else None
        made_by, plan = (recorded["backend"], recorded["planned"]) if recorded else (None, None)
    except (OSError, ValueError, KeyError, TypeError):
        made_by = plan = None
    if made_by is None:
        return likely if requested == "auto" else requested
    if requested in ("auto", made_by):
        return plan
    return f"{requested}, no longer {made_by}"


def _shown(path: Path, folder: Path) -> str:
    """Return the path without this machine's folders, which are nobody's business in a receipt."""
    start = folder.resolve()
    return str(path.relative_to(start)) if path.is_relative_to(start) else f"a folder's {path.name}"
