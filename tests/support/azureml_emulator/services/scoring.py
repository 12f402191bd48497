"""Emulate the addresses of online endpoints, where clients send their requests."""

from __future__ import annotations

from ..messages import Request, Response, ServiceError, route
from .service import Service

#: The header with which a client chooses a deployment, and those about the script's own status.
CHOICE = "azureml-model-deployment"
STATUS, REASON = "ms-azureml-model-error-statuscode", "ms-azureml-model-error-reason"


class Scoring(Service):
    """Pass requests with the right key on to a deployment."""

    hosts = ("*.inference.ml.azure.com",)
    needs_token = False

    @route("POST", "/score")
    def score(self, request: Request) -> Response:
        """Answer a request with the chosen deployment, or with the one that has most traffic."""
        endpoints = self.emulator.online_endpoints
        name = request.host.partition(".")[0]
        endpoint = endpoints.endpoints.get(name)
        if endpoint is None:
            raise ServiceError(404, "NotFound", "There is no such endpoint.")
        if request.headers.get("authorization") != f"Bearer {endpoint['keys']['primaryKey']}":
            raise ServiceError(401, "Unauthorized", "The key is not valid.")
        traffic = endpoint["properties"].get("traffic") or {}
        chosen = request.headers.get(CHOICE) or max(traffic, key=traffic.get, default=None)
        deployment = endpoints.deployments[name].get(chosen)
        if deployment is None or deployment.state != "Succeeded":
            raise ServiceError(404, "NotFound", "There is no deployment with positive weight.")
        status, text = deployment.score(request.body)
        headers = {"Content-Type": "application/json"}
        if status != 200:
            # The service answers 424 for whatever the script refuses.
            headers |= {STATUS: str(status), REASON: "model_error"}
            status = 424
        return Response(status, text.encode(), headers)
