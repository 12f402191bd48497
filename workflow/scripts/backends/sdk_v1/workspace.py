"""The workspace: signing in, and opening it within a deadline."""

import importlib.metadata
import json
import os
import shutil
import sys
from pathlib import Path

from backends import failures, settings
from backends.choice import choose, find_config
from backends.deadline import within
from lib.command import UserError, log

KEYS = "subscription_id", "resource_group", "workspace_name"


def open_configured(settings: dict):
    """Return the workspace that is configured; see :func:`connect`.

    Parameters
    ----------
    settings : dict
        The configuration's section azureml.

    Raises
    ------
    UserError
        If no workspace is configured, or the SDK is not installed.
    """
    choose("azureml", Path.cwd(), settings["workspace_config"])
    config = find_config(Path.cwd(), settings["workspace_config"])
    return connect(config, settings["auth"], settings["connect_seconds"])


def connect(config: Path, auth: str, seconds: float):
    """Return the workspace of a config.json; raise CloudError with its kind if that fails.

    Parameters
    ----------
    config : pathlib.Path
        The file that the Azure portal gives.
    auth : str
        The setting azureml.auth.
    seconds : float
        How long to wait for the service.
    """
    check_config(config)
    then = (
        "Check the network, the workspace's config.json and the rights of the account; "
        "`snakemake azureml_status` tries it again."
    )
    with failures.step("load the Azure ML SDK", "Run `make setup-azureml` again."):
        from azureml.core import Workspace
    with failures.step("open the workspace", then):
        try:
            account = authentication(auth)
        except UserError as error:
            raise failures.CloudError(
                f"could not sign in: {error}", failures.PERMISSION, str(error)
            ) from None
        workspace = within(seconds, Workspace.from_config, str(config), auth=account)
    log.info(
        "workspace %s in %s, resource group %s, azureml-core %s",
        *(workspace.name, workspace.location, workspace.resource_group),
        importlib.metadata.version("azureml-core"),
    )
    return workspace


def check_config(config: Path) -> None:
    """Raise UserError unless the file names a subscription, a resource group and a workspace."""
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
        missing = [key for key in KEYS if not content.get(key)]
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(
            f"the workspace's {config.name} cannot be read: {error}. Download it again from the "
            "workspace's page in the Azure portal."
        ) from None
    if missing:
        raise UserError(
            f"the workspace's {config.name} has no {missing[0]}; it needs {', '.join(KEYS)}. "
            "Download it again from the workspace's page in the Azure portal."
        )


def authentication(auth: str):
    """Return the SDK's authentication object for a setting of azureml.auth."""
    from azureml.core import authentication as ways

    terminal = sys.stdin is not None and sys.stdin.isatty()
    way = settings.way_to_sign_in(auth, os.environ, bool(shutil.which("az")), terminal)
    # Without a name the SDK asks the network which clouds there are.
    cloud = os.environ.get("AZUREML_CURRENT_CLOUD", "AzureCloud")
    if way == "service_principal":
        return ways.ServicePrincipalAuthentication(
            *settings.principal(os.environ), cloud=cloud, _enable_caching=True
        )
    if way == "managed_identity":
        return ways.MsiAuthentication(cloud=cloud)
    if way == "cli":
        return ways.AzureCliAuthentication(cloud=cloud)
    return ways.InteractiveLoginAuthentication(cloud=cloud)


def description(workspace) -> dict[str, str]:
    """Return what the receipt says of a workspace."""
    return {
        "name": workspace.name,
        "resource_group": workspace.resource_group,
        "subscription_id": workspace.subscription_id,
        "location": workspace.location,
    }


def uri(workspace: dict[str, str]) -> str:
    """Return the workspace's address, as MLflow's plugin for Azure ML writes it."""
    return (
        f"azureml://subscriptions/{workspace['subscription_id']}"
        f"/resourceGroups/{workspace['resource_group']}/workspaces/{workspace['name']}"
    )
