"""The control surface: plain requests on loopback, by which tests steer and look."""

from __future__ import annotations

from ..messages import Request, Response, answer, now, route
from .service import Service, found


class Control(Service):
    """Answers requests that do not go through a tunnel."""

    hosts = ("", "127.0.0.1", "localhost")
    needs_token = False
    logged = False

    @route("GET", "/_emulator/state")
    def get_state(self, request: Request) -> Response:
        """Return runs, models, datasets, environments, clusters and blob sizes."""
        return answer(self.emulator.state())

    @route("GET", "/_emulator/requests")
    def get_requests(self, request: Request) -> Response:
        """Return the request log; `?unknown=1` leaves the requests to unknown hosts."""
        unknown = request.query.get("unknown")
        return answer(self.emulator.unknown() if unknown else self.emulator.requests())

    @route("GET", "/_emulator/faults")
    def get_faults(self, request: Request) -> Response:
        """Return the faults in force."""
        return answer(self.faults.shown())

    @route("PUT", "/_emulator/faults/{fault}")
    def set_fault(self, request: Request, fault: str) -> Response:
        """Put a fault in force, with the options in the body."""
        self.faults.set(fault, **request.json())
        return answer(self.faults.shown())

    @route("DELETE", "/_emulator/faults")
    def clear_faults(self, request: Request) -> Response:
        """Lift all faults."""
        self.faults.clear()
        return answer({})

    @route("DELETE", "/_emulator/faults/{fault}")
    def clear_fault(self, request: Request, fault: str) -> Response:
        """Lift a fault."""
        self.faults.clear(fault)
        return answer(self.faults.shown())

    @route("POST", "/_emulator/runs/{run_id}/cancel")
    def cancel_run(self, request: Request, run_id: str) -> Response:
        """Cancel a run, as somebody in the portal would."""
        self.emulator.execution.cancel(run_id)
        return answer(found(self.emulator.history.runs, run_id, "Run"))

    @route("PUT", "/_emulator/computes/{name}")
    def put_compute(self, request: Request, name: str) -> Response:
        """Put a compute target there: a cluster, a ComputeInstance or an AKS (`computeType`)."""
        arm = self.emulator.arm
        wanted = {"properties": {"computeType": "AmlCompute"} | request.json()}
        arm.computes[name] = arm.compute(name, wanted, now()) | {"provisioningState": "Succeeded"}
        return answer(arm.computes[name])
