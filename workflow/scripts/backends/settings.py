"""The azureml section of the configuration, with what environment variables change in it."""

from collections.abc import Mapping

from lib.command import UserError

#: The tutorial's variables, and the keys of azureml.compute that they override.
OVERRIDES = {
    "AML_COMPUTE_CLUSTER_NAME": "name",
    "AML_COMPUTE_CLUSTER_SKU": "vm_size",
    "AML_COMPUTE_CLUSTER_MIN_NODES": "min_nodes",
    "AML_COMPUTE_CLUSTER_MAX_NODES": "max_nodes",
}

#: Where a service principal's tenant, id and secret may stand: the SDK's names, and Azure's.
PRINCIPALS = (
    (
        "AZUREML_SERVICE_PRINCIPAL_TENANT_ID",
        "AZUREML_SERVICE_PRINCIPAL_ID",
        "AZUREML_SERVICE_PRINCIPAL_PASSWORD",
    ),
    ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"),
)

MANAGED_IDENTITY = "IDENTITY_ENDPOINT", "MSI_ENDPOINT"


def compute_settings(compute: dict, environ: Mapping[str, str]) -> dict:
    """Return azureml.compute with what the tutorial's environment variables override.

    Examples
    --------
    >>> compute_settings({"max_nodes": 4}, {"AML_COMPUTE_CLUSTER_MAX_NODES": "2"})
    {'max_nodes': 2}
    """
    changed = dict(compute)
    for variable, key in OVERRIDES.items():
        if value := environ.get(variable):
            if key.endswith("_nodes"):
                if not value.isdecimal():
                    raise UserError(
                        f"{variable} must be a number of nodes, found {value!r}. "
                        f"Set it to a whole number, or unset it to use azureml.compute.{key}."
                    )
                value = int(value)
            changed[key] = value
    if changed.get("max_nodes", 1) < max(changed.get("min_nodes", 0), 1):
        raise UserError(
            f"a cluster of at least {changed['min_nodes']} and at most {changed['max_nodes']} "
            "nodes cannot run anything. Set azureml.compute.max_nodes to 1 or more, and to no "
            "less than min_nodes."
        )
    return changed


def principal(environ: Mapping[str, str]) -> tuple[str, str, str] | None:
    """Return the service principal's tenant, id and secret, if the environment has all three."""
    for names in PRINCIPALS:
        if all(environ.get(name) for name in names):
            return tuple(environ[name] for name in names)
    return None


def way_to_sign_in(wanted: str, environ: Mapping[str, str], cli: bool, terminal: bool) -> str:
    """Return how to sign in: what azureml.auth says, or for auto the first that is possible.

    Parameters
    ----------
    wanted : {"auto", "cli", "service_principal", "managed_identity", "interactive"}
        The setting azureml.auth.
    environ : mapping of str
        The environment variables.
    cli : bool
        Whether the Azure command line is installed.
    terminal : bool
        Whether somebody could answer a prompt.

    Raises
    ------
    UserError
        If there is no such way; never a prompt that nobody sees.
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
