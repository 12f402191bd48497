"""Discovery: where the workspace's other services are."""

from __future__ import annotations

from ..messages import Request, Response, answer, route
from .service import API, Service

KEYS = ("api", "history", "experimentation", "hyperdrive", "modelmanagement", "pipelines")


class Discovery(Service):
    """Sends every service to one host, as today's regions do."""

    needs_token = False

    @route("GET", "/discovery/workspaces/{workspace_id}")
    def discover(self, request: Request, workspace_id: str) -> Response:
        """List the addresses."""
        return answer(dict.fromkeys(KEYS, f"https://{API}") | {"studio": "https://ml.azure.com"})
