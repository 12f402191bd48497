"""Failures on demand: each has a name, and may be limited to a number of times."""

from __future__ import annotations

import threading
import time

FAULTS = {
    "wrong_secret": "the token endpoint refuses the secret (AADSTS7000215)",
    "unknown_workspace": "Resource Manager does not find the workspace (404)",
    "unknown_subscription": "the account sees another subscription only",
    "no_permission": "403 on the named step",
    "server_error": "the named step answers `status` (default 503)",
    "answer_lost": "the named step is carried out, its answer never arrives (connection reset)",
    "quota_exceeded": "the operation that creates a cluster fails",
    "image_build_failed": "the run fails in Preparing, with an image build log",
    "missing_output": "outputs are not collected (or not `path`), though the run completes",
    "blob_part_refused": "403 on Put Block; with `all`, on every write of a blob",
    "metrics_late": "metrics become visible `seconds` after the end of the run, or when cleared",
    "slow_queue": "runs stay Queued for `seconds`, or until cleared",
    "service_gone": "connections are reset, for `seconds` or until cleared",
    "black_hole": "connections are accepted and never answered, for `seconds` or until cleared",
}

#: What a fault may be given beside `times`, its number of occurrences.
OPTIONS = {"step", "status", "path", "all", "seconds"}


class Faults:
    """The faults in force.

    Parameters
    ----------
    faults : dict, optional
        Options by name, as `set` takes them: `{"no_permission": {"step": "submit", "times": 1}}`.
    """

    def __init__(self, faults: dict[str, dict] | None = None):
        self._lock = threading.Lock()
        self._faults: dict[str, dict] = {}
        for name, options in (faults or {}).items():
            self.set(name, **options)

    def set(self, name: str, times: int | None = None, **options) -> None:
        """Put a fault in force.

        Parameters
        ----------
        name : str
            One of `FAULTS`.
        times : int, optional
            How often it occurs; without end by default.
        **options
            `step` is the name of a service (its module) or of one of its handlers, as the request
            log shows them; the other options are explained in `FAULTS`.
        """
        if name not in FAULTS:
            raise ValueError(f"unknown fault {name!r}, expected one of {', '.join(FAULTS)}")
        if unknown := set(options) - OPTIONS:
            raise ValueError(f"unknown option {', '.join(sorted(unknown))} of the fault {name}")
        with self._lock:
            self._faults[name] = {"times": times, "since": time.monotonic(), **options}

    def clear(self, name: str | None = None) -> None:
        """Lift a fault, or all of them."""
        with self._lock:
            self._faults = {n: f for n, f in self._faults.items() if name not in (n, None)}

    def strike(self, name: str, *steps: str) -> dict | None:
        """Return the fault's options and use it up once, or None where it is not in force."""
        with self._lock:
            fault = self._faults.get(name)
            if fault is None or ("step" in fault and fault["step"] not in steps):
                return None
            if fault["times"] is not None:
                fault["times"] -= 1
                if fault["times"] <= 0:
                    del self._faults[name]
            return fault

    def lasting(self, name: str) -> bool:
        """Tell whether a fault that lasts for a time, not for a number of times, is in force."""
        with self._lock:
            fault = self._faults.get(name)
            if fault is None:
                return False
            age = time.monotonic() - fault["since"]
            return "seconds" not in fault or age < fault["seconds"]

    def shown(self) -> dict[str, dict]:
        """Return the faults in force, for people and tests."""
        with self._lock:
            return {
                name: {key: value for key, value in fault.items() if key != "since"}
                for name, fault in self._faults.items()
            }
