"""Sign in, and open the workspace within a deadline."""

import importlib.metadata
import logging
import os
import shutil
import sys
from pathlib import Path

from image_workflow.backends.azureml import failures, signin
from image_workflow.backends.azureml.availability import available_workspace
from image_workflow.deadline import within
from image_workflow.errors import UserError

log = logging.getLogger(__name__)


def open_workspace(azureml: dict):
    """Return the configured workspace.

    Parameters
    ----------
    azureml : dict
        The configuration's section azureml.

    Raises
    ------
    UnavailableError
        If no workspace is configured, or the SDK is not installed.
    CloudError
        If the workspace cannot be opened.
    """
    config = available_workspace(Path.cwd(), azureml["workspace_config"])
    return connect(config, azureml["auth"], azureml["connect_seconds"])


def connect(config: Path, auth: str, seconds: float):
    """Return the workspace that a config.json describes.

    Parameters
    ----------
    config : pathlib.Path
        The file from the Azure portal.
    auth : str
        The setting azureml.auth.
    seconds : float
        How long to wait for the service.

    Raises
    ------
    CloudError
        If the workspace cannot be opened.
    """
    advice = (
        "Check the network, the workspace's config.json and the rights of the account; "
        "`snakemake azureml_status` tries it again."
    )
    with failures.step("load the Azure ML SDK", "Run `make setup-azureml` again."):
        from azureml.core import Workspace
    with failures.step("open the workspace", advice):
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


def authentication(auth: str):
    """Return the SDK's authentication object for a value of azureml.auth."""
    from azureml.core import authentication as sdk

    terminal = sys.stdin is not None and sys.stdin.isatty()
    way = signin.way_to_sign_in(auth, os.environ, bool(shutil.which("az")), terminal)
    # Without a name the SDK asks the network for the list of clouds.
    cloud = os.environ.get("AZUREML_CURRENT_CLOUD", "AzureCloud")
    if way == "service_principal":
        return sdk.ServicePrincipalAuthentication(
            *signin.principal(os.environ), cloud=cloud, _enable_caching=True
        )
    if way == "managed_identity":
        return sdk.MsiAuthentication(cloud=cloud)
    if way == "cli":
        return sdk.AzureCliAuthentication(cloud=cloud)
    return sdk.InteractiveLoginAuthentication(cloud=cloud)


def describe(workspace) -> dict[str, str]:
    """Return the workspace's description for the receipt."""
    return {
        "name": workspace.name,
        "resource_group": workspace.resource_group,
        "subscription_id": workspace.subscription_id,
        "location": workspace.location,
    }


def uri(workspace_info: dict[str, str]) -> str:
    """Return the workspace's address in the form of MLflow's plugin for Azure ML."""
    return (
        f"azureml://subscriptions/{workspace_info['subscription_id']}"
        f"/resourceGroups/{workspace_info['resource_group']}/workspaces/{workspace_info['name']}"
    )
