"""Emulate models as SDK v2 registers, lists and archives them. The service `models` stores them."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

from ..messages import Request, Response, ServiceError, json_response, now, page_response, route
from .assets import is_listed
from .service import ArmService, get_or_404

BASE = "{WS}/models/{name}"
VERSION = BASE + "/versions/{version}"


class ModelAssets(ArmService):
    """Describe the models of both SDKs as resources."""

    @route("GET", BASE)
    def get_model_container(self, request: Request, name: str) -> Response:
        """Describe a model without its versions, with the number of the next version."""
        next_version = self.emulator.models.next_version(name)
        if next_version == 1:
            raise ServiceError(404, "UserError", f"The model {name} was not found.")
        versions = [str(model["version"]) for model in self._versions(name)]
        properties = {
            "latestVersion": versions[0] if versions else None,
            "nextVersion": str(next_version),
            "isArchived": False,
            "tags": {},
            "properties": {},
        }
        return json_response(self.resource(f"models/{name}", properties))

    @route("GET", BASE + "/versions")
    def list_model_versions(self, request: Request, name: str) -> Response:
        """List the versions of a model, newest first."""
        view = request.query.get("listViewType", "ActiveOnly")
        listed = [
            self._describe(model)
            for model in self._versions(name)
            if is_listed(model["isArchived"], view)
        ]
        return page_response(listed[: int(request.query.get("$top", len(listed)))])

    @route("GET", VERSION)
    def get_model_version(self, request: Request, name: str, version: str) -> Response:
        """Describe a version of a model, even if it is archived."""
        return json_response(self._describe(self._model(name, version)))

    @route("PUT", VERSION)
    def create_model_version(self, request: Request, name: str, version: str) -> Response:
        """Register a version of a model. If it exists, change its tags, or archive it."""
        properties = {k: v for k, v in request.json()["properties"].items() if v is not None}
        address = self.emulator.datastores.long_uri(properties["modelUri"])
        exists = f"{name}:{version}" in self.emulator.models.models
        model = self._model(name, version) if exists else self._add(name, version, properties)
        if self._address(model) != address:
            raise ServiceError(400, "UserError", "Asset paths cannot be updated.")
        model |= {
            "kvTags": properties.get("tags", {}),
            "properties": properties.get("properties", {}),
            "description": properties.get("description"),
            "isArchived": properties.get("isArchived", False),
            "modifiedTime": now(),
        }
        return json_response(self._describe(model), 200 if exists else 201)

    @route("DELETE", VERSION)
    def delete_model_version(self, request: Request, name: str, version: str) -> Response:
        """Delete a version of a model. Only SDK v1 has a method for this."""
        del self.emulator.models.models[self._model(name, version)["id"]]
        return json_response({})

    def files(self, name: str, version: str) -> dict[str, Path]:
        """Return the files of a version."""
        return self.emulator.datastores.files(self._address(self._model(name, version)))

    def _versions(self, name: str) -> list[dict]:
        models = [model for model in self.emulator.models.models.values() if model["name"] == name]
        return sorted(models, key=lambda model: model["version"], reverse=True)

    def _model(self, name: str, version: str) -> dict:
        return get_or_404(self.emulator.models.models, f"{name}:{version}", "Model")

    def _add(self, name: str, version: str, properties: dict) -> dict:
        if not version.isdigit():
            raise ServiceError(400, "UserError", f"The model's version {version} is not a number.")
        if not self.emulator.datastores.files(properties["modelUri"]):
            message = f"There are no files at {properties['modelUri']}."
            raise ServiceError(400, "UserError", message)
        address = self.emulator.datastores.long_uri(properties["modelUri"])
        asset = {"id": str(uuid.uuid4()), "createdTime": now(), "name": name}
        # SDK v1 finds the files by the path in the container of the artifacts.
        asset["artifacts"] = [{"prefix": address.partition("/paths/")[2]}]
        self.emulator.models.assets[asset["id"]] = asset
        run = re.search(r"/dcid\.([^/]+)/", address)
        fields = {
            "name": name,
            "url": f"aml://asset/{asset['id']}",
            "modelUri": address,
            "modelType": properties.get("modelType", "custom_model"),
            "runId": run and run[1],
        }
        return self.emulator.models.add(int(version), fields)

    def _address(self, model: dict) -> str:
        """Return the address of a model's files. SDK v1 has stored it in an asset."""
        if "modelUri" in model:
            return model["modelUri"]
        asset = self.emulator.models.assets[model["url"].rpartition("/")[2]]
        artifact = asset["artifacts"][0]
        path = artifact.get("prefix") or artifact["id"]
        return self.emulator.datastores.long_uri(
            f"azureml://datastores/workspaceartifactstore/paths/{path}"
        )

    def _describe(self, model: dict) -> dict:
        properties = {
            "modelUri": self._address(model),
            "modelType": model.get("modelType", "custom_model"),
            "flavors": {},
            "jobName": model.get("runId"),
            "tags": model["kvTags"],
            "properties": model["properties"],
            "description": model.get("description"),
            "isArchived": model["isArchived"],
        }
        return self.resource(f"models/{model['name']}/versions/{model['version']}", properties)
