"""Azure Open Datasets: the four MNIST files, from a folder."""

from __future__ import annotations

from ..messages import Refusal, Request, Response, route
from .blobs import Storage, listing, read


class OpenDatasets(Storage):
    """Lists the files as a blob container and serves them as its front door does."""

    hosts = ("azureopendatastorage.blob.core.windows.net", "azureopendatastorage.azurefd.net")

    @route("GET", "/mnist")
    @route("HEAD", "/mnist")
    def list_mnist(self, request: Request) -> Response:
        """List the files."""
        prefix = request.query.get("prefix", "")
        folder = self.emulator.mnist
        paths = sorted(folder.glob("*.gz")) if folder else []
        return listing((path.name, path) for path in paths if path.name.startswith(prefix))

    @route("GET", "/mnist/{name}")
    @route("HEAD", "/mnist/{name}")
    def get_mnist(self, request: Request, name: str) -> Response:
        """Return a file, or a range of it."""
        folder = self.emulator.mnist
        path = folder and folder / name
        if not path or not path.is_file():
            raise Refusal(404, "BlobNotFound", f"mnist/{name} was not found.")
        return read(request, path)
