"""Emulate the dataset service: saved definitions, and versions registered under names."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path

from ..messages import Request, Response, ServiceError, json_response, now, page_response, route
from .service import Service, get_or_404

BASE = "/dataset/v1.0{WS}"

#: Datastore and path of a source, in the YAML of the SDK's native data engine.
SOURCE = re.compile(
    r'^\s*- (?:pattern|folder|file): "?azureml://.*/datastores/(\w+)/paths/(.*?)"?$', re.M
)
OPEN_DATASET = re.compile(r"wasbs://mnist@azureopendatastorage")
OPEN_FOLDER = "https%3A/%2Fazureopendatastorage.azurefd.net/mnist/"


class Datasets(Service):
    """Store the definitions of the SDK's data engine, and find a definition's files for jobs."""

    def __init__(self, emulator):
        super().__init__(emulator)
        self.saved: dict[str, dict] = {}
        self.registered: dict[str, dict[str, dict]] = {}

    @route("POST", BASE + "/saveddatasets")
    def save_dataset(self, request: Request) -> Response:
        """Save a definition without a name."""
        body = request.json()
        saved = self._save_definition(body["datasetType"], body["dataflowJson"], body["properties"])
        return json_response(saved)

    @route("GET", BASE + "/saveddatasets/{id}")
    def get_saved_dataset(self, request: Request, id: str) -> Response:
        """Return a saved definition."""
        return json_response(get_or_404(self.saved, id, "Dataset"))

    @route("GET", "/data/v1.0{WS}/dataversion/{name}/versions/{version}")
    def get_dataflow(self, request: Request, name: str, version: str) -> Response:
        """Return a saved definition in the format of the native data engine."""
        saved = get_or_404(self.saved, name.removeprefix("unregistered-"), "Dataset")
        dataflow = json.loads(saved["dataflowJson"])
        return json_response({"legacyDataflow": dataflow["meta"]["RsDataflow"]})

    @route("POST", BASE + "/datasets")
    def register_dataset(self, request: Request) -> Response:
        """Register a definition under a name. If the client permits it, add a new version."""
        body = request.json()
        versions = self.registered.get(body["name"], {})
        if versions and request.query.get("ifExistsOk") != "true":
            message = f"A dataset named {body['name']} is already registered."
            raise ServiceError(409, "UserError", message)
        version = str(max(map(int, versions), default=0) + 1)
        self.registered[body["name"]] = versions
        versions[version] = self._new_version(body, version, _latest(versions))
        return json_response(versions[version])

    @route("GET", BASE + "/datasets")
    def list_datasets(self, request: Request) -> Response:
        """List the latest version of every dataset."""
        return page_response(_latest(versions) for versions in self.registered.values())

    @route("GET", BASE + "/datasets/query/name={name}")
    def get_dataset_by_name(self, request: Request, name: str) -> Response:
        """Return a version of a dataset, by default the latest."""
        versions = get_or_404(self.registered, name, "Dataset")
        version = request.query.get("versionId") or _latest(versions)["latest"]["versionId"]
        return json_response(get_or_404(versions, version, f"Version of {name}"))

    @route("GET", BASE + "/datasets/query/savedDatasetId={id}")
    def get_dataset_by_saved_id(self, request: Request, id: str) -> Response:
        """Return the registered versions of a saved definition."""
        return page_response(
            version for version in self._all_versions() if version["latest"]["savedDatasetId"] == id
        )

    @route("PUT", BASE + "/datasets/{id}")
    def update_dataset(self, request: Request, id: str) -> Response:
        """Change the tags and the description of a version."""
        body = request.json()
        changes = {"tags": body.get("tags") or {}, "description": body.get("description")}
        for version in self._all_versions():
            same_version = version["latest"]["versionId"] == body["latest"]["versionId"]
            if version["datasetId"] == id and same_version:
                version |= changes
                return json_response(version)
        raise ServiceError(404, "NotFound", f"Dataset {id} was not found.")

    @route("DELETE", BASE + "/datasets/{name}")
    def unregister_dataset(self, request: Request, name: str) -> Response:
        """Remove all versions of a dataset, but keep its data."""
        get_or_404(self.registered, name, "Dataset")
        del self.registered[name]
        return json_response({})

    def files(self, saved_id: str) -> dict[str, Path]:
        """Return the files of a dataset by their relative paths in a job's input folder."""
        dataflow = json.loads(self.saved[saved_id]["dataflowJson"])["meta"]["RsDataflow"]
        sources = SOURCE.findall(dataflow)
        if OPEN_DATASET.search(dataflow):
            return {OPEN_FOLDER + path.name: path for path in self.emulator.mnist.glob("*.gz")}
        files = {}
        for datastore, pattern in sources:
            folder = _pattern_folder(pattern)
            # With one source, the native engine's paths are relative to the source's folder. With
            # several sources, they begin with the datastore.
            removed = f"{folder}/" if len(sources) == 1 else ""
            added = "" if removed else f"{datastore}/"
            for name, path in self._matching_blobs(datastore, pattern, folder).items():
                files[added + name.removeprefix(removed)] = path
        return files

    def _matching_blobs(self, datastore: str, pattern: str, folder: str) -> dict[str, Path]:
        account, container = self.emulator.datastores.container(datastore)
        blobs = self.emulator.blobs.list_blobs(account, container, folder)
        expression = _pattern_expression(pattern)
        return {name: path for name, path in blobs.items() if expression.fullmatch(name)}

    def _all_versions(self):
        return (version for versions in self.registered.values() for version in versions.values())

    def _save_definition(self, kind: str, dataflow: str, properties: dict | None) -> dict:
        saved = {"id": str(uuid.uuid4()), "datasetType": kind, "dataflowJson": dataflow}
        self.saved[saved["id"]] = saved | {"properties": properties or {}}
        return self.saved[saved["id"]]

    def _new_version(self, body: dict, version: str, previous: dict | None) -> dict:
        latest = body["latest"]
        saved_id = latest.get("savedDatasetId")
        if saved_id not in self.saved:
            saved = self._save_definition(
                body["datasetType"], latest["dataflow"], latest.get("properties")
            )
            saved_id = saved["id"]
        definition = latest | {"versionId": version, "savedDatasetId": saved_id}
        dataset_id = previous["datasetId"] if previous else str(uuid.uuid4())
        return body | {
            "datasetId": dataset_id,
            "tags": body.get("tags") or {},
            "createdTime": now(),
            "modifiedTime": now(),
            "latest": definition,
        }


def _latest(versions: dict[str, dict]) -> dict | None:
    return list(versions.values())[-1] if versions else None


def _pattern_folder(pattern: str) -> str:
    """Return the folder of a pattern, which is the part above the first wildcard or file name."""
    if "*" in pattern:
        return pattern.partition("*")[0].rpartition("/")[0]
    return pattern.strip("/") if "." not in pattern.rpartition("/")[2] else _parent_folder(pattern)


def _parent_folder(path: str) -> str:
    return path.rpartition("/")[0]


def _pattern_expression(pattern: str) -> re.Pattern:
    """Return the regular expression of a pattern: `**` matches slashes, `*` does not."""
    text = re.escape(pattern.strip("/")).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
    return re.compile(text if "*" in pattern else rf"{text}(/.*)?")
