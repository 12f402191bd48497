"""Emulate model management: assets (files of a run) and the models registered from them."""

from __future__ import annotations

import uuid

from ..messages import Request, Response, ServiceError, json_response, now, page_response, route
from .service import Service, get_or_404

BASE = "/modelmanagement/v1.0{WS}"


class Models(Service):
    """Number the versions of each model, and never reuse the number of a deleted version.

    Both SDKs register models here. `model_assets` translates for SDK v2, which archives a version
    instead of deleting it.
    """

    def __init__(self, emulator):
        super().__init__(emulator)
        self.assets: dict[str, dict] = {}
        self.models: dict[str, dict] = {}
        self._latest_versions: dict[str, int] = {}

    def error_response(self, error: ServiceError) -> Response:
        """Return an error with code and message at the top level of the JSON object."""
        status = {"statusCode": error.status, "correlation": {}}
        return json_response(error.error | status, error.status)

    @route("POST", BASE + "/assets")
    def create_asset(self, request: Request) -> Response:
        """Store an asset."""
        asset = {"id": str(uuid.uuid4()), "createdTime": now()} | _set_fields(request)
        self.assets[asset["id"]] = asset
        return json_response(asset)

    @route("GET", BASE + "/assets/{id}")
    def get_asset(self, request: Request, id: str) -> Response:
        """Describe an asset."""
        return json_response(get_or_404(self.assets, id, "Asset"))

    @route("POST", BASE + "/models")
    def register_model(self, request: Request) -> Response:
        """Register a new version of a model."""
        fields = _set_fields(request)
        model = self.add(self.next_version(fields["name"]), fields)
        return json_response(model)

    @route("GET", BASE + "/models")
    def list_models(self, request: Request) -> Response:
        """List models, newest first, filtered by name, run, framework, tags and properties."""
        models = [
            model
            for model in self.models.values()
            if _matches(model, request.query) and not model["isArchived"]
        ]
        models.sort(key=lambda model: (model["createdTime"], model["version"]), reverse=True)
        if request.query.get("latestVersionOnly", "").lower() == "true":
            latest = {model["name"]: model for model in reversed(models)}
            models = [model for model in models if latest[model["name"]] is model]
        return page_response(models)

    @route("GET", BASE + "/models/{id}")
    def get_model(self, request: Request, id: str) -> Response:
        """Describe a model."""
        return json_response(get_or_404(self.models, id, "Model"))

    @route("PATCH", BASE + "/models/{id}")
    def patch_model(self, request: Request, id: str) -> Response:
        """Change a model's tags, properties or description."""
        model = get_or_404(self.models, id, "Model")
        for change in request.json():
            model[change["path"].strip("/")] = change["value"]
        model["modifiedTime"] = now()
        return json_response(model)

    @route("DELETE", BASE + "/models/{id}")
    def delete_model(self, request: Request, id: str) -> Response:
        """Delete a version of a model."""
        get_or_404(self.models, id, "Model")
        del self.models[id]
        return json_response({})

    def next_version(self, name: str) -> int:
        """Return the number of a model's next version."""
        return self._latest_versions.get(name, 0) + 1

    def add(self, version: int, fields: dict) -> dict:
        """Store a new version of a model, and return it as SDK v1 reads it."""
        name = fields["name"]
        self._latest_versions[name] = max(version, self.next_version(name) - 1)
        model = {
            "id": f"{name}:{version}",
            "version": version,
            "isArchived": False,
            "createdTime": now(),
            "modifiedTime": now(),
            "createdBy": {"userName": "emulated service principal"},
            "framework": "Custom",
            "datasets": [],
            "kvTags": {},
            "properties": {},
        } | fields
        self.models[model["id"]] = model
        return model


def _set_fields(request: Request) -> dict:
    """Return the fields of the body, without those that are null."""
    return {key: value for key, value in request.json().items() if value is not None}


def _matches(model: dict, query: dict[str, str]) -> bool:
    fields_match = all(
        model.get(key) == query[key] for key in ("name", "runId", "framework") if key in query
    )
    tags_match = _has_entries(model["kvTags"], query.get("tags") or query.get("tag"))
    properties_match = _has_entries(model["properties"], query.get("properties"))
    return fields_match and tags_match and properties_match


def _has_entries(entries: dict[str, str], conditions: str | None) -> bool:
    """Tell whether all conditions hold. A comma separates conditions: "key" or "key=value"."""
    for condition in (conditions or "").split(",") if conditions else ():
        key, equals, value = condition.partition("=")
        if key not in entries or (equals and entries[key] != value):
            return False
    return True
