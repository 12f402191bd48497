"""Finds the service and the handler of a request, and keeps the request log."""

from __future__ import annotations

import json
import threading
import traceback
from pathlib import Path

from .faults import Faults
from .messages import Refusal, Request, Response, answer, now
from .proxy import Lost
from .services.service import Service


class Router:
    """Answers every request that enters the proxy.

    Parameters
    ----------
    services : list of Service
        Asked in this order; the first that plays the host and knows the path answers.
    faults : Faults
        Those that concern a step are applied here.
    log : Path
        The request log: JSON lines with time, method, host, path, status, service and step. Query
        and headers are left out: they carry signatures and tokens.
    """

    def __init__(self, services: list[Service], faults: Faults, log: Path):
        self.services, self.faults, self.log = services, faults, log
        self._log_lock = threading.Lock()

    def answer(self, request: Request) -> Response:
        """Return the answer to a request, and log both."""
        service, step, handler, parts = self._find(request)
        try:
            response = self._apply(request, service, step, handler, parts)
        except Lost:
            self._write(request, service, step, "lost")
            raise
        self._write(request, service, step, response.status)
        return response

    def requests(self) -> list[dict]:
        """Return the request log."""
        with self._log_lock:
            lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines]

    def _find(self, request: Request) -> tuple:
        service = None
        for service in (s for s in self.services if s.plays(request.host)):
            if found := service.find(request):
                return service, *found
        return service, None, None, {}

    def _apply(self, request, service, step, handler, parts) -> Response:
        if service is None:
            return answer({"error": f"The host {request.host} is not emulated."}, 502)
        try:
            self._fail(service, step)
            if handler is None:
                what = f"{request.method} {request.path}"
                raise Refusal(501, "NotImplemented", f"{what} is not emulated.")
            response = service.call(handler, request, parts)
        except Refusal as refusal:
            return service.refuse(refusal)
        except Exception:
            return service.refuse(Refusal(500, "EmulatorError", traceback.format_exc()))
        if self.faults.strike("answer_lost", service.name, step):
            raise Lost
        return response

    def _fail(self, service: Service, step: str | None) -> None:
        if self.faults.strike("no_permission", service.name, step):
            message = (
                f"The client has no authorization to perform the action '{service.name}/{step}'."
            )
            raise Refusal(403, "AuthorizationFailed", message)
        if fault := self.faults.strike("server_error", service.name, step):
            raise Refusal(fault.get("status", 503), "ServiceError", "Try again later.")

    def _write(self, request: Request, service: Service | None, step, status) -> None:
        if service and not service.logged:
            return
        line = {
            "time": now(),
            "method": request.method,
            "host": request.host,
            "path": request.path,
            "status": status,
            "service": service and service.name,
            "step": step,
        }
        with self._log_lock, self.log.open("a") as log:
            log.write(json.dumps(line) + "\n")
