"""Find out, without a network, whether a workspace is configured and an SDK is installed."""

import importlib.util
import json
import logging
import os
from pathlib import Path

from image_workflow.errors import UserError
from image_workflow.paths import expanded

log = logging.getLogger(__name__)

#: The keys of a workspace's config.json.
WORKSPACE_KEYS = "subscription_id", "resource_group", "workspace_name"

#: Where the SDK looks for this file, in a folder and in all folders above it.
PLACES = ".azureml/config.json", "aml_config/config.json", "config.json"

#: The module of each SDK, in the order in which ``auto`` looks for them.
SDKS = {"v2": "azure.ai.ml", "v1": "azureml.core"}


class UnavailableError(UserError):
    """There is no workspace to train in.

    Attributes
    ----------
    problem : str
        What is missing, without a period.
    """

    def __init__(self, problem: str, advice: str):
        super().__init__(f"expected an Azure ML workspace to train in: {problem}. {advice}")
        self.problem = problem


def available_workspace(folder: Path, workspace_config: str, sdk: str) -> tuple[Path, str]:
    """Return the config.json of the workspace, and the SDK to use: v2 or v1.

    Parameters
    ----------
    folder : pathlib.Path
        Where the search for the file starts.
    workspace_config : str
        The path of the file, or an empty string to search for it.
    sdk : {"auto", "v2", "v1"}
        The setting azureml.sdk.

    Raises
    ------
    UnavailableError
        If no workspace is configured, or the SDK is not installed.
    """
    config, problem = find_workspace(folder, workspace_config)
    if config is None:
        raise UnavailableError(
            problem,
            "Download config.json from the workspace's page in the Azure portal into this folder, "
            "or name it with azureml.workspace_config.",
        )
    installed = installed_sdk(sdk)
    if installed is None:
        name = "the Azure ML SDK" if sdk == "auto" else f"the Azure ML SDK {sdk}"
        suffix = "-v1" if sdk == "v1" else ""
        raise UnavailableError(
            f"{name} is not installed in this environment",
            f"Run `make setup-azureml{suffix}`, then use .venv-azureml{suffix}/bin/snakemake.",
        )
    return config, installed


def find_workspace(folder: Path, workspace_config: str = "") -> tuple[Path | None, str]:
    """Return the workspace's config.json, or None and the reason.

    The file is looked for as the SDK does: at each of PLACES, in ``folder`` and in all folders
    above it. A file without the keys of a workspace belongs to another tool and is skipped.
    """
    if workspace_config:
        paths = [expanded(workspace_config)]
        problem = "azureml.workspace_config names a file that does not exist"
    else:
        start = folder.resolve()
        paths = [above / place for place in PLACES for above in (start, *start.parents)]
        problem = "no workspace is configured"
    skipped = []
    for path in filter(Path.is_file, paths):
        fault = workspace_fault(path)
        if not fault:
            return path, ""
        log.info("%s is not the config.json of a workspace: it %s", path, fault)
        skipped.append(f"{shown(path, folder)} {fault}")
    return None, f"no workspace is configured: {', '.join(skipped)}" if skipped else problem


def workspace_fault(path: Path) -> str:
    """Return why a config.json does not describe a workspace, or an empty string if it does."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    except ValueError:
        return "is not JSON"
    if not isinstance(content, dict):
        return "has no keys"
    for key in WORKSPACE_KEYS:
        value = content.get(key)
        if not (isinstance(value, str) and value.strip()):
            return f"has no {key}"
        if value.startswith("<"):
            return f"has the placeholder {value} instead of a {key}"
    return ""


def installed_sdk(wanted: str) -> str | None:
    """Return the wanted SDK, or for ``auto`` the first of SDKS, if it can be imported.

    Nothing is imported.
    """
    for sdk, module in SDKS.items():
        if wanted in ("auto", sdk) and is_installed(module):
            return sdk
    return None


def is_installed(module: str) -> bool:
    """Tell whether a module can be imported, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def shown(path: Path, folder: Path) -> str:
    """Return the path from the project, without the names of other folders, for the receipt."""
    relative = os.path.relpath(path, folder.resolve())
    is_inside = not relative.startswith("..")
    is_above = relative.replace("../", "") in PLACES
    return relative if is_inside or is_above else f"a {path.name} elsewhere"
