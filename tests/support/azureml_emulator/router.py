"""Find the service and the handler of each request, and keep the request log."""

from __future__ import annotations

import json
import threading
import traceback
from pathlib import Path

from .faults import Faults
from .messages import Request, Response, ServiceError, json_response, now
from .proxy import ConnectionLost
from .services.service import Service


class Router:
    """Answer every request that enters the proxy.

    Parameters
    ----------
    services : list of Service
        The services in order of precedence: the first service that serves the host and knows the
        path answers.
    faults : Faults
        The active faults; the router applies those that concern a step.
    log : Path
        The request log, in JSON lines with time, method, host, path, status, service and step. It
        omits query and headers, because they contain signatures and tokens.
    """

    def __init__(self, services: list[Service], faults: Faults, log: Path):
        self.services, self.faults, self.log = services, faults, log
        self._log_lock = threading.Lock()

    def respond(self, request: Request) -> Response:
        """Return the response to a request, and log both."""
        service, step, handler, variables = self._find_handler(request)
        try:
            response = self._handle(request, service, step, handler, variables)
        except ConnectionLost:
            self._write_log(request, service, step, "lost")
            raise
        self._write_log(request, service, step, response.status)
        return response

    def requests(self) -> list[dict]:
        """Return the request log."""
        with self._log_lock:
            lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines]

    def _find_handler(self, request: Request) -> tuple:
        service = None
        for service in (s for s in self.services if s.serves(request.host)):
            if match := service.find_handler(request):
                return service, *match
        return service, None, None, {}

    def _handle(self, request, service, step, handler, variables) -> Response:
        if service is None:
            return json_response({"error": f"The host {request.host} is not emulated."}, 502)
        try:
            self._apply_step_faults(service, step)
            if handler is None:
                message = f"{request.method} {request.path} is not emulated."
                raise ServiceError(501, "NotImplemented", message)
            response = service.handle(handler, request, variables)
        except ServiceError as error:
            return service.error_response(error)
        except ConnectionLost:
            raise
        except Exception:
            error = ServiceError(500, "EmulatorError", traceback.format_exc())
            return service.error_response(error)
        if self.faults.trigger("answer_lost", service.name, step):
            raise ConnectionLost
        return response

    def _apply_step_faults(self, service: Service, step: str | None) -> None:
        if self.faults.trigger("no_permission", service.name, step):
            message = (
                f"The client has no authorization to perform the action '{service.name}/{step}'."
            )
            raise ServiceError(403, "AuthorizationFailed", message)
        if fault := self.faults.trigger("server_error", service.name, step):
            raise ServiceError(fault.get("status", 503), "ServiceError", "Try again later.")

    def _write_log(self, request: Request, service: Service | None, step, status) -> None:
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
