"""Control the emulator from tests, through plain HTTP requests on loopback."""

from __future__ import annotations

from ..messages import Request, Response, json_response, now, route
from .service import Service, get_or_404


class Control(Service):
    """Answer the requests that arrive outside a tunnel."""

    hosts = ("", "127.0.0.1", "localhost")
    needs_token = False
    logged = False

    @route("GET", "/_emulator/state")
    def get_state(self, request: Request) -> Response:
        """Return the workspace's runs, models, datasets, environments, clusters and blob sizes."""
        return json_response(self.emulator.state())

    @route("GET", "/_emulator/requests")
    def get_requests(self, request: Request) -> Response:
        """Return the request log, or only the requests to unknown hosts with `?unknown=1`."""
        unknown = request.query.get("unknown")
        return json_response(self.emulator.unknown() if unknown else self.emulator.requests())

    @route("GET", "/_emulator/faults")
    def get_faults(self, request: Request) -> Response:
        """Return the active faults."""
        return json_response(self.faults.options())

    @route("PUT", "/_emulator/faults/{fault}")
    def set_fault(self, request: Request, fault: str) -> Response:
        """Activate a fault, with the options in the body."""
        self.faults.set(fault, **request.json())
        return json_response(self.faults.options())

    @route("DELETE", "/_emulator/faults")
    def clear_faults(self, request: Request) -> Response:
        """Deactivate all faults."""
        self.faults.clear()
        return json_response({})

    @route("DELETE", "/_emulator/faults/{fault}")
    def clear_fault(self, request: Request, fault: str) -> Response:
        """Deactivate a fault."""
        self.faults.clear(fault)
        return json_response(self.faults.options())

    @route("POST", "/_emulator/runs/{run_id}/cancel")
    def cancel_run(self, request: Request, run_id: str) -> Response:
        """Cancel a run, as a user of the portal would."""
        self.emulator.execution.cancel(run_id)
        return json_response(get_or_404(self.emulator.history.runs, run_id, "Run"))

    @route("PUT", "/_emulator/computes/{name}")
    def put_compute(self, request: Request, name: str) -> Response:
        """Add a compute target that is ready. `computeType` is AmlCompute by default."""
        arm = self.emulator.arm
        resource = {"properties": {"computeType": "AmlCompute"} | request.json()}
        arm.computes[name] = arm.compute(name, resource, now()) | {"provisioningState": "Succeeded"}
        return json_response(arm.computes[name])
