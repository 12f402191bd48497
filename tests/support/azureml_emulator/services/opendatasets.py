"""Emulate Azure Open Datasets: the four MNIST files, served from a folder."""

from __future__ import annotations

from ..messages import Request, Response, ServiceError, route
from .blobs import Storage, list_response, read_response


class OpenDatasets(Storage):
    """List the files as a blob container does, and serve them as its front door does."""

    hosts = ("azureopendatastorage.blob.core.windows.net", "azureopendatastorage.azurefd.net")

    @route("GET", "/mnist")
    @route("HEAD", "/mnist")
    def list_mnist(self, request: Request) -> Response:
        """List the files."""
        prefix = request.query.get("prefix", "")
        folder = self.emulator.mnist
        paths = sorted(folder.glob("*.gz")) if folder else []
        return list_response((path.name, path) for path in paths if path.name.startswith(prefix))

    @route("GET", "/mnist/{name}")
    @route("HEAD", "/mnist/{name}")
    def get_mnist(self, request: Request, name: str) -> Response:
        """Return a file, or a range of it."""
        folder = self.emulator.mnist
        path = folder and folder / name
        if not path or not path.is_file():
            raise ServiceError(404, "BlobNotFound", f"mnist/{name} was not found.")
        return read_response(request, path)
