"""Define the base class of the services for assets, which have names and versions."""

from __future__ import annotations

from ..messages import Request, Response, ServiceError, json_response, page_response
from .service import ArmService, get_or_404


class Assets(ArmService):
    """Store the versions of assets of one kind, as SDK v2 sends them.

    Attributes
    ----------
    kind : str
        The kind's name in the path of a request, such as `data`.
    versions : dict
        The properties of each version, by the asset's name and the version.
    """

    kind: str

    def __init__(self, emulator):
        super().__init__(emulator)
        self.versions: dict[str, dict[str, dict]] = {}

    def find(self, id: str) -> dict:
        """Return the properties of the version with a resource id."""
        name, _, version = self.name_in_id(id, self.kind).partition(":")
        return self._properties(name, version)

    def container_response(self, name: str) -> Response:
        """Describe an asset without its versions, with the number of the next version."""
        versions = get_or_404(self.versions, name, self.kind)
        numbers = [int(version) for version in versions if version.isdigit()]
        properties = {
            "latestVersion": list(versions)[-1],
            "nextVersion": str(max(numbers, default=0) + 1),
            "isArchived": False,
            "tags": {},
            "properties": {},
        }
        return json_response(self.resource(f"{self.kind}/{name}", properties))

    def list_response(self, request: Request, name: str) -> Response:
        """List the versions that the request asks for, newest first."""
        versions = reversed(self.versions.get(name, {}).items())
        view = request.query.get("listViewType", "ActiveOnly")
        listed = [
            self._describe(name, version)
            for version, properties in versions
            if is_listed(properties.get("isArchived"), view)
        ]
        return page_response(listed[: int(request.query.get("$top", len(listed)))])

    def get_response(self, name: str, version: str) -> Response:
        """Describe a version, even if it is archived."""
        self._properties(name, version)
        return json_response(self._describe(name, version))

    def put_response(self, request: Request, name: str, version: str) -> Response:
        """Store a version, or change what can be changed of it."""
        properties = {k: v for k, v in request.json()["properties"].items() if v is not None}
        properties = {"tags": {}, "properties": {}, "isArchived": False} | properties
        stored = self.versions.get(name, {}).get(version)
        if stored is not None:
            self.check_update(stored, properties)
        self.versions.setdefault(name, {})[version] = (stored or {}) | properties
        return json_response(self._describe(name, version), 200 if stored else 201)

    def delete_response(self, name: str, version: str) -> Response:
        """Delete a version."""
        self._properties(name, version)
        del self.versions[name][version]
        return json_response({})

    def check_update(self, stored: dict, properties: dict) -> None:
        """Raise an error if a version cannot be changed into what the request contains."""
        raise NotImplementedError

    def _properties(self, name: str, version: str) -> dict:
        return get_or_404(self.versions.get(name, {}), version, f"Version of {self.kind} {name}")

    def _describe(self, name: str, version: str) -> dict:
        return self.resource(f"{self.kind}/{name}/versions/{version}", self.versions[name][version])


def is_listed(is_archived: bool | None, view: str) -> bool:
    """Tell whether a list with the query parameter `listViewType` contains a resource."""
    return view == "All" or bool(is_archived) == (view == "ArchivedOnly")


def check_same_address(stored: dict, properties: dict, key: str) -> None:
    """Refuse to change the address of an asset's content."""
    if stored[key] != properties[key]:
        raise ServiceError(400, "UserError", "Asset paths cannot be updated.")
