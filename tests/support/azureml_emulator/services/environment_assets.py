"""Emulate the environments of SDK v2. It builds no images."""

from __future__ import annotations

from ..messages import Request, Response, ServiceError, route
from .assets import Assets

BASE = "{WS}/environments/{name}"
VERSION = BASE + "/versions/{version}"

#: The properties that a request may change.
CHANGEABLE = ("tags", "properties", "description", "isArchived", "stage")


class EnvironmentAssets(Assets):
    """Store environments. The same version cannot get another content."""

    kind = "environments"

    @route("GET", BASE)
    def get_environment_container(self, request: Request, name: str) -> Response:
        """Describe an environment without its versions."""
        return self.container_response(name)

    @route("GET", BASE + "/versions")
    def list_environments(self, request: Request, name: str) -> Response:
        """List the versions of an environment."""
        return self.list_response(request, name)

    @route("GET", VERSION)
    def get_environment(self, request: Request, name: str, version: str) -> Response:
        """Describe a version of an environment."""
        return self.get_response(name, version)

    @route("PUT", VERSION)
    def register_environment(self, request: Request, name: str, version: str) -> Response:
        """Register a version of an environment, or change its tags."""
        return self.put_response(request, name, version)

    @route("DELETE", VERSION)
    def delete_environment(self, request: Request, name: str, version: str) -> Response:
        """Delete a version of an environment."""
        return self.delete_response(name, version)

    def check_update(self, stored: dict, properties: dict) -> None:
        """Refuse another content."""
        changed = [
            key
            for key in stored.keys() | properties.keys()
            if key not in CHANGEABLE and stored.get(key) != properties.get(key)
        ]
        if changed:
            message = f"The environment's version exists with another {' and '.join(changed)}."
            raise ServiceError(409, "UserError", message)
