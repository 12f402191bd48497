"""Datasets: saved definitions, and the versions registered under names."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path

from ..messages import Refusal, Request, Response, answer, now, page, route
from .service import Service, found

BASE = "/dataset/v1.0{WS}"

#: Datastore and path of a source, as the native engine writes it.
SOURCE = re.compile(
    r'^\s*- (?:pattern|folder|file): "?azureml://.*/datastores/(\w+)/paths/(.*?)"?$', re.M
)
OPEN_DATASET = re.compile(r"wasbs://mnist@azureopendatastorage")
OPEN_FOLDER = "https%3A/%2Fazureopendatastorage.azurefd.net/mnist/"


class Datasets(Service):
    """Keeps what the client's data engine defines, and finds the files behind it for jobs."""

    def __init__(self, emulator):
        super().__init__(emulator)
        self.saved: dict[str, dict] = {}
        self.registered: dict[str, dict[str, dict]] = {}

    @route("POST", BASE + "/saveddatasets")
    def save_dataset(self, request: Request) -> Response:
        """Save a definition without a name."""
        given = request.json()
        return answer(self._save(given["datasetType"], given["dataflowJson"], given["properties"]))

    @route("GET", BASE + "/saveddatasets/{id}")
    def get_saved_dataset(self, request: Request, id: str) -> Response:
        """Return a saved definition."""
        return answer(found(self.saved, id, "Dataset"))

    @route("GET", "/data/v1.0{WS}/dataversion/{name}/versions/{version}")
    def get_dataflow(self, request: Request, name: str, version: str) -> Response:
        """Return a saved definition in the native data engine's own format."""
        saved = found(self.saved, name.removeprefix("unregistered-"), "Dataset")
        dataflow = json.loads(saved["dataflowJson"])
        return answer({"legacyDataflow": dataflow["meta"]["RsDataflow"]})

    @route("POST", BASE + "/datasets")
    def register_dataset(self, request: Request) -> Response:
        """Register a definition under a name, as a new version where the client asks for one."""
        given = request.json()
        versions = self.registered.get(given["name"], {})
        if versions and request.query.get("ifExistsOk") != "true":
            message = f"A dataset named {given['name']} is already registered."
            raise Refusal(409, "UserError", message)
        version = str(max(map(int, versions), default=0) + 1)
        self.registered[given["name"]] = versions
        versions[version] = self._register(given, version, _latest(versions))
        return answer(versions[version])

    @route("GET", BASE + "/datasets")
    def list_datasets(self, request: Request) -> Response:
        """List the latest version of every dataset."""
        return page(_latest(versions) for versions in self.registered.values())

    @route("GET", BASE + "/datasets/query/name={name}")
    def get_dataset_by_name(self, request: Request, name: str) -> Response:
        """Return a version of a dataset."""
        versions = found(self.registered, name, "Dataset")
        version = request.query.get("versionId") or _latest(versions)["latest"]["versionId"]
        return answer(found(versions, version, f"Version of {name}"))

    @route("GET", BASE + "/datasets/query/savedDatasetId={id}")
    def get_dataset_by_saved_id(self, request: Request, id: str) -> Response:
        """Return the registered version of a saved definition."""
        return page(one for one in self._versions() if one["latest"]["savedDatasetId"] == id)

    @route("PUT", BASE + "/datasets/{id}")
    def update_dataset(self, request: Request, id: str) -> Response:
        """Change the tags and the description of a version."""
        given = request.json()
        for one in self._versions():
            same = one["latest"]["versionId"] == given["latest"]["versionId"]
            if one["datasetId"] == id and same:
                one |= {"tags": given.get("tags") or {}, "description": given.get("description")}
                return answer(one)
        raise Refusal(404, "NotFound", f"Dataset {id} was not found.")

    @route("DELETE", BASE + "/datasets/{name}")
    def unregister_dataset(self, request: Request, name: str) -> Response:
        """Forget all versions of a dataset, not its data."""
        found(self.registered, name, "Dataset")
        del self.registered[name]
        return answer({})

    def files(self, saved_id: str) -> dict[str, Path]:
        """Return the files of a dataset by the names under which a job sees them."""
        dataflow = json.loads(self.saved[saved_id]["dataflowJson"])["meta"]["RsDataflow"]
        sources = SOURCE.findall(dataflow)
        if OPEN_DATASET.search(dataflow):
            return {OPEN_FOLDER + path.name: path for path in self.emulator.mnist.glob("*.gz")}
        files = {}
        for store, pattern in sources:
            base = _base(pattern)
            # The native engine names files from the folder of a lone pattern, else from the top.
            above = f"{base}/" if len(sources) == 1 else ""
            top = "" if above else f"{store}/"
            for name, path in self._matching(store, pattern, base).items():
                files[top + name.removeprefix(above)] = path
        return files

    def _matching(self, store: str, pattern: str, base: str) -> dict[str, Path]:
        account, container = self.emulator.datastores.container(store)
        blobs = self.emulator.blobs.list(account, container, base)
        expression = _expression(pattern)
        return {name: path for name, path in blobs.items() if expression.fullmatch(name)}

    def _versions(self):
        return (one for versions in self.registered.values() for one in versions.values())

    def _save(self, kind: str, dataflow: str, properties: dict | None) -> dict:
        saved = {"id": str(uuid.uuid4()), "datasetType": kind, "dataflowJson": dataflow}
        self.saved[saved["id"]] = saved | {"properties": properties or {}}
        return self.saved[saved["id"]]

    def _register(self, given: dict, version: str, before: dict | None) -> dict:
        latest = given["latest"]
        saved_id = latest.get("savedDatasetId")
        if saved_id not in self.saved:
            saved = self._save(given["datasetType"], latest["dataflow"], latest.get("properties"))
            saved_id = saved["id"]
        definition = latest | {"versionId": version, "savedDatasetId": saved_id}
        dataset_id = before["datasetId"] if before else str(uuid.uuid4())
        return given | {
            "datasetId": dataset_id,
            "tags": given.get("tags") or {},
            "createdTime": now(),
            "modifiedTime": now(),
            "latest": definition,
        }


def _latest(versions: dict[str, dict]) -> dict | None:
    return list(versions.values())[-1] if versions else None


def _base(pattern: str) -> str:
    """Return the folder of a pattern: all of it, or what stands above the first wildcard."""
    if "*" in pattern:
        return pattern.partition("*")[0].rpartition("/")[0]
    return pattern.strip("/") if "." not in pattern.rpartition("/")[2] else _parent(pattern)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _expression(pattern: str) -> re.Pattern:
    """Return the names that a pattern means: `*` stays within a folder, `**` does not."""
    text = re.escape(pattern.strip("/")).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
    return re.compile(text if "*" in pattern else rf"{text}(/.*)?")
