"""Define the base class of the services."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable

from ..messages import Request, Response, ServiceError, json_response, now

API = "westeurope.api.azureml.ms"
ARM = "management.azure.com"


class Service:
    """Serve the requests to some hosts. Handlers are the methods with the decorator `route`.

    A handler takes the request and the variables of the path. Handlers run one at a time, because
    each holds the emulator's lock, so a handler never sees another handler's unfinished work.

    Parameters
    ----------
    emulator : Emulator
        Gives access to the workspace, the other services and the faults.
    """

    hosts: tuple[str, ...] = (API,)
    needs_token = True
    logged = True

    def __init__(self, emulator):
        self.emulator = emulator
        self.faults = emulator.faults
        self.name = type(self).__module__.rpartition(".")[2]
        # Keep the order of definition: if two patterns match a path, the first handler answers.
        self._handlers = [
            (route, getattr(self, name))
            for name, member in vars(type(self)).items()
            for route in getattr(member, "routes", ())
        ]

    def serves(self, host: str) -> bool:
        """Tell whether a host belongs to this service."""
        return any(fnmatch.fnmatch(host.lower(), pattern) for pattern in self.hosts)

    def find_handler(self, request: Request) -> tuple[str, Callable, dict[str, str]] | None:
        """Return the step's name, its handler and the variables of the path."""
        for route, handler in self._handlers:
            variables = route.match(request.method, request.path)
            if variables is not None:
                return route.name, handler, variables
        return None

    def handle(self, handler: Callable, request: Request, variables: dict[str, str]) -> Response:
        """Check the token and the workspace, and call the handler."""
        if self.needs_token:
            self.emulator.entra.check_token(request.headers.get("authorization", ""))
        self._check_workspace(variables)
        with self.emulator.lock:
            return handler(request, **variables)

    def error_response(self, error: ServiceError) -> Response:
        """Return an error in this service's format."""
        return json_response({"error": error.error}, error.status)

    def _check_workspace(self, variables: dict[str, str]) -> None:
        names = {key: variables.pop(key) for key in ("group", "workspace") if key in variables}
        expected = self.emulator.workspace
        if not names:
            return
        names["subscription"] = variables.pop("subscription")
        is_gone = ARM in self.hosts and self.faults.trigger("unknown_workspace")
        if is_gone or any(names[key].lower() != expected[key].lower() for key in names):
            message = f"The workspace '{names['workspace']}' was not found."
            raise ServiceError(404, "ResourceNotFound", message)


class ArmService(Service):
    """Serve resources of the workspace through Azure Resource Manager, as SDK v2 reads them."""

    hosts = (ARM,)

    def resource(self, path: str, properties: dict) -> dict:
        """Return a resource from its path in the workspace, such as `jobs/mine`."""
        kinds = "/".join(path.split("/")[::2])
        return {
            "id": f"{self.emulator.scope}/{path}",
            "name": path.rpartition("/")[2],
            "type": f"Microsoft.MachineLearningServices/workspaces/{kinds}",
            "properties": properties,
            "systemData": {"createdAt": now(), "createdBy": "emulated service principal"},
        }

    def name_in_id(self, id: str, kind: str) -> str:
        """Return what follows a kind of resource in a resource id: a name, or name and version."""
        name, _, version = id.partition(f"/{kind}/")[2].partition("/versions/")
        return f"{name}:{version}" if version else name


def get_or_404(values: dict, key: str, kind: str):
    """Return the value of a key. If the key is missing, answer 404."""
    if key not in values:
        raise ServiceError(404, "NotFound", f"{kind} {key} was not found.")
    return values[key]
