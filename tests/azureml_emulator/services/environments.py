"""Environments: definitions by name and version. No image is ever built."""

from __future__ import annotations

from ..messages import Refusal, Request, Response, answer, page, route
from .service import Service, found

BASE = "/environment/v1.0{WS}/environments"


class Environments(Service):
    """Gives a new version to a definition that differs from the latest."""

    def __init__(self, emulator):
        super().__init__(emulator)
        self.environments: dict[str, dict[str, dict]] = {}

    @route("GET", BASE, BASE + "/")
    def list_environments(self, request: Request) -> Response:
        """List the latest version of every environment."""
        return page(_latest(versions) for versions in self.environments.values())

    @route("GET", BASE + "/{name}", BASE + "/{name}/versions/{version}")
    def get_environment(self, request: Request, name: str, version: str = "") -> Response:
        """Return a definition."""
        versions = found(self.environments, name, "Environment")
        if version and version not in versions:
            raise Refusal(404, "NotFound", f"Environment {name} has no version {version}.")
        return answer(versions[version] if version else _latest(versions))

    @route("PUT", BASE + "/{name}", BASE + "/{name}/versions/{version}")
    def register_environment(self, request: Request, name: str, version: str = "") -> Response:
        """Keep a definition."""
        # The SDK sends some keys capitalized and reads all of them otherwise.
        definition = {key[0].lower() + key[1:]: value for key, value in request.json().items()}
        versions = self.environments.setdefault(name, {})
        if versions and not version and _content(_latest(versions)) == _content(definition):
            return answer(_latest(versions))
        version = version or str(len(versions) + 1)
        versions[version] = definition | {"name": name, "version": version}
        return answer(versions[version])


def _latest(versions: dict[str, dict]) -> dict:
    return list(versions.values())[-1]


def _content(definition: dict) -> dict:
    return {key: value for key, value in definition.items() if key not in ("name", "version")}
