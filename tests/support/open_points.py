"""Tell what a run in a workspace shows about the open points in docs/azure.md.

The emulator answers as we expect Azure to answer. Only a real workspace can show that it does.
"""

import json
from pathlib import Path


def open_points(folder: Path, first: str, again: str, other: str, local: str) -> dict[str, bool]:
    """Return whether each point holds.

    Parameters
    ----------
    folder : pathlib.Path
        The checkout, after both calls.
    first, again : str
        The output of the call that submitted and registered, and of the same call after its model,
        training.json and receipt were deleted.
    other : str
        The output of the same call with the other SDK, or an empty string.
    local : str
        The checksum of the model that is trained on this machine.
    """

    def content(name: str) -> dict:
        return json.loads((folder / "results" / name).read_text())

    training, receipt = content("training.json"), content("registered.json")
    submitted = f"run {training['run_id']}: submitted" in first
    points = {
        "the service takes the run id that the client chose": submitted,
        "a node installs the pinned packages and mounts the arrays": (
            submitted and receipt["metrics"]["accuracy"] == training["metrics"]["accuracy"]
        ),
        "the log can be read while the run runs": (
            -1 < first.find("| newton: ") < first.find("s  Completed")
        ),
        "the files in outputs/ are found where the SDK expects them": (
            "outputs/metrics.json" in first
        ),
        "the model has the bytes of the local one": training["model_sha256"] == local,
        "a run is found by its id": "found, Completed" in again,
        "a version keeps its properties, so it is registered once": (
            "this model is registered already" in again
        ),
    }
    if "azure-ai-ml" in first:
        points |= {
            "a run needs no Azure package": submitted,
            "the training script may be in the workspace's storage": submitted,
            "24 hexadecimal digits are a version": submitted,
            "the workspace takes the run's metrics": (
                submitted and "does not show the metrics" not in first
            ),
        }
    if other:
        points["the other SDK reads the run"] = "found, Completed" in other
        points["the other SDK finds the version"] = "this model is registered already" in other
    return points
