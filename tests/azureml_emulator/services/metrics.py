"""Metrics: what scripts log on their runs."""

from __future__ import annotations

from datetime import UTC, datetime

from ..messages import Refusal, Request, Response, answer, page, route
from .service import Service

RUN = "/metric/v2.0{WS}/runs/{run_id}"


class Metrics(Service):
    """Keeps the values of each metric in the order in which they were posted."""

    def __init__(self, emulator):
        super().__init__(emulator)
        self.metrics: dict[str, dict[str, dict]] = {}

    @route("POST", RUN + "/batch")
    def post_metrics(self, request: Request, run_id: str) -> Response:
        """Add values."""
        metrics = self.metrics.setdefault(run_id, {})
        for posted in request.json()["values"]:
            metric = metrics.setdefault(posted["name"], posted | {"value": []})
            metric["value"] += posted["value"]
        return answer({"errors": []})

    @route("POST", RUN + "/list")
    def list_metrics(self, request: Request, run_id: str) -> Response:
        """List the names of a run's metrics."""
        metrics = self._visible(run_id).values()
        return page(
            {"metricKey": {"name": metric["name"]}, "columns": metric.get("columns")}
            for metric in metrics
        )

    @route("POST", RUN + "/full")
    def get_metric(self, request: Request, run_id: str) -> Response:
        """Return all values of a metric."""
        name = request.json()["metricName"]
        metrics = self._visible(run_id)
        if name not in metrics:
            raise Refusal(404, "NotFound", f"The metric {name} was not found.")
        return answer(metrics[name] | {"continuationToken": None})

    def _visible(self, run_id: str) -> dict[str, dict]:
        fault = self.faults.strike("metrics_late")
        if fault and not self._old_enough(run_id, fault.get("seconds", float("inf"))):
            return {}
        return self.metrics.get(run_id, {})

    def _old_enough(self, run_id: str, seconds: float) -> bool:
        ended = self.emulator.history.runs.get(run_id, {}).get("endTimeUtc")
        age = ended and datetime.now(UTC) - datetime.fromisoformat(ended)
        return bool(age) and age.total_seconds() >= seconds
