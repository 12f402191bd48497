"""Emulate a training script. The tests of the emulator submit this file as `train.py`."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

#: The metrics that a client reads after the script has run with `--log`.
LOGGED_METRICS = {
    "regularization rate": 0.5,
    "accuracy": 0.75,
    "sweep": {"rate": [0.1, 0.5], "score": [0.5, 0.75]},
}


def main() -> None:
    """Write a model, and do what the options ask for."""
    options = parse_arguments()
    print("rate", options.rate, "variable", os.environ.get("TEST_VARIABLE"), flush=True)
    if options.data:
        print(*sorted(path.name for path in Path(options.data).rglob("*") if path.is_file()))
    if options.seconds:
        # The emulator must end this child process as well.
        child = subprocess.Popen(["sleep", str(options.seconds)])
        print("child", child.pid, flush=True)
    Path("outputs").mkdir()
    Path("outputs/model.pkl").write_bytes(b"model" * 100)
    if options.log:
        log_metrics(options.rate)
    for tick in range(int(options.seconds * 2)):
        print("tick", tick, flush=True)
        time.sleep(0.5)
    if options.code:
        sys.exit("the script's last line")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data")
    parser.add_argument("--rate", type=float, default=0.5)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--code", type=int, default=0)
    parser.add_argument("--log", action="store_true")
    return parser.parse_args()


def log_metrics(rate: float) -> None:
    from azureml.core import Run

    run = Run.get_context()
    print("input", run.input_datasets["arrays"])
    run.log("regularization rate", rate)
    run.log("accuracy", 0.75)
    for row in ({"rate": 0.1, "score": 0.5}, {"rate": 0.5, "score": 0.75}):
        run.log_row("sweep", **row)
    run.flush()


if __name__ == "__main__":
    main()
