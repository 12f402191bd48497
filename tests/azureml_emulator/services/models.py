"""Model management: assets (files of a run) and the registered models made of them."""

from __future__ import annotations

import uuid

from ..messages import Refusal, Request, Response, answer, now, page, route
from .service import Service, found

BASE = "/modelmanagement/v1.0{WS}"


class Models(Service):
    """Counts versions per name; a deleted version's number is not given again."""

    def __init__(self, emulator):
        super().__init__(emulator)
        self.assets: dict[str, dict] = {}
        self.models: dict[str, dict] = {}
        self._versions: dict[str, int] = {}

    def refuse(self, refusal: Refusal) -> Response:
        """Return a refusal, its words at the top level."""
        status = {"statusCode": refusal.status, "correlation": {}}
        return answer(refusal.error | status, refusal.status)

    @route("POST", BASE + "/assets")
    def create_asset(self, request: Request) -> Response:
        """Keep an asset."""
        asset = {"id": str(uuid.uuid4()), "createdTime": now()} | _given(request)
        self.assets[asset["id"]] = asset
        return answer(asset)

    @route("GET", BASE + "/assets/{id}")
    def get_asset(self, request: Request, id: str) -> Response:
        """Describe an asset."""
        return answer(found(self.assets, id, "Asset"))

    @route("POST", BASE + "/models")
    def register_model(self, request: Request) -> Response:
        """Register a new version of a model."""
        given = _given(request)
        name = given["name"]
        version = self._versions[name] = self._versions.get(name, 0) + 1
        model = {
            "id": f"{name}:{version}",
            "version": version,
            "createdTime": now(),
            "modifiedTime": now(),
            "createdBy": {"userName": "emulated service principal"},
            "framework": "Custom",
            "datasets": [],
            "kvTags": {},
            "properties": {},
        } | given
        self.models[model["id"]] = model
        return answer(model)

    @route("GET", BASE + "/models")
    def list_models(self, request: Request) -> Response:
        """List models, newest first, by name, run, tags and properties."""
        models = [model for model in self.models.values() if _wanted(model, request.query)]
        models.sort(key=lambda model: (model["createdTime"], model["version"]), reverse=True)
        if request.query.get("latestVersionOnly", "").lower() == "true":
            latest = {model["name"]: model for model in reversed(models)}
            models = [model for model in models if latest[model["name"]] is model]
        return page(models)

    @route("GET", BASE + "/models/{id}")
    def get_model(self, request: Request, id: str) -> Response:
        """Describe a model."""
        return answer(found(self.models, id, "Model"))

    @route("PATCH", BASE + "/models/{id}")
    def patch_model(self, request: Request, id: str) -> Response:
        """Change a model's tags, properties or description."""
        model = found(self.models, id, "Model")
        for change in request.json():
            model[change["path"].strip("/")] = change["value"]
        model["modifiedTime"] = now()
        return answer(model)

    @route("DELETE", BASE + "/models/{id}")
    def delete_model(self, request: Request, id: str) -> Response:
        """Delete a version of a model."""
        found(self.models, id, "Model")
        del self.models[id]
        return answer({})


def _given(request: Request) -> dict:
    return {key: value for key, value in request.json().items() if value is not None}


def _wanted(model: dict, query: dict[str, str]) -> bool:
    equal = all(
        model.get(key) == query[key] for key in ("name", "runId", "framework") if key in query
    )
    tags = _contains(model["kvTags"], query.get("tags") or query.get("tag"))
    return equal and tags and _contains(model["properties"], query.get("properties"))


def _contains(entries: dict[str, str], wanted: str | None) -> bool:
    """Tell whether all of "key" and "key=value", separated by commas, hold."""
    for item in (wanted or "").split(",") if wanted else ():
        key, equals, value = item.partition("=")
        if key not in entries or (equals and entries[key] != value):
            return False
    return True
