"""Show the whole cloud path without an Azure account: `make azureml-demo`.

The workflow trains on scikit-learn's digits. The real SDK submits the run to a workspace that is
emulated on this machine. The run compares the regularization rates of config.yaml, and trains the
model at the best rate. The demo prints the content of the workspace at the end. The results stay
in a temporary folder, which the demo prints too.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from azureml_emulator import Emulator
from checkout import TOP, Checkout

CLIENT = TOP / ".venv-azureml/bin/python"
JOB = TOP / ".venv-azureml-job/bin/python"


def main() -> int:
    """Run the workflow against the emulator; return Snakemake's exit code."""
    folder = Path(tempfile.mkdtemp(prefix="azureml-demo-"))
    checkout = Checkout.fresh(folder / "checkout")
    with Emulator(folder / "emulator", python=JOB) as emulator:
        emulator.write_config(checkout.path)
        command = [CLIENT, "-m", "snakemake", "--cores", "1", "--quiet=all"]
        config = ["--config", "backend=azureml", "dataset=digits"]
        environment = os.environ | emulator.environment(folder / "home")
        print(f"An emulated workspace is at {emulator.url}; the workflow runs in {checkout.path}.")
        target = ["results/registered.json", *config]
        ended = subprocess.run([*command, *target], cwd=checkout.path, env=environment)
        if ended.returncode == 0:
            subprocess.run(
                [*command, "azureml_status", *config], cwd=checkout.path, env=environment
            )
            print(summarize(emulator))
    return ended.returncode


def summarize(emulator: Emulator) -> str:
    """Return the content of the workspace and the number of requests, as text."""
    state, requests = emulator.state(), emulator.requests()
    lines = [f"run       {run['runId']}: {run['status']}" for run in state["runs"]]
    for metrics in state["metrics"].values():
        for metric in metrics.values():
            for value in metric["value"]:
                pairs = (f"{key} {number:.4g}" for key, number in value["data"].items())
                lines.append(f"metrics   {', '.join(pairs)}")
    lines += [f"dataset   {name}" for name in state["datasets"]]
    lines += [f"blob      {name}: {size} bytes" for name, size in state["blobs"].items()]
    lines += [f"cluster   {name}" for name in state["computes"]]
    lines += [f"model     {model['id']}" for model in state["models"]]
    lines.append(
        f"requests  {len(requests)}, of which {len(emulator.unknown())} to hosts that are not "
        "emulated; none has left this machine"
    )
    return "\n".join(["In the emulated workspace:", *lines])


if __name__ == "__main__":
    sys.exit(main())
