"""Emulate the telemetry service: accept the SDK's reports about its use, and store nothing."""

from __future__ import annotations

from ..messages import Request, Response, json_response, route
from .service import Service


class Telemetry(Service):
    """Accept all reports, because the SDK prints complaints to stderr when it gets no answer."""

    hosts = ("dc.services.visualstudio.com", "*.in.applicationinsights.azure.com")
    needs_token = False

    @route("POST", "/v2/track", "/v2.1/track")
    def track(self, request: Request) -> Response:
        """Accept a report."""
        return json_response({"itemsReceived": 1, "itemsAccepted": 1, "errors": []})
