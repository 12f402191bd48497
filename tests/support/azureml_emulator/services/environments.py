"""Emulate the environment service: definitions by name and version. It builds no images."""

from __future__ import annotations

from ..messages import Request, Response, ServiceError, json_response, page_response, route
from .service import Service, get_or_404

BASE = "/environment/v1.0{WS}/environments"


class Environments(Service):
    """Store definitions, with a new version if a definition differs from the latest version."""

    def __init__(self, emulator):
        super().__init__(emulator)
        self.environments: dict[str, dict[str, dict]] = {}

    @route("GET", BASE, BASE + "/")
    def list_environments(self, request: Request) -> Response:
        """List the latest version of every environment."""
        return page_response(_latest(versions) for versions in self.environments.values())

    @route("GET", BASE + "/{name}", BASE + "/{name}/versions/{version}")
    def get_environment(self, request: Request, name: str, version: str = "") -> Response:
        """Return a definition."""
        versions = get_or_404(self.environments, name, "Environment")
        if version and version not in versions:
            raise ServiceError(404, "NotFound", f"Environment {name} has no version {version}.")
        return json_response(versions[version] if version else _latest(versions))

    @route("PUT", BASE + "/{name}", BASE + "/{name}/versions/{version}")
    def register_environment(self, request: Request, name: str, version: str = "") -> Response:
        """Store a definition, and return it with its version."""
        # The SDK capitalizes some keys when it writes, but reads all keys in lower camel case.
        definition = {key[0].lower() + key[1:]: value for key, value in request.json().items()}
        versions = self.environments.setdefault(name, {})
        if versions and not version and _content(_latest(versions)) == _content(definition):
            return json_response(_latest(versions))
        version = version or str(len(versions) + 1)
        versions[version] = definition | {"name": name, "version": version}
        return json_response(versions[version])


def _latest(versions: dict[str, dict]) -> dict:
    return list(versions.values())[-1]


def _content(definition: dict) -> dict:
    return {key: value for key, value in definition.items() if key not in ("name", "version")}
