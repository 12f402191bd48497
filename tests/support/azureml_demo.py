"""Show the whole cloud path without an Azure account: `make azureml-demo`.

The workflow downloads MNIST, as it always does. Then the real SDK submits the training to a
workspace that is emulated on this machine. The run compares the regularization rates of
config.yaml, and trains the model at the best rate. At the end the demo prints the content of the
workspace. The results stay in a temporary folder, which the demo prints too.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from azureml_emulator import Emulator
from checkout import TOP, Checkout

#: The interpreters of the jobs. SDK v2 needs no other than the client's, SDK v1 has packages that
#: the workflow cannot have.
JOBS = {"v2": sys.executable, "v1": TOP / ".venv-azureml-v1-job/bin/python"}
RECEIPT = "results/registered.json"


def main() -> int:
    """Run the workflow against the emulator; return Snakemake's exit code."""
    parser = argparse.ArgumentParser(prog="azureml_demo.py", description=__doc__)
    parser.add_argument("--sdk", choices=JOBS, default="v2", help="the Azure ML SDK to use")
    parser.add_argument("--dataset", default="mnist", help="mnist, or digits, which is quicker")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="azureml-demo-"))
    checkout = Checkout.fresh(folder / "checkout").path
    # Files that were downloaded before are taken from here, and new ones are kept here.
    (TOP / "downloads").mkdir(exist_ok=True)
    (checkout / "downloads").symlink_to(TOP / "downloads")
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet=all"]
    config = ["--config", f"dataset={options.dataset}", f"azureml={{sdk: {options.sdk}}}"]
    arrays = [
        f"results/arrays/{part}-{kind}.npy"
        for part in ("train", "test")
        for kind in ("images", "labels")
    ]
    print("Preparing the data as always, with the network of this machine.", flush=True)
    prepared = subprocess.run([*command, *arrays, *config, "backend=local"], cwd=checkout)
    if prepared.returncode:
        return prepared.returncode
    with Emulator(folder / "emulator", python=JOBS[options.sdk]) as emulator:
        emulator.write_config(checkout)
        print(
            f"An emulated workspace is at {emulator.url}; the workflow runs in {checkout}.",
            flush=True,
        )

        def run(target: str) -> int:
            environment = os.environ | emulator.environment(folder / "home")
            full = [*command, target, *config, "backend=azureml"]
            return subprocess.run(full, cwd=checkout, env=environment).returncode

        if code := run(RECEIPT) or run("azureml_status"):
            return code
        print(summarize(emulator))
        print(overhead(emulator, checkout / "results/benchmarks/train.jsonl"))
    return 0


def summarize(emulator: Emulator) -> str:
    """Return the content of the workspace and the number of requests, as text."""
    state, requests = emulator.state(), emulator.requests()
    lines = [f"run       {run['runId']}: {run['status']}" for run in state["runs"]]
    lines += [f"dataset   {name}" for name in [*state["datasets"], *state["data"]]]
    code = {name for name in state["blobs"] if "/mnist-sklearn/code/" in name}
    for name, size in state["blobs"].items():
        if name not in code:
            lines.append(f"blob      {name.partition('/')[2]}: {size:,} bytes")
    if code:
        lines.append(f"code      {len(code)} files")
    lines += [f"cluster   {name}" for name in state["computes"]]
    for model in state["models"]:
        lines.append(f"model     {model['id']}: accuracy {model['kvTags']['accuracy']}")
    lines.append(
        f"requests  {len(requests)}, of which {len(emulator.unknown())} to hosts that are not "
        "emulated; none has left this machine"
    )
    return "\n".join(["In the emulated workspace:", *lines])


def overhead(emulator: Emulator, benchmark: Path) -> str:
    """Return how long the rule `train` took, and how long its run, as text.

    Parameters
    ----------
    emulator : Emulator
    benchmark : Path
        Snakemake's benchmark file of the rule.
    """
    (run,) = emulator.state()["runs"]
    began, ended = (datetime.fromisoformat(run[key]) for key in ("startTimeUtc", "endTimeUtc"))
    in_all = json.loads(benchmark.read_text().splitlines()[-1])["s"]
    took = (ended - began).total_seconds()
    return f"time      {in_all:.0f} s for the training, of which the run took {took:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
