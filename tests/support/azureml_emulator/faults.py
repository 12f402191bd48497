"""Inject faults on demand. Each fault has a name, and may be limited in number or in time."""

from __future__ import annotations

import fnmatch
import threading
import time

FAULTS = {
    "wrong_secret": "the token endpoint rejects the client secret (AADSTS7000215)",
    "unknown_workspace": "Resource Manager does not find the workspace or anything in it (404)",
    "unknown_subscription": "the service principal sees only another subscription",
    "no_permission": "`step` answers 403",
    "server_error": "`step` answers `status` (default 503)",
    "answer_lost": "`step` succeeds, but a connection reset replaces its answer",
    "quota_exceeded": "the operation that creates a cluster fails, a deployment is refused (400)",
    "vm_size_unknown": "the request that creates a cluster is refused (400)",
    "image_build_failed": "the run fails in Preparing and has a build log, the deployment fails",
    "endpoint_name_taken": "the request that creates an endpoint is refused (400)",
    "missing_output": "the run completes, but its outputs (or only `path`) are not uploaded",
    "blob_part_refused": "Put Block answers 403; with `all`, every write of a blob does",
    "blob_cut": "a connection reset interrupts a write of a blob, of which nothing is stored",
    "slow_queue": "runs stay Queued, deployments Creating, for `seconds` or until it is cleared",
    "service_gone": "the services reset connections for `seconds`, or until it is cleared",
    "black_hole": "connections open but get no answer for `seconds`, or until it is cleared",
}

#: The options of faults, besides `times`, the number of occurrences.
OPTIONS = {"step", "status", "path", "all", "seconds", "host"}


class Faults:
    """Keep the active faults.

    Parameters
    ----------
    faults : dict, optional
        The options of each fault by its name, see `set`. For example
        `{"no_permission": {"step": "submit_run", "times": 1}}`.
    """

    def __init__(self, faults: dict[str, dict] | None = None):
        self._lock = threading.Lock()
        self._faults: dict[str, dict] = {}
        for name, options in (faults or {}).items():
            self.set(name, **options)

    def set(self, name: str, times: int | None = None, **options) -> None:
        """Activate a fault.

        Parameters
        ----------
        name : str
            A key of `FAULTS`.
        times : int, optional
            The number of occurrences; unlimited by default.
        **options
            `step` is the name of a service (its module) or of a handler, as in the request log;
            without it, a fault concerns every step. `host` is a pattern, such as
            `*.blob.core.windows.net`, and limits `service_gone` and `black_hole` to some hosts.
            `FAULTS` explains the other options.
        """
        if name not in FAULTS:
            raise ValueError(f"unknown fault {name!r}, expected one of {', '.join(FAULTS)}")
        if unknown := set(options) - OPTIONS:
            raise ValueError(f"unknown option {', '.join(sorted(unknown))} of the fault {name}")
        with self._lock:
            self._faults[name] = {"times": times, "since": time.monotonic(), **options}

    def clear(self, name: str | None = None) -> None:
        """Deactivate a fault, or all faults if no name is given."""
        with self._lock:
            self._faults = {n: f for n, f in self._faults.items() if name not in (n, None)}

    def trigger(self, name: str, *steps: str) -> dict | None:
        """Return a fault's options and count one occurrence, or return None if it is inactive."""
        with self._lock:
            fault = self._faults.get(name)
            if fault is None or ("step" in fault and fault["step"] not in steps):
                return None
            if fault["times"] is not None:
                fault["times"] -= 1
                if fault["times"] <= 0:
                    del self._faults[name]
            return fault

    def is_active(self, name: str, host: str = "") -> bool:
        """Tell whether a fault is active, for a host if it is one of the network.

        Check `seconds` and `host`, but do not count an occurrence.
        """
        with self._lock:
            fault = self._faults.get(name)
            if fault is None:
                return False
            if not fnmatch.fnmatch(host.lower(), fault.get("host", "*")):
                return False
            age = time.monotonic() - fault["since"]
            return "seconds" not in fault or age < fault["seconds"]

    def options(self) -> dict[str, dict]:
        """Return the options of each active fault by its name."""
        with self._lock:
            return {
                name: {key: value for key, value in fault.items() if key != "since"}
                for name, fault in self._faults.items()
            }
