"""Emulate the metrics service: the metrics that scripts log in their runs."""

from __future__ import annotations

from ..messages import Request, Response, ServiceError, json_response, page_response, route
from .service import Service, get_or_404

RUN = "/metric/v2.0{WS}/runs/{run_id}"


class Metrics(Service):
    """Store the values of each metric in the order in which clients post them."""

    def __init__(self, emulator):
        super().__init__(emulator)
        self.metrics: dict[str, dict[str, dict]] = {}
        self.logged: dict[str, list[dict]] = {}

    @route("POST", RUN + "/batch")
    def post_metrics(self, request: Request, run_id: str) -> Response:
        """Add values to metrics."""
        metrics = self.metrics.setdefault(run_id, {})
        for posted in request.json()["values"]:
            metric = metrics.setdefault(posted["name"], posted | {"value": []})
            metric["value"] += posted["value"]
        return json_response({"errors": []})

    @route("POST", "/mlflow/v1.0{WS}/api/2.0/mlflow/runs/log-batch")
    def log_batch(self, request: Request) -> Response:
        """Add metrics in MLflow's REST interface."""
        body = request.json()
        get_or_404(self.emulator.history.runs, body["run_id"], "Run")
        self.logged.setdefault(body["run_id"], []).extend(body["metrics"])
        return json_response({})

    @route("POST", RUN + "/list")
    def list_metrics(self, request: Request, run_id: str) -> Response:
        """List the names of a run's metrics."""
        metrics = self.metrics.get(run_id, {}).values()
        return page_response(
            {"metricKey": {"name": metric["name"]}, "columns": metric.get("columns")}
            for metric in metrics
        )

    @route("POST", RUN + "/full")
    def get_metric(self, request: Request, run_id: str) -> Response:
        """Return all values of a metric."""
        name = request.json()["metricName"]
        metrics = self.metrics.get(run_id, {})
        if name not in metrics:
            raise ServiceError(404, "NotFound", f"The metric {name} was not found.")
        return json_response(metrics[name] | {"continuationToken": None})
