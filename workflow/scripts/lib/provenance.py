"""What a model was made from: checksums of model, data and code."""

import hashlib
from pathlib import Path

import numpy as np

from lib import code, idx

SETS = "train-images", "train-labels", "test-images", "test-labels"


def load_sets(folder: Path) -> list[np.ndarray]:
    """Return the four arrays of a data set as memory maps, in the order of ``SETS``."""
    return [np.load(folder / f"{part}.npy", mmap_mode="r") for part in SETS]


def provenance(model: Path, arrays: list[np.ndarray], training_script: Path) -> dict[str, str]:
    """Return the sha256 of the model, of the data, and of the code that trained it.

    The data's is that of the four IDX payloads, one after the other; the code's is that of the
    training script and the modules it imports, one after the other.
    """
    files = code.files(training_script)
    return {
        "model": hashlib.sha256(model.read_bytes()).hexdigest(),
        "data": idx.payload_sha256(*arrays),
        "code": hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest(),
    }
