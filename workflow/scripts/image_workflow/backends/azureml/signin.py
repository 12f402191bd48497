"""Choose the way to sign in to Azure."""

import os
import shutil
import sys
from collections.abc import Mapping

from image_workflow.backends.azureml.failures import PERMISSION, CloudError
from image_workflow.errors import UserError

#: What to do if the workspace cannot be opened.
ADVICE = (
    "Check the network, the workspace's config.json and the rights of the account; "
    "`snakemake azureml_status` tries it again."
)

#: The variables of a service principal's tenant, id and secret: the SDK's names, and Azure's.
PRINCIPALS = (
    (
        "AZUREML_SERVICE_PRINCIPAL_TENANT_ID",
        "AZUREML_SERVICE_PRINCIPAL_ID",
        "AZUREML_SERVICE_PRINCIPAL_PASSWORD",
    ),
    ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"),
)

MANAGED_IDENTITY = "IDENTITY_ENDPOINT", "MSI_ENDPOINT"


def principal(environ: Mapping[str, str]) -> tuple[str, str, str] | None:
    """Return the service principal's tenant, id and secret, or None if a variable is missing."""
    for names in PRINCIPALS:
        if all(environ.get(name) for name in names):
            return tuple(environ[name] for name in names)
    return None


def configured_way(wanted: str) -> str:
    """Return the way to sign in on this machine, see :func:`way_to_sign_in`.

    Raises
    ------
    CloudError
        If there is none.
    """
    terminal = sys.stdin is not None and sys.stdin.isatty()
    try:
        return way_to_sign_in(wanted, os.environ, bool(shutil.which("az")), terminal)
    except UserError as error:
        raise CloudError(f"could not sign in: {error}", PERMISSION, str(error)) from None


def way_to_sign_in(wanted: str, environ: Mapping[str, str], cli: bool, terminal: bool) -> str:
    """Return the way to sign in: azureml.auth, or for ``auto`` the first way that is possible.

    Parameters
    ----------
    wanted : {"auto", "cli", "service_principal", "managed_identity", "interactive"}
        The setting azureml.auth.
    environ : mapping of str
        The environment variables.
    cli : bool
        Whether the Azure command line is installed.
    terminal : bool
        Whether there is a terminal, so that a user can answer a prompt.

    Raises
    ------
    UserError
        If that way is not possible here, or none is.
    """
    variables = " (or ".join(", ".join(names) for names in PRINCIPALS) + ")"
    if wanted == "service_principal" and not principal(environ):
        raise UserError(f"a service principal needs the environment variables {variables}.")
    if wanted == "interactive" and not terminal:
        raise UserError(
            "azureml.auth is interactive, and there is no terminal to sign in at. "
            "Use another way, such as service_principal."
        )
    if wanted != "auto":
        return wanted
    possible = {
        "service_principal": principal(environ),
        "managed_identity": any(environ.get(name) for name in MANAGED_IDENTITY),
        "cli": cli,
        "interactive": terminal,
    }
    for way, there in possible.items():
        if there:
            return way
    raise UserError(
        f"there is no way to sign in to Azure. Set {variables}, or install the Azure command line "
        "and run `az login`."
    )
