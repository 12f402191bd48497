"""Run the emulator until SIGTERM or Ctrl-C: `python -m azureml_emulator --state FOLDER`."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
import threading
from pathlib import Path

from .emulator import Emulator
from .faults import FAULTS


def main(arguments: list[str] | None = None) -> None:
    """Start the emulator and print the client's environment variables as shell exports."""
    options = _parse_arguments(arguments)
    stop_requested = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop_requested.set())
    faults = {name: json.loads(text or "{}") for name, _, text in options.fault}
    with Emulator(options.state, options.python, options.mnist, faults) as emulator:
        for name, value in emulator.environment(options.state / "home").items():
            print(f"export {name}={shlex.quote(value)}")
        print("# ready", flush=True)
        stop_requested.wait()


def _parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    faults = "; ".join(f"{name}: {description}" for name, description in FAULTS.items())
    parser = argparse.ArgumentParser(prog="azureml_emulator", description=__doc__)
    add = parser.add_argument
    add("--state", type=Path, required=True, help="folder for all files of the emulator")
    add("--python", default=sys.executable, help="interpreter that runs submitted scripts")
    add("--mnist", type=Path, help="folder with the four MNIST files")
    add(
        "--fault",
        action="append",
        default=[],
        type=lambda text: text.partition("="),
        metavar="NAME[=JSON]",
        help=f"a fault to set, with its options; may be repeated. {faults}",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
