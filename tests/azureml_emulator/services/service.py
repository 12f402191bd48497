"""What the services have in common."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable

from ..messages import Refusal, Request, Response, answer

API = "westeurope.api.azureml.ms"


class Service:
    """One service: the hosts it plays and its handlers, methods marked with `route`.

    Handlers take the request and the named parts of the path. They run one at a time, under the
    emulator's lock, so that none sees another's half-done work.

    Parameters
    ----------
    emulator : Emulator
        Gives access to the workspace's facts, the other services and the faults.
    """

    hosts: tuple[str, ...] = (API,)
    needs_token = True
    logged = True

    def __init__(self, emulator):
        self.emulator = emulator
        self.faults = emulator.faults
        self.name = type(self).__module__.rpartition(".")[2]
        # In the order of definition: where two patterns fit, the first one answers.
        self._handlers = [
            (route, getattr(self, name))
            for name, member in vars(type(self)).items()
            for route in getattr(member, "routes", ())
        ]

    def plays(self, host: str) -> bool:
        """Tell whether a host belongs to this service."""
        return any(fnmatch.fnmatch(host.lower(), pattern) for pattern in self.hosts)

    def find(self, request: Request) -> tuple[str, Callable, dict[str, str]] | None:
        """Return the step's name, its handler and the parts of the path."""
        for route, member in self._handlers:
            parts = route.match(request.method, request.path)
            if parts is not None:
                return route.name, member, parts
        return None

    def call(self, handler: Callable, request: Request, parts: dict[str, str]) -> Response:
        """Check the token and the workspace, then let the handler answer."""
        if self.needs_token:
            self.emulator.entra.check(request.headers.get("authorization", ""))
        self._check_workspace(parts)
        with self.emulator.lock:
            return handler(request, **parts)

    def refuse(self, refusal: Refusal) -> Response:
        """Return a refusal in this service's format."""
        return answer({"error": refusal.error}, refusal.status)

    def _check_workspace(self, parts: dict[str, str]) -> None:
        names = {key: parts.pop(key) for key in ("group", "workspace") if key in parts}
        expected = self.emulator.workspace
        if not names:
            return
        names["subscription"] = parts.pop("subscription")
        if any(names[key].lower() != expected[key].lower() for key in names):
            message = f"The workspace '{names['workspace']}' was not found."
            raise Refusal(404, "ResourceNotFound", message)


def found(values: dict, key: str, what: str):
    """Return the value of a key, or refuse with 404."""
    if key not in values:
        raise Refusal(404, "NotFound", f"{what} {key} was not found.")
    return values[key]
