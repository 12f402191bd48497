"""Emulate the discovery service: the addresses of the workspace's other services."""

from __future__ import annotations

from ..messages import Request, Response, json_response, route
from .service import API, Service

KEYS = ("api", "history", "experimentation", "hyperdrive", "modelmanagement", "pipelines")


class Discovery(Service):
    """Give the same host for every service, as Azure's regions do today."""

    needs_token = False

    @route("GET", "/discovery/workspaces/{workspace_id}")
    def discover(self, request: Request, workspace_id: str) -> Response:
        """List the addresses of the services."""
        addresses = dict.fromkeys(KEYS, f"https://{API}")
        return json_response(addresses | {"studio": "https://ml.azure.com"})
